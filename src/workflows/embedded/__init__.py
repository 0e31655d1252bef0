"""What the development server is made of: how it is launched, what it keeps, why it may not come up."""

"""What others have, used as their documentation says, and the floors: the databases themselves."""

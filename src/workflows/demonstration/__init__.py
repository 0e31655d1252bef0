"""Shows each kind of failure, live."""

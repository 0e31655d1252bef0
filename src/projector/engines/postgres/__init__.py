"""The event store on a PostgreSQL database."""

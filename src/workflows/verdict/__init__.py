"""Judges: what Temporal says and what the store knows → one verdict."""

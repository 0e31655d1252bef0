"""Reads whatever an agent raises, and makes a report of it."""

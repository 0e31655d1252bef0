"""Runs agents, leaves events."""

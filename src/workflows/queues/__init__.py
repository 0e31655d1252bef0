"""Watches: who polls a queue, and what those that wait are told."""

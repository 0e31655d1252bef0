"""Decides: the workflow, its classifier, and the programs put together."""

"""The parent of a runner: starts it, watches it, and reports how it ended."""

"""How long a time may be that somebody sets, in seconds. Options and settings share these bounds."""

from __future__ import annotations

from typing import Final

SHORTEST: Final = 0.001
"""Temporal and SQLite count milliseconds: anything shorter would be nothing."""
LONGEST: Final = 315_360_000
"""Ten years: longer than anything is meant to take, and far below what Temporal's durations can hold."""
LONGEST_LOCK: Final = 86_400
"""A day. SQLite counts in 32 bits: what is beyond 24 days would be no wait at all."""
LONGEST_POLL: Final = 3600
"""An hour: who looks more rarely for new events does not follow."""
SQLITE_LOCK_TIMEOUT: Final = 30.0
"""How long a write waits for another process's on SQLite, in seconds."""
POSTGRES_LOCK_TIMEOUT: Final = 5.0
"""The same on PostgreSQL, where who waits holds a connection."""

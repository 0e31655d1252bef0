"""Moments as people type them: how long ago, or a date or time of the ISO kind."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from projector.errors import InputRejected

_AGO: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS: Final = 100 * 366 * 86_400
"""A century; longer ago than that is a slip of the finger."""


def moment_of(typed: str, now: datetime) -> datetime:
    """The moment that `typed` means, in UTC: `90s`, `30m`, `1h` or `2d` before `now`, or a date or time.

    A date is its midnight, and what has no zone is UTC. Raises InputRejected for anything else.
    """
    text = typed.strip()
    if found := _AGO.fullmatch(text.lower()):
        seconds = float(found[1]) * _SECONDS[found[2]]
        if seconds <= _LONGEST_SECONDS:
            return now.astimezone(UTC) - timedelta(seconds=seconds)
    elif text.isascii():
        with suppress(ValueError, OverflowError):  # the latter for a zone that leads out of the calendar
            time = datetime.fromisoformat(text)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    raise InputRejected(
        f"{typed[:60]!r} is not a time: say how long ago, as 90s, 30m, 1h or 2d, or give a date or time, "
        "as 2026-03-14 or 2026-03-14T06:00Z"
    )

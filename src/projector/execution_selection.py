"""The statement that reads a page of executions: only what was asked for stands in it, so that each has its index.

Every part is written here; a request only says which of them are taken, and gives the parameters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from projector.catalogue import CATALOGUE
from projector.execution_filter import ExecutionFilter

_CONDITIONS: Final = {
    "phase": "phase = :phase",
    "code": "code = :code",
    "category": "category = :category",
    "cause": "fingerprint = :cause",
    "session": "session_id = :session",
    "agent": "agent = :agent",
    "since": "finished_at >= :since",
    "until": "finished_at < :until",
}

BY_AGE: Final = "SELECT status, first_position FROM executions WHERE {} ORDER BY first_position DESC LIMIT :limit"
"""A page of executions, newest first."""

BY_END: Final = "SELECT status, first_position FROM executions WHERE {} ORDER BY +first_position DESC LIMIT :limit"
"""The same of those that ended at some time or later; the plus sign makes the engine seek them by their end."""

_BEYOND_ALL: Final = 2**62
_CODES: Final = {entry.category: entry.code.value for entry in CATALOGUE.values()}
"""Each category is that of one code, and codes have an index."""


def selection(chosen: ExecutionFilter) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. It reads one row more than a page has, which tells whether there is another."""
    wanted = {
        "phase": chosen.phase.value if chosen.phase else None,
        "code": chosen.code or _CODES.get(chosen.category or ""),
        "category": chosen.category,
        "cause": chosen.cause,
        "session": chosen.session,
        "agent": chosen.agent,
        "since": _column(chosen.finished_since),
        "until": _column(chosen.finished_until),
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = [_CONDITIONS[name] for name in given]
    conditions.append("+first_position < :before" if "since" in given else "first_position < :before")
    statement = (BY_END if "since" in given else BY_AGE).format(" AND ".join(conditions))
    before = int(chosen.after) if chosen.after else _BEYOND_ALL
    return statement, given | {"before": before, "limit": chosen.limit + 1}


def _column(time: datetime | None) -> str | None:
    """A time as the tables hold it. All are in UTC, so that the order of the texts is that of the times."""
    return time.astimezone(UTC).isoformat() if time else None

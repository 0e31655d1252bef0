"""Which executions a list shows: what a person may ask for, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from projector.catalogue import CATALOGUE
from projector.errors import InputRejected
from projector.execution_status import Phase

MOST_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions to list. `after` is a cursor from an earlier page, `cause` the fingerprint of a failure group.

    `finished_since` and `finished_until` are aware times: only what ended then or later, and only what ended before.
    """

    phase: Phase | None = None
    code: str | None = None
    category: str | None = None
    session: str | None = None
    agent: str | None = None
    cause: str | None = None
    finished_since: datetime | None = None
    finished_until: datetime | None = None
    limit: int = 50
    after: str | None = None

    @classmethod
    def parse(
        cls,
        *,
        phase: str | None = None,
        code: str | None = None,
        category: str | None = None,
        session: str | None = None,
        agent: str | None = None,
        cause: str | None = None,
        finished_since: datetime | None = None,
        finished_until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ExecutionFilter:
        """Check what a person typed. Raises InputRejected, which names what is allowed."""
        known_codes = [entry.code.value for entry in CATALOGUE.values()]
        categories = [entry.category for entry in CATALOGUE.values()]
        if phase is not None and phase.upper() not in set(Phase):
            raise InputRejected(f"'{phase}' is not a phase: choose one of {', '.join(Phase)}")
        if code is not None and code.upper() not in known_codes:
            raise InputRejected(f"'{code}' is not a failure code: `execution-status codes` lists them")
        if category is not None and category not in categories:
            raise InputRejected(f"'{category}' is not a failure category: `execution-status codes` lists them")
        for what, text in (("a session", session), ("an agent", agent)):
            if text is not None and not text.isprintable():
                raise InputRejected(f"{text!r} cannot be {what}")  # among others what the terminal sent is not UTF-8
        if cause is not None and not re.fullmatch("[0-9a-f]{12}", cause):
            raise InputRejected(f"{cause[:40]!r} is not a cause: take a group's fingerprint from `failures --json`")
        if finished_since and finished_until and finished_since >= finished_until:
            raise InputRejected("nothing can have ended in that time: give --since a moment before that of --until")
        check_limit(limit)
        if after is not None and not (re.fullmatch("[0-9]{1,18}", after) and int(after)):
            raise InputRejected(f"'{after}' is not a cursor: take the one that the page before it ended with")
        return cls(
            phase=Phase(phase.upper()) if phase else None,
            code=code.upper() if code else None,
            category=category,
            session=session,
            agent=agent,
            cause=cause,
            finished_since=finished_since,
            finished_until=finished_until,
            limit=limit,
            after=after,
        )


def check_limit(limit: int) -> None:
    """Refuse a number of rows that is none, or too many. Raises InputRejected."""
    if not 1 <= limit <= MOST_ROWS:
        raise InputRejected(f"{limit} is not a limit: choose a number from 1 to {MOST_ROWS}")

"""How many of what there are: counts of the query tables, for whoever watches an installation.

Every question is about an index or about what is open, never about the events or about whole rows of what has ended.
So it costs what the open executions cost, and for those that have ended a walk along an index without their rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from projector.engines.ports import Reader

SELECT_PHASES: Final = "SELECT phase, COUNT(*) FROM executions GROUP BY phase"
"""How many executions are in each phase."""

SELECT_CODES: Final = "SELECT code, COUNT(*) FROM executions WHERE code IS NOT NULL GROUP BY code"
"""How many executions failed with each code."""

SELECT_CONDITIONS: Final = """
SELECT condition, COUNT(*) FROM executions
WHERE phase IN ('PENDING', 'IN_PROGRESS') AND condition IS NOT NULL GROUP BY condition
"""
"""How many open executions show each condition; one that has several shows the latest."""

SELECT_CONDITIONED: Final = """
SELECT status FROM executions
WHERE phase IN ('PENDING', 'IN_PROGRESS') AND condition IS NOT NULL ORDER BY first_position LIMIT 100
"""
"""The oldest of these."""

SELECT_QUIETEST: Final = "SELECT status FROM executions WHERE phase = 'IN_PROGRESS' ORDER BY position LIMIT 1"
"""Positions are in the order of time: who has the lowest has been silent longest."""

SELECT_PARKED: Final = "SELECT COUNT(*) FROM parked"

SELECT_RUNNERS: Final = "SELECT state, COUNT(*) FROM runners GROUP BY state"
"""How many runner processes last said what of themselves."""

SELECT_PROJECTED: Final = "SELECT notification_id FROM tracking WHERE application_name = 'projector'"

SELECT_NEWEST_END: Final = "SELECT MAX(finished_at) FROM executions WHERE finished_at IS NOT NULL"

SELECT_ENDINGS: Final = """
SELECT execution_id, position, status FROM executions
WHERE finished_at >= :since AND position > :after ORDER BY position LIMIT :limit
"""
"""What ended lately; the times are text, and in one zone they sort as they should."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts as of `position`; times are those of the events.

    `quiet_since` is when the execution that has been silent longest, of those in progress, last had an event.
    `conditions_since` is when the oldest condition of each kind was first seen, among the hundred oldest executions.
    """

    head: int
    position: int
    phases: Mapping[str, int]
    codes: Mapping[str, int]
    conditions: Mapping[str, int]
    conditions_since: Mapping[str, datetime]
    quiet_since: datetime | None
    parked: int
    runners: Mapping[str, int]
    newest_end: datetime | None


@dataclass(frozen=True, slots=True)
class Ending:
    """An execution that has ended. `code` is empty unless it failed; `before_end_at` is its last event before."""

    execution_id: str
    position: int
    phase: str
    code: str
    requested_at: datetime | None
    before_end_at: datetime | None
    finished_at: datetime


class _Failure(msgspec.Struct):
    code: str


class _Condition(msgspec.Struct):
    kind: str
    since: datetime


class _Status(msgspec.Struct):
    """What of a status matters here."""

    phase: str
    failure: _Failure | None = None
    requested_at: datetime | None = None
    before_end_at: datetime | None = None
    finished_at: datetime | None = None
    last_event_at: datetime | None = None
    conditions: tuple[_Condition, ...] = ()


_DECODER: Final = msgspec.json.Decoder(_Status)


async def read_figures(reader: Reader) -> Figures:
    """Count. Raises StoreUnavailable."""
    # Asked at once: an engine that can answers them in one visit.
    head, *rows = await asyncio.gather(
        reader.head(),
        *map(
            reader.fetch,
            (
                SELECT_PROJECTED,
                SELECT_PHASES,
                SELECT_CODES,
                SELECT_CONDITIONS,
                SELECT_CONDITIONED,
                SELECT_QUIETEST,
                SELECT_PARKED,
                SELECT_RUNNERS,
                SELECT_NEWEST_END,
            ),
        ),
    )
    position, phases, codes, conditions, conditioned, quietest, parked, runners, newest = rows
    statuses = [_DECODER.decode(row[0]) for row in quietest]
    return Figures(
        head=head,
        position=int(position[0][0]) if position else 0,
        phases=_counts(phases),
        codes=_counts(codes),
        conditions=_counts(conditions),
        conditions_since=_oldest(_DECODER.decode(row[0]) for row in conditioned),
        quiet_since=statuses[0].last_event_at if statuses else None,
        parked=int(parked[0][0]),
        runners=_counts(runners),
        newest_end=datetime.fromisoformat(newest[0][0]) if newest[0][0] else None,
    )


async def read_endings(reader: Reader, since: datetime, after: int, limit: int) -> tuple[Ending, ...]:
    """See Queries.endings."""
    asked = {"since": since.astimezone(UTC).isoformat(), "after": after, "limit": limit}
    found = []
    for execution_id, position, state in await reader.fetch(SELECT_ENDINGS, asked):
        status = _DECODER.decode(state)
        if status.finished_at is not None:
            code = status.failure.code if status.failure else ""
            times = status.requested_at, status.before_end_at, status.finished_at
            found.append(Ending(execution_id, position, status.phase, code, *times))
    return tuple(found)


def _counts(rows: Iterable[Sequence[Any]]) -> dict[str, int]:
    return {name: int(count) for name, count in rows}


def _oldest(statuses: Iterable[_Status]) -> dict[str, datetime]:
    since: dict[str, datetime] = {}
    for status in statuses:
        for condition in status.conditions:
            since[condition.kind] = min(condition.since, since.get(condition.kind, condition.since))
    return since

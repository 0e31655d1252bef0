"""Which executions an archive takes: those that ended before some moment, the earliest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from projector.codec import EventMapper
from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, execution_stream
from projector.events import TERMINAL_TYPES
from projector.keeping.event_line import FiledEvent
from projector.stored_row import StoredRow

_WANTED: Final = """
finished_at < :before AND NOT EXISTS (SELECT 1 FROM parked WHERE stream = 'execution/' || execution_id)
"""
"""What the projector could not take stays where it can be looked at."""

SELECT_ENDED: Final = f"""
SELECT execution_id, phase, finished_at, version FROM executions
WHERE {_WANTED} AND (finished_at > :at OR (finished_at = :at AND execution_id > :id))
ORDER BY finished_at, execution_id LIMIT :limit
"""  # noqa: S608 - our own words

SELECT_SUM: Final = f"""
SELECT COUNT(*), COALESCE(SUM(version), 0), MIN(finished_at), MAX(finished_at) FROM executions WHERE {_WANTED}
"""  # noqa: S608 - our own words

_PAGE: Final = 500


class Ended(NamedTuple):
    """An execution that has ended, as the query tables tell; they may be behind, but never tell of an end too early."""

    execution_id: str
    phase: str
    finished_at: str
    events: int

    @property
    def stream(self) -> str:
        """Its stream."""
        return execution_stream(self.execution_id)


class Sum(NamedTuple):
    """How many executions, with how many events, and when the first and the last of them ended."""

    executions: int
    events: int
    first_end: str | None
    last_end: str | None


def sum_of_ended(store: StoreEngine, before: datetime) -> Sum:
    """How much there is to archive. Raises StoreError."""
    with store.database.transaction(commit=False) as cursor:
        cursor.execute(SELECT_SUM, {"before": _column(before)})
        executions, events, first, last = cursor.fetchone()
    return Sum(int(executions), int(events), first, last)


def all_ended(store: StoreEngine, before: datetime) -> Iterator[Ended]:
    """The executions that ended before then, the earliest first. Raises StoreError."""
    at, last = "", ""
    while page := _page(store, {"before": _column(before), "at": at, "id": last, "limit": _PAGE}):
        yield from page
        at, last = page[-1].finished_at, page[-1].execution_id


def is_end(event: FiledEvent, mapper: EventMapper, before: datetime) -> bool:
    """Whether this is the end of an execution, and came before then: the store is believed, and not its rows."""
    if event.id != END_EVENT_ID:
        return False
    row = StoredRow(event.position, event.stream, event.version, event.topic, event.body)
    record = mapper.to_domain_event(row.notification())
    return isinstance(record.event, TERMINAL_TYPES) and record.time < before


def _page(store: StoreEngine, parameters: dict[str, Any]) -> list[Ended]:
    with store.database.transaction(commit=False) as cursor:
        cursor.execute(SELECT_ENDED, parameters)
        return [Ended(*row) for row in cursor.fetchall()]


def _column(time: datetime) -> str:
    """A time as the tables hold it. All are in UTC, so that the order of the texts is that of the times."""
    return time.astimezone(UTC).isoformat()

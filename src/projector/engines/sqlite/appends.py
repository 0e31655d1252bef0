"""What one batch of appends becomes in an SQLite file: hopefully at once, else append by append.

Almost always every event of a batch is new and every expectation holds. So the rows are made as if that were known
and inserted many to a statement; Python's lock is given up once a statement, so that the agents' threads go on
meanwhile. The key of `event_ids` objects to an event that is there already; then the transaction begins anew, and
each append is looked at. That is cheaper than a savepoint: for one, and for any statement of many rows that may fail
without ending its transaction, SQLite first copies every page that is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

from projector.codec import EventMapper
from projector.door.hygiene import Hygiene
from projector.engines.ports import Cursor
from projector.envelope import RecordedEvent
from projector.errors import VersionConflict
from projector.event_store import STORED_UNTOLD, Append, Appended
from projector.stored_row import StoredRow

INSERT_EVENTS: Final = (
    "INSERT OR ROLLBACK INTO stored_events (originator_id, originator_version, topic, state) VALUES {rows}"
)

INSERT_EVENT_IDS: Final = (
    "INSERT OR ROLLBACK INTO event_ids (originator_id, event_id, originator_version) VALUES {rows}"
)

SELECT_LAST_VERSIONS: Final = """
WITH wanted (stream) AS (VALUES {rows})
SELECT stream, (SELECT MAX(originator_version) FROM stored_events WHERE originator_id = stream) FROM wanted
"""

SELECT_VERSION_OF_ID: Final = "SELECT originator_version FROM event_ids WHERE originator_id = ? AND event_id = ?"

SELECT_LAST_VERSION: Final = "SELECT MAX(originator_version) FROM stored_events WHERE originator_id = ?"

SELECT_LAST_POSITION: Final = "SELECT last_insert_rowid()"
"""Rows of one transaction have positions without gaps: nobody else can insert meanwhile."""

SELECT_EVENT: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ? AND originator_version = ?
"""

# As few statements as there may be for any number of rows: each gives up Python's lock, and an agent that is busy holds
# it for milliseconds. With four values a row; builds of SQLite before 3.32 take no more than 999.
_MANY_ROWS: Final = (1_000,) if sqlite3.sqlite_version_info >= (3, 32) else ()
_ROWS_A_STATEMENT: Final = (*_MANY_ROWS, 200, 40, 8, 1)


class Entry(NamedTuple):
    """An append with its events behind the door, and their bodies."""

    append: Append
    events: tuple[Any, ...]
    states: tuple[bytes, ...]


class BatchedAppends:
    """Appends of one batch. It is made before the write lock is taken: cleaning must not hold up other processes."""

    def __init__(self, appends: Sequence[Append], hygiene: Hygiene, mapper: EventMapper) -> None:
        """Raises ValueError when two events of one append have the same id, or one cannot be encoded."""
        self._mapper = mapper
        self._entries = [_entry(append, hygiene, mapper) for append in appends]

    def store(self, cursor: Cursor) -> list[Appended | VersionConflict]:
        """Store them in the transaction of this cursor."""
        last = _last_versions(cursor, dict.fromkeys(append.stream for append, _, _ in self._entries))
        firsts = _first_versions(self._entries, last)
        if firsts is not None:
            try:
                return self._store_as_new(cursor, firsts)
            except sqlite3.IntegrityError:  # an event id is held already
                cursor.execute("BEGIN IMMEDIATE")
        return [self._store_one(cursor, entry) for entry in self._entries]

    def _store_as_new(self, cursor: Cursor, firsts: Sequence[int]) -> list[Appended | VersionConflict]:
        position = _insert(cursor, self._entries, firsts)
        outcomes: list[Appended | VersionConflict] = []
        for entry, first in zip(self._entries, firsts, strict=True):
            outcomes.append(_appended(entry, first, position))
            position += len(entry.events)
        return outcomes

    def _store_one(self, cursor: Cursor, entry: Entry) -> Appended | VersionConflict:
        append = entry.append
        held = versions_of_ids(cursor, append)
        if held and len(held) == len(append.events):
            return Appended(tuple(self._at(cursor, append.stream, version) for version in held), is_new=False)
        last = last_version(cursor, append.stream)
        if held:
            return VersionConflict(append.stream, held[0] - 1, last)
        if append.expect.version is not None and append.expect.version != last:
            return VersionConflict(append.stream, append.expect.version, last)
        return _appended(entry, last + 1, _insert(cursor, [entry], [last + 1]))

    def _at(self, cursor: Cursor, stream: str, version: int) -> RecordedEvent:
        cursor.execute(SELECT_EVENT, (stream, version))
        return self._mapper.to_domain_event(StoredRow(*cursor.fetchone()).notification())


def last_version(cursor: Cursor, stream: str) -> int:
    """The last version of a stream, 0 when it does not exist."""
    cursor.execute(SELECT_LAST_VERSION, (stream,))
    return cursor.fetchone()[0] or 0


def _last_versions(cursor: Cursor, streams: Iterable[str]) -> dict[str, int]:
    last = {}
    for statement, parameters in _statements(SELECT_LAST_VERSIONS, list(streams), 1):
        cursor.execute(statement, parameters)
        last.update({stream: version or 0 for stream, version in cursor.fetchall()})
    return last


def _first_versions(entries: Iterable[Entry], last: dict[str, int]) -> list[int] | None:
    """The version of the first event of each entry; None when an expectation does not hold."""
    firsts = []
    for append, _, _ in entries:
        version = last[append.stream]
        if append.expect.version is not None and append.expect.version != version:
            return None
        firsts.append(version + 1)
        last[append.stream] = version + len(append.events)
    return firsts


def versions_of_ids(cursor: Cursor, append: Append) -> list[int]:
    """The versions under which the stream holds these event ids, in their order; those it lacks are left out."""
    versions = []
    for new in append.events:
        cursor.execute(SELECT_VERSION_OF_ID, (append.stream, new.id))
        if (row := cursor.fetchone()) is not None:
            versions.append(int(row[0]))
    return versions


def _entry(append: Append, hygiene: Hygiene, mapper: EventMapper) -> Entry:
    news = append.events
    if len(news) > 1 and len({new.id for new in news}) < len(news):
        raise ValueError(f"two events of one append to '{append.stream}' have the same id")
    events = tuple([hygiene.admit(new.event) for new in news])
    states = [mapper.state(new.id, new.time, new.writer, new.attempt, e) for new, e in zip(news, events, strict=True)]
    return Entry(append, events, tuple(states))


def _insert(cursor: Cursor, entries: Sequence[Entry], firsts: Sequence[int]) -> int:
    """Insert the events of entries whose first versions are these; returns the position of the first of all."""
    ids: list[Any] = []
    rows: list[Any] = []
    for (append, events, states), first in zip(entries, firsts, strict=True):
        stream = append.stream
        for version, (new, event, state) in enumerate(zip(append.events, events, states, strict=True), first):
            ids += (stream, new.id, version)
            rows += (stream, version, type(event).__name__, state)
    for statement, values in chain(_statements(INSERT_EVENT_IDS, ids, 3), _statements(INSERT_EVENTS, rows, 4)):
        cursor.execute(statement, values)
    cursor.execute(SELECT_LAST_POSITION)
    return int(cursor.fetchone()[0]) - len(rows) // 4 + 1


def _statements(statement: str, values: list[Any], columns: int) -> Iterator[tuple[str, list[Any]]]:
    """A statement for rows of so many columns, as many times as it must be said, with the values of its rows."""
    at = 0
    for rows in _ROWS_A_STATEMENT:
        while len(values) - at >= rows * columns:
            yield _with_rows(statement, columns, rows), values[at : at + rows * columns]
            at += rows * columns


@cache
def _with_rows(statement: str, columns: int, rows: int) -> str:
    return statement.format(rows=", ".join(["(" + ", ".join("?" * columns) + ")"] * rows))


def _appended(entry: Entry, first: int, position: int) -> Appended:
    append = entry.append
    if not append.is_told:
        return STORED_UNTOLD
    records = [
        RecordedEvent(append.stream, first + at, position + at, new.id, new.time, new.writer, new.attempt, event)
        for at, (new, event) in enumerate(zip(append.events, entry.events, strict=True))
    ]
    return Appended(tuple(records))

"""Events put into an SQLite file with their positions, and whole streams taken out of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final

from eventsourcing import persistence

from projector.codec import EventMapper
from projector.door.hygiene import Hygiene
from projector.engines.ports import Bell
from projector.engines.sqlite.appends import last_version
from projector.engines.sqlite.datastore import Datastore
from projector.envelope import NewEvent
from projector.errors import EventFileError, StoreHasEvents
from projector.keeping.event_line import FiledEvent
from projector.projections.forgetting import forget
from projector.stored_row import StoredRow

SELECT_ANY: Final = "SELECT 1 FROM stored_events LIMIT 1"

PUT_EVENT: Final = """
INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?, ?)
"""
"""The row's own number is the event's position."""

APPEND_EVENT: Final = """
INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)
"""

PUT_EVENT_ID: Final = "INSERT INTO event_ids (originator_id, event_id, originator_version) VALUES (?, ?, ?)"

TAKE_OUT_EVENTS: Final = "DELETE FROM stored_events WHERE originator_id = ?"
TAKE_OUT_EVENT_ID: Final = "DELETE FROM event_ids WHERE event_id = ? AND originator_id = ?"

SELECT_STREAMS: Final = (
    "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events WHERE originator_id IN ({})"
)

_AT_ONCE: Final = 500


class SqliteKeeper:
    """The Keeper port."""

    def __init__(self, datastore: Datastore, mapper: EventMapper, hygiene: Hygiene, bell: Bell) -> None:
        self._datastore = datastore
        self._mapper = mapper
        self._hygiene = hygiene
        self._bell = bell

    def put_all(self, events: Iterable[FiledEvent]) -> None:
        """See Keeper.put_all."""
        with _each_once(), self._datastore.transaction(commit=True) as cursor:
            cursor.execute(SELECT_ANY)
            if cursor.fetchone() is not None:
                raise StoreHasEvents(str(self._datastore.path))
            rows = iter(events)
            while part := list(islice(rows, _AT_ONCE)):
                cursor.executemany(PUT_EVENT, [(e.position, e.stream, e.version, e.topic, e.body) for e in part])
                cursor.executemany(PUT_EVENT_ID, [(e.stream, e.id, e.version) for e in part if e.id is not None])
        self._bell.ring()

    def read_streams(self, streams: Sequence[str]) -> list[StoredRow]:
        """See Keeper.read_streams."""
        statement = SELECT_STREAMS.format(", ".join("?" * len(streams)))
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute(statement, tuple(streams))
            return [StoredRow(*row) for row in cursor.fetchall()]

    def take_out(
        self, streams: Mapping[str, int], ids: Sequence[tuple[str, str]], stream: str, note: NewEvent
    ) -> list[str]:
        """See Keeper.take_out."""
        event = self._hygiene.admit(note.event)
        state = self._mapper.state(note.id, note.time, note.writer, note.attempt, event)
        with self._datastore.transaction(commit=True) as cursor:
            if changed := [each for each, version in streams.items() if last_version(cursor, each) != version]:
                return changed
            # First: a position that was the last one would be given again.
            version = last_version(cursor, stream) + 1
            cursor.execute(APPEND_EVENT, (stream, version, type(event).__name__, state))
            cursor.execute(PUT_EVENT_ID, (stream, note.id, version))
            cursor.executemany(TAKE_OUT_EVENTS, [(each,) for each in streams])
            cursor.executemany(TAKE_OUT_EVENT_ID, ids)
            forget(cursor, streams)
        self._bell.ring()
        return []


@contextmanager
def _each_once() -> Iterator[None]:
    try:
        yield
    except (sqlite3.IntegrityError, persistence.IntegrityError) as error:
        raise EventFileError(f"the file tells of one event twice ({error}): nothing was restored") from error

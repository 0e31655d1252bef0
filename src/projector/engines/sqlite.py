"""The event store on one SQLite file, on the eventsourcing library's recorder.

Beside the library's `stored_events` stands `event_ids`, whose key (stream, event id) makes an append idempotent. All
is decided inside one write transaction, so what was read still holds when it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor

from projector.codec import EventMapper
from projector.engines.sqlite_datastore import Datastore
from projector.envelope import NewEvent, RecordedEvent
from projector.errors import VersionConflict
from projector.event_store import ANY, Append, Appended, Expectation
from projector.hygiene import Hygiene
from projector.projections.tables import QueryTables

CREATE_EVENT_IDS: Final = """
CREATE TABLE IF NOT EXISTS event_ids (
    originator_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    PRIMARY KEY (originator_id, event_id)
) WITHOUT ROWID
"""

INSERT_EVENT_ID: Final = "INSERT INTO event_ids VALUES (?, ?, ?)"

SELECT_VERSION_OF_ID: Final = "SELECT originator_version FROM event_ids WHERE originator_id = ? AND event_id = ?"

SELECT_LAST_VERSION: Final = "SELECT MAX(originator_version) FROM stored_events WHERE originator_id = ?"

SELECT_STREAM: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ? AND originator_version > ? AND originator_version <= ?
ORDER BY originator_version LIMIT ?
"""

SELECT_STREAM_BACKWARDS: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ? AND originator_version > ? AND originator_version <= ?
ORDER BY originator_version DESC LIMIT ?
"""

_NO_END: Final = 2**62


class EventRecorder(SQLiteApplicationRecorder):
    """The library's recorder, with idempotent appends and with positions in what it reads from a stream."""

    def construct_create_table_statements(self) -> list[str]:
        return [*super().construct_create_table_statements(), CREATE_EVENT_IDS]

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of a stream, as notifications: they know their position."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                SELECT_STREAM_BACKWARDS if desc else SELECT_STREAM,
                (originator_id, _bounded(gt or 0), _bounded(lte, _NO_END), _bounded(limit, _NO_END)),
            )
            return [_notification(row) for row in cursor.fetchall()]

    def last_version(self, cursor: SQLiteCursor, stream: str) -> int:
        """The last version of a stream, 0 when it does not exist."""
        cursor.execute(SELECT_LAST_VERSION, (stream,))
        return cursor.fetchone()[0] or 0

    def versions_of_ids(self, cursor: SQLiteCursor, stream: str, ids: Iterable[str]) -> list[int]:
        """The versions under which the stream holds these event ids, in their order; those it lacks are left out."""
        versions = []
        for event_id in ids:
            cursor.execute(SELECT_VERSION_OF_ID, (stream, event_id))
            if (row := cursor.fetchone()) is not None:
                versions.append(int(row[0]))
        return versions

    def insert(self, cursor: SQLiteCursor, stored: Sequence[StoredEvent], ids: Sequence[str]) -> Sequence[int]:
        """Insert events with their ids; returns their positions."""
        positions = self._insert_events(cursor, stored) or ()
        cursor.executemany(
            INSERT_EVENT_ID,
            [
                (event.originator_id, event_id, event.originator_version)
                for event, event_id in zip(stored, ids, strict=True)
            ],
        )
        return positions


class SqliteEventStore:
    """The EventStore port on one file. `hygiene` is the door that every event passes on its way in."""

    def __init__(
        self,
        path: Path,
        hygiene: Hygiene,
        *,
        lock_timeout: float = 30.0,
        mapper: EventMapper | None = None,
        create: bool = True,
    ) -> None:
        """Open the store, and make it when it is absent and `create` is set.

        `lock_timeout` is in seconds. Opening a store that is there writes nothing, so no lock is waited for.
        Raises StoreError.
        """
        self.path = path
        self.mapper = mapper or EventMapper()
        self._hygiene = hygiene
        self.datastore = Datastore(path, lock_timeout=lock_timeout, create=create)
        self.recorder = EventRecorder(self.datastore)
        if not self.datastore.is_made:
            self._make()

    def _make(self) -> None:
        """Make all tables and mark the file as ours, in one transaction: another process sees all of it or nothing."""
        tables = QueryTables(self.datastore)
        with self.datastore.transaction(commit=True) as cursor:
            for statement in (*self.recorder.create_table_statements, *tables.create_table_statements):
                cursor.execute(statement)
            self.datastore.mark(cursor)

    def append(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Appended:
        """See EventStore.append."""
        outcome = self.append_batch([Append(stream, tuple(events), expect)])[0]
        if isinstance(outcome, VersionConflict):
            raise outcome
        return outcome

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | VersionConflict]:
        """See EventStore.append_batch."""
        # The door is passed before the write lock is taken: cleaning a large event must not hold up other processes.
        clean = [(append, [self._hygiene.admit(new.event) for new in append.events]) for append in appends]
        for append in appends:
            if len({new.id for new in append.events}) < len(append.events):
                raise ValueError(f"two events of one append to '{append.stream}' have the same id")
        with self.datastore.transaction(commit=True) as cursor:
            return [self._append(cursor, append, events) for append, events in clean]

    def _append(self, cursor: SQLiteCursor, append: Append, events: Sequence[Any]) -> Appended | VersionConflict:
        stream = append.stream
        held = self.recorder.versions_of_ids(cursor, stream, [new.id for new in append.events])
        if held and len(held) == len(append.events):
            return Appended(tuple(self._at(cursor, stream, version) for version in held), is_new=False)
        last = self.recorder.last_version(cursor, stream)
        if held:
            return VersionConflict(stream, held[0] - 1, last)
        if append.expect.version is not None and append.expect.version != last:
            return VersionConflict(stream, append.expect.version, last)
        records = [
            RecordedEvent(stream, last + place, 0, new.id, new.time, new.writer, new.attempt, event)
            for place, (new, event) in enumerate(zip(append.events, events, strict=True), start=1)
        ]
        stored = [self.mapper.to_stored_event(record) for record in records]
        positions = self.recorder.insert(cursor, stored, [record.id for record in records])
        return Appended(
            tuple(
                RecordedEvent(r.stream, r.version, position, r.id, r.time, r.writer, r.attempt, r.event)
                for r, position in zip(records, positions, strict=True)
            )
        )

    def _at(self, cursor: SQLiteCursor, stream: str, version: int) -> RecordedEvent:
        cursor.execute(SELECT_STREAM, (stream, version - 1, version, 1))
        return self.mapper.to_domain_event(_notification(cursor.fetchone()))

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> list[RecordedEvent]:
        """See EventStore.read."""
        stored = self.recorder.select_events(stream, gt=after, lte=upto, limit=limit)
        return [self.mapper.to_domain_event(event) for event in stored]

    def tail(self, *, after: int, limit: int = 500) -> list[RecordedEvent]:
        """See EventStore.tail."""
        stored = self.recorder.select_notifications(_bounded(after), _bounded(limit), inclusive_of_start=False)
        return [self.mapper.to_domain_event(event) for event in stored]

    def head(self) -> int:
        """See EventStore.head."""
        return self.recorder.max_notification_id() or 0

    def version(self, stream: str) -> int:
        """See EventStore.version."""
        with self.datastore.transaction(commit=False) as cursor:
            return self.recorder.last_version(cursor, stream)

    def close(self) -> None:
        """See EventStore.close."""
        self.datastore.close()


def _bounded(number: int | None, otherwise: int = 0) -> int:
    # What people type as a version or a position may be more than SQLite's integers hold.
    return otherwise if number is None else min(number, _NO_END)


def _notification(row: Any) -> Notification:
    return Notification(
        id=row["rowid"],
        originator_id=row["originator_id"],
        originator_version=row["originator_version"],
        topic=row["topic"],
        state=row["state"],
    )

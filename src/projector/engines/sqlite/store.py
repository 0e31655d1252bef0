"""The event store on one SQLite file, on the eventsourcing library's recorder.

Beside the library's `stored_events` stands `event_ids`, whose key (stream, event id) makes an append idempotent. All
is decided inside one write transaction, so what was read still holds when it is written.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder

from projector.codec import EventMapper
from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.sqlite.appends import BatchedAppends, last_version
from projector.engines.sqlite.bell import SqliteBell
from projector.engines.sqlite.beside import SqliteBeside, beside
from projector.engines.sqlite.datastore import Datastore
from projector.engines.sqlite.file_leadership import FileLeadership
from projector.engines.sqlite.keeping import SqliteKeeper
from projector.engines.sqlite.reader import SqliteReader
from projector.envelope import NewEvent, RecordedEvent
from projector.errors import VersionConflict
from projector.event_store import ANY, Append, Appended, Expectation, OnAppend
from projector.projections import tables
from projector.stored_row import STEP_TOPICS, Shard, StoredRow

CREATE_EVENT_IDS: Final = """
CREATE TABLE IF NOT EXISTS event_ids (
    originator_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    PRIMARY KEY (event_id, originator_id)
) WITHOUT ROWID
"""
"""Ids of emitters begin with the time, so those of all executions at work lie on the same few pages."""

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

SELECT_LANDMARKS: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ? AND originator_version <= ? AND topic NOT IN (?, ?, ?, ?, ?)
ORDER BY originator_version
"""

SELECT_TAIL: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?
"""

SELECT_SHARD: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE rowid > ? AND (unicode(substr(originator_id, -1)) + unicode(substr(originator_id, -2))) % ? = ?
ORDER BY rowid LIMIT ?
"""
"""The last two characters of an id are those that differ most."""

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
        self.on_append: OnAppend | None = None
        self.mapper = mapper or EventMapper()
        self._hygiene = hygiene
        self._lock_timeout = lock_timeout
        self.database = self.datastore = Datastore(path, lock_timeout=lock_timeout, create=create)
        self.recorder = EventRecorder(self.datastore)
        self.bell = SqliteBell(path)
        if not self.datastore.is_made:
            self._make()

    @property
    def place(self) -> str:
        """See StoreEngine.place."""
        return str(self.path)

    def reader(self) -> SqliteReader:
        """See StoreEngine.reader."""
        return SqliteReader(self.path, lock_timeout=self._lock_timeout)

    def beside(self) -> AbstractContextManager[SqliteBeside]:
        """See StoreEngine.beside."""
        return beside(self.path, self._lock_timeout)

    def keeper(self) -> SqliteKeeper:
        """See StoreEngine.keeper."""
        return SqliteKeeper(self.datastore, self.mapper, self._hygiene, self.bell)

    def leadership(self, role: str) -> FileLeadership:
        """See StoreEngine.leadership."""
        return FileLeadership(self.path, role)

    def _make(self) -> None:
        """Make all tables and mark the file as ours, in one transaction: another process sees all of it or nothing."""
        with self.datastore.transaction(commit=True) as cursor:
            for statement in (*self.recorder.create_table_statements, *tables.CREATE):
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
        began = time.perf_counter()
        batch = BatchedAppends(appends, self._hygiene, self.mapper)
        with self.datastore.transaction(commit=True) as cursor:
            outcomes = batch.store(cursor)
        self.bell.ring()
        if self.on_append is not None:
            self.on_append(sum(len(append.events) for append in appends), time.perf_counter() - began)
        return outcomes

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

    def read_stored(self, stream: str, *, after: int, upto: int | None = None, limit: int) -> list[StoredRow]:
        """See StoreEngine.read_stored."""
        return self._rows(SELECT_STREAM, (stream, _bounded(after), _bounded(upto, _NO_END), _bounded(limit)))

    def read_landmarks(self, stream: str, *, upto: int) -> list[StoredRow]:
        """See StoreEngine.read_landmarks."""
        return self._rows(SELECT_LANDMARKS, (stream, _bounded(upto), *STEP_TOPICS))

    def tail_stored(self, *, after: int, limit: int, shard: Shard | None = None) -> list[StoredRow]:
        """See StoreEngine.tail_stored."""
        if shard is None:
            return self._rows(SELECT_TAIL, (_bounded(after), _bounded(limit)))
        return self._rows(SELECT_SHARD, (_bounded(after), shard.parts, shard.place, _bounded(limit)))

    def opener(self) -> Callable[[], SqliteEventStore]:
        """See StoreEngine.opener."""
        return partial(_open_to_read, self.path, self.mapper, self._lock_timeout)

    def _rows(self, statement: str, parameters: tuple[Any, ...]) -> list[StoredRow]:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.sqlite_cursor.row_factory = _as_stored
            cursor.execute(statement, parameters)
            return cast("list[StoredRow]", cursor.fetchall())

    def head(self) -> int:
        """See EventStore.head."""
        return self.recorder.max_notification_id() or 0

    def version(self, stream: str) -> int:
        """See EventStore.version."""
        with self.datastore.transaction(commit=False) as cursor:
            return last_version(cursor, stream)

    def close(self) -> None:
        """See EventStore.close."""
        self.bell.close()
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


def _open_to_read(path: Path, mapper: EventMapper, lock_timeout: float) -> SqliteEventStore:
    return SqliteEventStore(path, Hygiene(Redactor()), lock_timeout=lock_timeout, mapper=mapper, create=False)


def _as_stored(_: sqlite3.Cursor, row: tuple[Any, ...]) -> StoredRow:
    # A third faster than making them of the library's rows, and there are millions of them.
    return tuple.__new__(StoredRow, row)

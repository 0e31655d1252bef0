"""The event store on PostgreSQL, on the eventsourcing library's recorder.

Beside the library's `stored_events` stands `event_ids`, whose key (stream, event id) makes an append idempotent. All
is decided inside one transaction that holds the library's own lock on `stored_events`: positions are in the order of
commits, so who reads on from a position misses nothing, and the library's own writers take the same turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from projector.codec import EventMapper
from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.forked import let_go_in_children
from projector.engines.postgres import schema as postgres_schema
from projector.engines.postgres.address import Address
from projector.engines.postgres.appends import Decisions, Entry
from projector.engines.postgres.at_once import AtOnce
from projector.engines.postgres.bell import PostgresBell
from projector.engines.postgres.beside import PostgresBeside, beside
from projector.engines.postgres.connection import PgConnection
from projector.engines.postgres.database import PostgresDatabase
from projector.engines.postgres.datastore import Datastore, refuse_db_functions
from projector.engines.postgres.errors import unavailable
from projector.engines.postgres.keeping import PostgresKeeper
from projector.engines.postgres.leadership import PostgresLeadership
from projector.engines.postgres.reader import PostgresReader
from projector.engines.postgres.recorder import EventRecorder
from projector.envelope import NewEvent, RecordedEvent
from projector.errors import VersionConflict
from projector.event_store import ANY, Append, Appended, Expectation, OnAppend
from projector.stored_row import Shard, StoredRow


class PostgresEventStore:
    """The StoreEngine port on one database. `hygiene` is the door that every event passes on its way in."""

    def __init__(
        self,
        dsn: str,
        hygiene: Hygiene,
        *,
        lock_timeout: float = 5.0,
        mapper: EventMapper | None = None,
        create: bool = True,
    ) -> None:
        """Open the store, and make it when its tables are absent and `create` is set.

        `dsn` is any address that libpq understands; tables are in the first schema of its search_path. `lock_timeout`
        is how long, in seconds, a write waits for another process's. Opening a store that is there writes nothing and
        waits for no lock. `mapper` must encode an event's body in the same way whatever its version is.
        Raises StoreError.
        """
        refuse_db_functions()
        self.on_append: OnAppend | None = None
        self.mapper = mapper or EventMapper()
        self._hygiene = hygiene
        self._writing = threading.Lock()
        self._dsn = dsn
        self._dsn = dsn
        self.address = Address.parse(dsn)
        self.datastore = Datastore(self.address, lock_timeout=lock_timeout)
        try:
            is_made = postgres_schema.is_made(self.datastore, create=create)
            self.recorder = EventRecorder(self.datastore)
            if not is_made:
                postgres_schema.make(self.datastore, self.recorder)
                self.datastore.register_type_adapters()
        except BaseException:
            self.datastore.close()
            raise
        self._at_once = AtOnce(self.datastore.schema)
        self.database = PostgresDatabase(self.datastore)
        self.bell = PostgresBell(self.datastore)
        let_go_in_children(self)

    def let_go_in_child(self) -> None:
        """Begin anew in a forked child."""
        self._writing = threading.Lock()

    @property
    def place(self) -> str:
        """See StoreEngine.place."""
        return self.address.place

    def append(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Appended:
        """See EventStore.append."""
        outcome = self.append_batch([Append(stream, tuple(events), expect)])[0]
        if isinstance(outcome, VersionConflict):
            raise outcome
        return outcome

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | VersionConflict]:
        """See EventStore.append_batch."""
        if not appends:
            return []
        began = time.perf_counter()
        outcomes = self._append_all(appends)
        if self.on_append is not None:
            self.on_append(sum(len(append.events) for append in appends), time.perf_counter() - began)
        return outcomes

    def _append_all(self, appends: Sequence[Append]) -> list[Appended | VersionConflict]:
        # All that can be done without the lock is done before it is taken: nobody waits while we clean and encode.
        entries = [self._entry(append) for append in appends]
        with self._turn(), self.datastore.started(_nothing) as (connection, _):
            if (stored := self._at_once.store(connection, entries)) is not None:
                return list(stored)
            streams = list(dict.fromkeys(append.stream for append in appends))
            asked = list(dict.fromkeys((append.stream, new.id) for append in appends for new in append.events))
            decisions = Decisions(self.recorder.begin(connection, streams, asked))
            for entry in entries:
                decisions.take(entry)
            if missing := decisions.missing():
                for row in self.recorder.at(connection, missing):
                    decisions.found(self.mapper.to_domain_event(row.notification()))
            if decisions.rows:
                self.recorder.insert_and_commit(connection, decisions.rows)
            return decisions.outcomes()

    def _entry(self, append: Append) -> Entry:
        news, state = append.events, self.mapper.state
        events = [self._hygiene.admit(new.event) for new in news]
        if len(news) > 1 and len({new.id for new in news}) < len(news):
            raise ValueError(f"two events of one append to '{append.stream}' have the same id")
        states = [state(new.id, new.time, new.writer, new.attempt, e) for new, e in zip(news, events, strict=True)]
        return Entry(append, events, states)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # Of the threads of a process, one at a time asks for the lock: the others would only hold connections that
        # readers could use.
        if not self._writing.acquire(timeout=self.datastore.patience + 5):
            raise unavailable(
                self.address,
                "another thread of this process has been writing all the time",
                "check that the server answers in time",
            )
        try:
            yield
        finally:
            self._writing.release()

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> list[RecordedEvent]:
        """See EventStore.read."""
        rows = self.recorder.stream(stream, after, upto, limit)
        return [self.mapper.to_domain_event(row.notification()) for row in rows]

    def tail(self, *, after: int, limit: int = 500) -> list[RecordedEvent]:
        """See EventStore.tail."""
        return [self.mapper.to_domain_event(row.notification()) for row in self.recorder.tail(after, limit)]

    def read_stored(self, stream: str, *, after: int, upto: int | None = None, limit: int) -> list[StoredRow]:
        """See StoreEngine.read_stored."""
        return self.recorder.stream(stream, after, upto, limit)

    def read_landmarks(self, stream: str, *, upto: int) -> list[StoredRow]:
        """See StoreEngine.read_landmarks."""
        return self.recorder.landmarks(stream, upto)

    def tail_stored(self, *, after: int, limit: int, shard: Shard | None = None) -> list[StoredRow]:
        """See StoreEngine.tail_stored."""
        return self.recorder.tail(after, limit, shard)

    def head(self) -> int:
        """See EventStore.head."""
        return self.recorder.head()

    def version(self, stream: str) -> int:
        """See EventStore.version."""
        return self.recorder.last_version(stream)

    def opener(self) -> Callable[[], PostgresEventStore]:
        """See StoreEngine.opener."""
        return partial(_open_to_read, self._dsn, self.mapper, self.datastore.patience)

    def reader(self) -> PostgresReader:
        """See StoreEngine.reader."""
        return PostgresReader(self.address)

    def beside(self) -> AbstractContextManager[PostgresBeside]:
        """See StoreEngine.beside."""
        return beside(self.datastore)

    def keeper(self) -> PostgresKeeper:
        """See StoreEngine.keeper."""
        return PostgresKeeper(self.datastore, self.mapper, self._hygiene)

    def leadership(self, role: str) -> PostgresLeadership:
        """See StoreEngine.leadership."""
        return PostgresLeadership(self.datastore, role)

    def close(self) -> None:
        """See EventStore.close."""
        self.datastore.close()


def _nothing(_: PgConnection) -> None:
    """What an append begins with: should its connection die, it may have been stored; the caller asks."""


def _open_to_read(dsn: str, mapper: EventMapper, lock_timeout: float) -> PostgresEventStore:
    return PostgresEventStore(dsn, Hygiene(Redactor()), lock_timeout=lock_timeout, mapper=mapper, create=False)

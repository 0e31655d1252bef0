"""What an engine gives beside the event store: a database for the query tables, a reader for queries, a bell.

Statements that several engines run are written once, in the words that SQLite and PostgreSQL share: `?` or `:name` for
parameters, ON CONFLICT for what replaces. What they do not share, such as reading events by position, is a method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from eventsourcing.persistence import ApplicationRecorder, Notification

from projector.codec import EventMapper
from projector.envelope import NewEvent
from projector.event_store import EventStore, OnAppend
from projector.keeping.event_line import FiledEvent
from projector.stored_row import Shard, StoredRow

Parameters = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """A cursor in a transaction that somebody holds."""

    def execute(self, statement: str, parameters: Parameters = (), /) -> Any:
        """Run one statement."""
        ...

    def executemany(self, statement: str, rows: Iterable[Parameters], /) -> Any:
        """Run one statement for each row."""
        ...

    def fetchone(self) -> Any:
        """The next row of the last statement, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows of the last statement that are left."""
        ...


class Database(Protocol):
    """A database that holds query tables. Raises StoreErrors in place of the engine's own."""

    def transaction(self, *, commit: bool) -> AbstractContextManager[Cursor]:
        """One transaction, writing if `commit` is set; all its changes are on disk when it ends without an error."""
        ...

    def create_tables(self, statements: Sequence[str]) -> None:
        """Make tables that are missing; safe while other processes do the same."""
        ...

    def close(self) -> None:
        """Release the connections. Calling it twice does no harm."""
        ...


class Reader(Protocol):
    """Reads for one event loop, SELECT only. Raises StoreErrors in place of the engine's own."""

    @property
    def place(self) -> str:
        """Where the store is, for people: a path, or an address without its password."""
        ...

    async def open(self) -> None:
        """Connect. Raises StoreMissing, StoreForeign, StoreTooNew, StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Release the connection. Calling it twice does no harm."""
        ...

    async def fetch(self, statement: str, parameters: Parameters = ()) -> list[Any]:
        """All rows of a statement, as sequences. Raises StoreUnavailable."""
        ...

    async def current(self, execution_id: str, fold_version: int) -> tuple[str | None, list[Notification]]:
        """The row of an execution, if this version of the fold has made it, and its events beyond the row.

        Raises StoreUnavailable.
        """
        ...

    async def stream(self, stream: str, after: int) -> list[Notification]:
        """The events of one stream above a version. Raises StoreUnavailable."""
        ...

    async def streams(self, prefix: str, after: int) -> list[Notification]:
        """The events above a position of all streams whose names begin so. Raises StoreUnavailable."""
        ...

    async def head(self) -> int:
        """The last position, 0 for an empty store. Raises StoreUnavailable."""
        ...

    async def oldest(self, limit: int) -> list[bytes]:
        """The bodies of the oldest events, as the store holds them. Raises StoreUnavailable."""
        ...


class Bell(Protocol):
    """Tells who waits, in this process or another, that the store may hold something new.

    It may ring for nothing, and a ring may be lost: who waits looks again after a while all the same.
    """

    def ring(self) -> None:
        """Wake all who listen. Never blocks and never raises."""
        ...

    def listen(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `wake` at each ring, from a thread of the bell's; it must be quick and must not raise."""
        ...


class Beside(Protocol):
    """New query tables beside those in use, in schemas of their own."""

    @property
    def database(self) -> Database:
        """Where the new tables are made and filled."""
        ...

    def opener(self) -> Callable[[], Database]:
        """Opens `database` in another process, to which it is sent."""
        ...

    @property
    def in_use(self) -> str:
        """The schema of the tables in use."""
        ...

    @property
    def fresh(self) -> str:
        """The schema of the new ones."""
        ...

    def standing_still(self) -> AbstractContextManager[Cursor]:
        """A transaction that sees both, and in which nothing is appended or projected by anybody.

        It is committed when it ends without an error.
        """
        ...


class Leadership(Protocol):
    """Which of several processes does what only one need do."""

    def hold(self) -> bool:
        """Whether this process leads; it takes the lead if nobody has it. Quick, and never raises."""
        ...

    def release(self) -> None:
        """Let another lead. Calling it twice does no harm."""
        ...


class Keeper(Protocol):
    """Puts events into a store whole, with their positions, and takes whole streams out of it."""

    def put_all(self, events: Iterable[FiledEvent]) -> None:
        """Store events in one transaction, in a store that has none; bodies are stored as they come.

        The next event has a position above all of theirs. Raises StoreHasEvents, EventFileError when one comes twice,
        StoreError, and whatever `events` raises: then nothing is stored.
        """
        ...

    def read_streams(self, streams: Sequence[str]) -> list[StoredRow]:
        """All events of some streams, in any order: what `read_stored` gives of each, at once. Raises StoreError."""
        ...

    def take_out(
        self, streams: Mapping[str, int], ids: Sequence[tuple[str, str]], stream: str, note: NewEvent
    ) -> list[str]:
        """Take streams, whose last versions are given, out of the store in one transaction that appends `note`.

        `ids` are the ids of all their events, as (event id, stream).
        The note is appended to `stream` first, so that the last position of the store stays in it. The rows of the
        streams leave the query tables, which are marked to be made anew. If a stream is at another version by now,
        nothing is changed: returns those. Raises StoreError.
        """
        ...


class StoreEngine(EventStore, Protocol):
    """An event store with all that stands on it."""

    on_append: OnAppend | None
    """Called after each transaction that appended, on the thread that did; it must be quick and must not raise."""

    @property
    def mapper(self) -> EventMapper:
        """Events to bytes and back, as this store keeps them."""
        ...

    @property
    def database(self) -> Database:
        """The query tables in use."""
        ...

    @property
    def bell(self) -> Bell:
        """Rings when something was appended."""
        ...

    @property
    def place(self) -> str:
        """Where it is, for people: a path, or an address without its password."""
        ...

    @property
    def recorder(self) -> ApplicationRecorder:
        """The eventsourcing library's recorder over the same tables."""
        ...

    def read_stored(self, stream: str, *, after: int, upto: int | None = None, limit: int) -> list[StoredRow]:
        """Like `read`, but as the store holds them. Raises StoreError."""
        ...

    def read_landmarks(self, stream: str, *, upto: int) -> list[StoredRow]:
        """The events of a stream up to a version that are no agent's steps and no heartbeats. Raises StoreError."""
        ...

    def tail_stored(self, *, after: int, limit: int, shard: Shard | None = None) -> list[StoredRow]:
        """Like `tail`, but as the store holds them, of all streams or of a part of them. Raises StoreError."""
        ...

    def opener(self) -> Callable[[], StoreEngine]:
        """Opens the same store, only to read, in another process, to which it is sent."""
        ...

    def reader(self) -> Reader:
        """A reader of the same store, to be opened."""
        ...

    def beside(self) -> AbstractContextManager[Beside]:
        """Room for new query tables; what is left of it goes away at the end. Raises StoreError."""
        ...

    def keeper(self) -> Keeper:
        """What puts events in and takes them out, for backups and archives."""
        ...

    def leadership(self, role: str) -> Leadership:
        """Who leads in this role among the processes that share this store."""
        ...

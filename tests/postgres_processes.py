"""What tests and their child processes do to a store on PostgreSQL."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import psycopg

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.ports import Database
from projector.engines.postgres.connection import PgConnection
from projector.engines.postgres.recorder import NewRow
from projector.engines.postgres.store import PostgresEventStore
from projector.envelope import NewEvent, execution_stream
from projector.errors import StoreUnavailable, VersionConflict
from projector.event_store import NO_STREAM, Append, Appended, EventStore
from projector.events import MessageAppended


def open_postgres(dsn: str, lock_timeout: float = 30.0, *, create: bool = True) -> PostgresEventStore:
    """A store in a database, with a door that knows no secrets of its own."""
    return PostgresEventStore(dsn, Hygiene(Redactor()), lock_timeout=lock_timeout, create=create)


@contextmanager
def postgres_locked(dsn: str) -> Iterator[None]:
    """Hold the lock that every append takes."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.transaction(force_rollback=True):
        connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        yield


def write_much(pipe: Connection, dsn: str, number: int, events: int, locked: bool) -> None:
    """Append so many events to a stream of the child's own, in turn one and fifty at once, every tenth time in vain.

    Tells how many were stored and how many appends were refused. Without `locked`, the lock is left out that keeps
    positions in the order of commits.
    """
    stream = execution_stream(f"watch-{number}")
    with closing(open_postgres(dsn, 60.0)) as store:
        if not locked:
            store._at_once._lock = b"SELECT 1"
            store.recorder._begin = store.recorder._begin.replace(b"LOCK TABLE", b"-- LOCK TABLE")
        pipe.send("ready")
        pipe.recv()
        stored = refused = 0
        for turn in itertools.count():
            if stored >= events:
                break
            size = min(1 if turn % 2 else 50, events - stored)
            batch = tuple(message(f"{number}-{stored + at}") for at in range(size))
            appends = [Append(stream, batch)]
            if turn % 10 == 9:
                appends.insert(0, Append(stream, (message(f"{number}-vain-{turn}"),), NO_STREAM))
            outcomes = store.append_batch(appends)
            stored += sum(len(one.records) for one in outcomes if isinstance(one, Appended) and one.is_new)
            refused += sum(isinstance(one, VersionConflict) for one in outcomes)
        pipe.send((stored, refused))


def message(event_id: str) -> NewEvent:
    """A small event."""
    text = f"Sounding {event_id}: seven fathoms."
    return NewEvent(event_id, datetime.now(UTC), "runner:test", MessageAppended(role="assistant", text=text))


def add_to_counter(pipe: Connection, dsn: str, times: int) -> None:
    """Read a number and write it back one higher, each time in a transaction."""
    with closing(open_postgres(dsn, 60.0)) as store:
        for _ in range(times):
            with store.database.transaction(commit=True) as cursor:
                cursor.execute("SELECT notification_id FROM tracking WHERE application_name = 'counter'")
                ((number,),) = cursor.fetchall()
                cursor.execute(
                    "UPDATE tracking SET notification_id = ? WHERE application_name = 'counter'", (number + 1,)
                )
        pipe.send("done")


def stay_beside(pipe: Connection, dsn: str) -> None:
    """Make room for new tables, tell its name, and keep it until told to leave it."""
    with closing(open_postgres(dsn)) as store, store.beside() as room:
        room.database.create_tables(["CREATE TABLE tides (height INTEGER)"])
        pipe.send(room.fresh.strip('"'))
        pipe.recv()


def lead(pipe: Connection, dsn: str, role: str) -> None:
    """Whenever asked, tell whether this process leads."""
    with closing(open_postgres(dsn)) as store:
        leadership = store.leadership(role)
        while True:
            pipe.recv()
            pipe.send(leadership.hold())


def fill(pipe: Connection, opener: Callable[[], Database], upsert: str) -> None:
    """Write a row into tables that another process has made."""
    with closing(opener()) as database, database.transaction(commit=True) as cursor:
        cursor.execute(upsert, ("Brest", 7, ""))
    pipe.send("filled")


def open_and_count(pipe: Connection, opener: Callable[[], EventStore]) -> None:
    """Open a store by what another process sent, and tell how many events it holds."""
    with closing(opener()) as store:
        pipe.send(len(store.tail(after=0)))


def pause_in_the_middle(pipe: Connection, dsn: str, stream: str) -> None:
    """Be paused under the lock, between two round trips; tell why that write failed, and write again."""
    with closing(open_postgres(dsn)) as store:
        insert = store.recorder.insert_and_commit

        def insert_slowly(connection: PgConnection, rows: Sequence[NewRow]) -> None:
            pipe.send(os.getpid())
            os.kill(os.getpid(), signal.SIGSTOP)
            insert(connection, rows)

        store._at_once.store = lambda connection, entries: None  # type: ignore[method-assign]
        store.recorder.insert_and_commit = insert_slowly  # type: ignore[method-assign]
        try:
            store.append(stream, [message("first")])
        except StoreUnavailable as error:
            pipe.send(str(error))
        store.recorder.insert_and_commit = insert  # type: ignore[method-assign]
        pipe.send(store.append(stream, [message("second")]).records[0].version)


def fork_and_append(pipe: Connection, dsn: str, stream: str) -> None:
    """Append, lead and listen; fork a child that appends and ends, then append again; leave another child behind."""
    with closing(open_postgres(dsn)) as store, store.bell.listen(lambda: None):
        store.append(stream, [message("first")])
        leadership = store.leadership("projector")
        assert leadership.hold()
        if (pid := os.fork()) == 0:
            assert not leadership.hold()
            pipe.send(("child", store.append(stream, [message("second")]).records[0].version))
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert leadership.hold()
        pipe.send(("parent", store.append(stream, [message("third")]).records[0].version))
        if (pid := os.fork()) == 0:
            signal.pause()
        pipe.send(pid)
        pipe.recv()

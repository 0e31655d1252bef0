"""What child processes do to a store in tests. Each takes the pipe to its test first; see `tests.processes`."""

from __future__ import annotations

import itertools
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.ports import StoreEngine
from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import END_EVENT_ID, NewEvent, execution_stream
from projector.errors import StoreError, StoreUnavailable
from projector.event_store import EventStore
from projector.events import ExecutionCompleted, MessageAppended
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from tests.processes import become_nobody

Open = Callable[[str, float], EventStore]
OpenEngine = Callable[[str, float], StoreEngine]


def open_sqlite(place: str, lock_timeout: float = 30.0) -> SqliteEventStore:
    """A store on an SQLite file, with a door that knows no secrets of its own."""
    return SqliteEventStore(Path(place), Hygiene(Redactor()), lock_timeout=lock_timeout)


@contextmanager
def sqlite_locked(place: str) -> Iterator[None]:
    """Hold the write lock of an SQLite file."""
    with closing(sqlite3.connect(place, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def sqlite_owned(place: str) -> Iterator[None]:
    """Have an SQLite file to oneself, as one has for a moment whoever is the last to close it."""
    with closing(sqlite3.connect(place, isolation_level=None, timeout=30)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield


def hold_lock(pipe: Connection, lock: Callable[[str], AbstractContextManager[None]], place: str) -> None:
    """Hold the write lock until the test says something, or ends."""
    with lock(place):
        pipe.send("locked")
        pipe.recv()


def append_many(pipe: Connection, open_store: Open, place: str, shared: str, number: int, times: int) -> None:
    """Append so many messages one by one, in turn to the shared stream and to one of the child's own."""
    with closing(open_store(place, 30.0)) as store:
        streams = shared, execution_stream(f"watch-{number}")
        stored = [store.append(streams[at % 2], [_message(f"{number}-{at}")]).is_new for at in range(times)]
        pipe.send(stored.count(True))


def open_and_append(pipe: Connection, open_store: Open, place: str, execution_id: str) -> None:
    """Open a store that may not be there yet, and append."""
    pipe.send("ready")
    pipe.recv()
    with closing(open_store(place, 30.0)) as store:
        store.append(execution_stream(execution_id), [_message("first")])
        pipe.send("stored")


def append_verdict(pipe: Connection, open_store: Open, place: str, stream: str, number: int) -> None:
    """Append an end of the child's own, and tell which one stands."""
    with closing(open_store(place, 30.0)) as store:
        pipe.send("ready")
        pipe.recv()
        end = ExecutionCompleted(output=number)
        appended = store.append(stream, [NewEvent(END_EVENT_ID, datetime.now(UTC), f"judge:{number}", end)])
        standing = appended.records[0].event
        assert isinstance(standing, ExecutionCompleted)
        pipe.send((appended.is_new, standing.output))


def _message(event_id: str) -> NewEvent:
    text = f"Sounding {event_id}: seven fathoms."
    return NewEvent(event_id, datetime.now(UTC), "runner:test", MessageAppended(role="assistant", text=text))


def append_on_a_full_disk(pipe: Connection, place: str, stream: str) -> None:
    """Append until files may grow no more; say how far that went and why it stopped; go on when there is room."""
    with closing(open_sqlite(place, 0.2)) as store:
        store.append(stream, [_message("before")])
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
        stored, refusal = 1, None
        while refusal is None:
            try:
                store.append(stream, [_message(f"{stored}-" + "deep " * 200)])
                stored += 1
            except StoreUnavailable as error:
                refusal = str(error)
        pipe.send(stored)
        pipe.send((refusal, store.version(stream)))
        pipe.recv()
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        store.append(stream, [_message("after")])
        pipe.send(store.version(stream))


def append_where_nothing_may_be_written(pipe: Connection, place: str, stream: str, lock_timeout: float) -> None:
    """Append as a user with few rights: once, then while the test has taken even those away, then with them again."""
    become_nobody()
    try:
        store = open_sqlite(place, lock_timeout)
    except StoreError as error:
        pipe.send(str(error))
        return
    with closing(store):
        store.append(stream, [_message("before")])
    pipe.send("stored")  # once closed: what SQLite leaves beside the file is gone when the rights are taken away
    pipe.recv()
    refusals = []
    again: SqliteEventStore | None = None
    for _ in range(2):
        try:
            # Whether it can even be opened for reading depends on what SQLite left beside it.
            again = again or open_sqlite(place, lock_timeout)
            again.append(stream, [_message("meanwhile")])
        except StoreUnavailable as error:
            refusals.append(str(error))
    pipe.send(refusals)
    pipe.recv()
    with closing(again or open_sqlite(place, lock_timeout)) as store:
        store.append(stream, [_message("after")])
        pipe.send(store.version(stream))


def project_to(pipe: Connection, open_store: OpenEngine, place: str, position: int, batch: int) -> None:
    """Project until the tables are at this position, and tell it."""
    with closing(open_store(place, 30.0)) as store:
        runner = ProjectionRunner(store, store.database, batch=batch)
        while runner.position < position:
            runner.step()
        pipe.send(runner.position)


def rebuild_tables(pipe: Connection, open_store: OpenEngine, place: str, processes: int) -> None:
    """Rebuild once, by so many processes; tell the begin and the end."""
    with closing(open_store(place, 30.0)) as store:
        pipe.send("begins")
        rebuild(store, processes=processes)
        pipe.send("ends")


def append_history_slowly(pipe: Connection, open_store: Open, place: str, stream: str, messages: int) -> None:
    """Append messages one by one, so that readers see the stream grow, and then the end."""
    with closing(open_store(place, 30.0)) as store:
        for at in range(messages):
            store.append(stream, [_message(f"slow-{at}")])
            time.sleep(0.001)
        store.append(stream, [NewEvent(END_EVENT_ID, datetime.now(UTC), "orchestrator", ExecutionCompleted())])


def append_entries(pipe: Connection, place: str, stream: str, first: int) -> None:
    """Append entries of one to three events for ever, and acknowledge each: its number, and whether it was new."""
    with closing(open_sqlite(place)) as store:
        pipe.send("ready")
        for number in itertools.count(first):
            appended = store.append(stream, [_message(f"entry-{number}-{part}") for part in range(1 + number % 3)])
            pipe.send((number, appended.is_new))


def append_until_told(pipe: Connection, open_store: Open, place: str, stream: str) -> None:
    """Append one by one until the test says something; then tell how many there were."""
    with closing(open_store(place, 30.0)) as store:
        for number in itertools.count():
            if pipe.poll(0.005):
                break
            store.append(stream, [_message(f"calm-{number}")])
        pipe.send(number)


def project_for_ever(pipe: Connection, open_store: OpenEngine, place: str, batch: int) -> None:
    """Project until killed, with the lead or without it."""
    with closing(open_store(place, 30.0)) as store:
        runner = ProjectionRunner(store, store.database, batch=batch)
        pipe.send("running")
        runner.run(threading.Event(), poll_interval=0.001)

"""What child processes do with what they share of one SQLite store: its bell, its locks, its queue, its log.

Each takes the pipe to its test first; see `tests.processes`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from projector.engines.sqlite.bell import SqliteBell
from projector.engines.sqlite.datastore import Datastore
from projector.engines.sqlite.file_leadership import FileLeadership
from projector.engines.sqlite.queue import WriteQueue
from projector.envelope import NewEvent, execution_stream
from projector.events import MessageAppended
from tests.store_processes import open_sqlite


def listen(pipe: Connection, place: str) -> None:
    """Tell of each ring that is heard, until the test says something."""
    with SqliteBell(Path(place)).listen(lambda: pipe.send("ding")):
        pipe.send("listening")
        pipe.recv()


def listen_idly(pipe: Connection, place: str, seconds: float) -> None:
    """Tell how much processor time it takes to listen for a while to a bell that does not ring."""
    with SqliteBell(Path(place)).listen(lambda: None):
        began = time.process_time()
        time.sleep(seconds)
        pipe.send(time.process_time() - began)


def listen_and_fork(pipe: Connection, place: str) -> None:
    """Listen, fork, and ring: tell how many of its rings the parent heard, and whether the child hears its own.

    The child was forked while the parent listened, and leaves the parent's context as the parent will.
    """
    bell, heard = SqliteBell(Path(place)), threading.Semaphore(0)
    with bell.listen(heard.release):
        bell.ring()
        assert heard.acquire(timeout=10)
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                ours = threading.Event()
                with bell.listen(ours.set):
                    bell.ring()
                    os.write(writing, b"1" if ours.wait(10) else b"0")
            os._exit(0)
        told = os.read(reading, 1)
        os.waitpid(pid, 0)
        while heard.acquire(timeout=0.05):
            pass  # what the child rang
        count = 0
        for _ in range(20):
            bell.ring()
            count += heard.acquire(timeout=1)
        pipe.send((count, told))


def lead(pipe: Connection, place: str) -> None:
    """Tell whether one leads, each time that the test asks."""
    leadership = FileLeadership(Path(place), "navigator")
    while True:
        pipe.send(leadership.hold())
        pipe.recv()


def lead_and_fork(pipe: Connection, place: str) -> None:
    """Lead, and leave behind a child that lives until the test has ended; tell its id."""
    leadership = FileLeadership(Path(place), "navigator")
    assert leadership.hold()
    if (pid := os.fork()) == 0:
        pipe.close()
        time.sleep(30)
        os._exit(0)
    pipe.send(pid)
    pipe.recv()


def have_the_turn(pipe: Connection, place: str, *, within_transaction: bool) -> None:
    """Have one's turn to write until the test says something, perhaps in a transaction."""
    with contextlib.ExitStack() as stack:
        if within_transaction:
            store = stack.enter_context(closing(open_sqlite(place)))
            stack.enter_context(store.database.transaction(commit=True))
        else:
            stack.enter_context(WriteQueue(Path(place)).turn(10))
        pipe.send("my turn")
        pipe.recv()


def append_without_pause(pipe: Connection, place: str, number: int, seconds: float) -> None:
    """Append as fast as one can for a while; tell how often it went, and how long the longest took."""
    with closing(open_sqlite(place)) as store:
        stream = execution_stream(f"watch-{number}")
        pipe.send("ready")
        pipe.recv()
        longest, end = 0.0, time.monotonic() + seconds
        for count in itertools.count():
            if (began := time.monotonic()) > end:
                break
            message = MessageAppended(role="assistant", text=f"Sounding {count}: seven fathoms.")
            store.append(stream, [NewEvent(f"{number}-{count}", datetime.now(UTC), "runner:test", message)])
            longest = max(longest, time.monotonic() - began)
        pipe.send((count, longest))


def read_without_pause(pipe: Connection, place: str) -> None:
    """Read the store page by page, over and over, until the test says something; tell what the longest page took."""
    with closing(open_sqlite(place)) as store:
        longest, position = 0.0, 0
        while not pipe.poll():
            began = time.monotonic()
            page = store.tail(after=position, limit=200)
            longest = max(longest, time.monotonic() - began)
            position = page[-1].position if page else 0
        pipe.send(longest)


def read_cargo(pipe: Connection, place: str) -> None:
    """Read a table page by page, over and over, until the test says something."""
    with closing(Datastore(Path(place))) as datastore:
        position = 0
        while not pipe.poll():
            with datastore.transaction(commit=False) as cursor:
                cursor.execute("SELECT id, weight FROM cargo WHERE id > ? ORDER BY id LIMIT 200", (position,))
                page = cursor.fetchall()
            position = page[-1][0] if page else 0
        pipe.send("done")

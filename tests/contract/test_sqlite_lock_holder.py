"""Who has the write lock of an SQLite store, when nobody else can write."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from projector.engines.sqlite.lock_holder import lock_holder
from projector.errors import StoreUnavailable
from projector.events import MessageAppended
from tests.histories import new
from tests.processes import child
from tests.store_processes import hold_lock, open_sqlite, sqlite_locked, sqlite_owned


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    open_sqlite(str(path)).close()
    return path


def test_nobody_has_the_lock_of_a_store_at_rest_or_of_one_that_is_absent(place: Path) -> None:
    assert lock_holder(place) is None
    assert lock_holder(place.with_name("absent.db")) is None
    with closing(open_sqlite(str(place))) as store:
        store.append("execution/aaaa", [new(MessageAppended(role="assistant", text="ahoy"))])
        assert lock_holder(place) is None


@pytest.mark.parametrize("lock", [sqlite_locked, sqlite_owned])
def test_the_process_that_has_it_is_named_and_whether_it_goes_on(
    place: Path, lock: Callable[[str], AbstractContextManager[None]]
) -> None:
    with child(hold_lock, lock, str(place)) as writer:
        writer.hear()
        running = lock_holder(place)
        pid = writer.stand_still()
        stopped = lock_holder(place)

    assert running is not None and stopped is not None
    assert (running.pid, running.stands_still) == (pid, False)
    assert str(running).startswith(f"process {pid} (") and str(running).endswith(") has its write lock")
    assert (stopped.pid, stopped.stands_still, stopped.command) == (pid, True, running.command)
    assert f"is stopped (SIGSTOP): continue it (`kill -CONT {pid}`) or end it" in str(stopped)


def test_to_ask_takes_no_lock_from_anybody(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as mine:
        mine.execute("BEGIN IMMEDIATE")
        holder = lock_holder(place)
        assert holder is not None and holder.pid == os.getpid()
        with closing(open_sqlite(str(place), 0.05)) as store, pytest.raises(StoreUnavailable):
            store.append("execution/aaaa", [new(MessageAppended(role="assistant", text="ahoy"))])
        assert lock_holder(place) == holder
        mine.execute("ROLLBACK")


def test_a_write_that_waits_in_vain_says_for_whom(place: Path) -> None:
    with closing(open_sqlite(str(place), 0.3)) as store, child(hold_lock, sqlite_locked, str(place)) as writer:
        writer.hear()
        pid = writer.stand_still()
        with pytest.raises(StoreUnavailable) as refused:
            store.append("execution/aaaa", [new(MessageAppended(role="assistant", text="ahoy"))])
        os.kill(pid, signal.SIGCONT)
        writer.tell("let go")
        writer.join()
        store.append("execution/aaaa", [new(MessageAppended(role="assistant", text="ahoy"))])

    assert f"database is locked; process {pid} (" in str(refused.value)
    assert f"`kill -CONT {pid}`" in str(refused.value)

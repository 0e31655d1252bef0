"""SQLite's log stays short while many write and read, and is looked after by a thread that holds up nobody."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projector.engines.sqlite.checkpoint import Checkpointer
from projector.engines.sqlite.datastore import Datastore
from projector.engines.sqlite.log import WriteAheadLog
from tests.processes import children
from tests.sharing_processes import read_cargo

BOUND: Final = 2**20
CREATE: Final = "CREATE TABLE cargo (id INTEGER PRIMARY KEY, weight BLOB)"
CRATE: Final = b"\xa5" * 1000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@contextmanager
def opened(place: Path, bound: int = BOUND) -> Iterator[Datastore]:
    with closing(Datastore(place, log_bound=bound)) as datastore:
        if not datastore.is_made:
            with datastore.transaction(commit=True) as cursor:
                cursor.execute(CREATE)
                datastore.mark(cursor)
        yield datastore


def load(datastore: Datastore, crates: int) -> None:
    with datastore.transaction(commit=True) as cursor:
        cursor.executemany("INSERT INTO cargo (weight) VALUES (?)", [(CRATE,)] * crates)


def log_size(place: Path) -> int:
    return Path(f"{place}-wal").stat().st_size


def load_until(datastore: Datastore, happened: Callable[[], bool]) -> int:
    """Load until something has happened; returns how many crates it took, which are at most 100 MB."""
    for count in range(1000):
        if happened():
            return count * 100
        load(datastore, 100)
    raise AssertionError("it never happened")


def checkpoint_threads() -> int:
    return sum(thread.name == "store checkpoint" for thread in threading.enumerate())


def test_the_log_stays_short_while_some_read_without_pause_and_some_write(place: Path) -> None:
    longest = 0
    bound = 4 * BOUND
    with opened(place, bound) as ours, opened(place, bound) as theirs:
        with children(read_cargo, [(str(place),)] * 2) as readers:

            def work(datastore: Datastore) -> None:
                nonlocal longest
                for _ in range(400):
                    load(datastore, 50)
                    longest = max(longest, log_size(place))

            threads = [threading.Thread(target=work, args=(each,)) for each in (ours, theirs)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for reader in readers:
                reader.tell("enough")
                assert reader.hear() == "done"
        with ours.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) FROM cargo")
            assert cursor.fetchone()[0] == 40_000
    assert bound < longest < 5 * bound, f"{longest} of more than ten times its bound"
    assert checkpoint_threads() == 0
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {path.name for path in place.parent.iterdir()} == {"store.db"}


def test_a_log_that_grew_while_somebody_read_one_state_for_long_is_cut_afterwards(place: Path) -> None:
    with opened(place) as datastore:
        load(datastore, 100)
        with datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) FROM cargo")
            before = cursor.fetchone()[0]
            load_until(datastore, lambda: log_size(place) > 6 * BOUND)
            cursor.execute("SELECT count(*) FROM cargo")
            assert cursor.fetchone()[0] == before
        load_until(datastore, lambda: log_size(place) < 2 * BOUND)


def test_who_is_alone_has_his_log_begun_anew_without_waiting_for_it(place: Path) -> None:
    with opened(place) as datastore:
        load(datastore, 100)
        first = WriteAheadLog.at(place).salts
        load_until(datastore, lambda: WriteAheadLog.at(place).salts != first)
        assert log_size(place) < 3 * BOUND


def test_who_writes_little_has_no_thread(place: Path) -> None:
    with opened(place) as datastore:
        for _ in range(10):
            load(datastore, 1)
        assert checkpoint_threads() == 0
        load_until(datastore, lambda: checkpoint_threads() == 1)
    assert checkpoint_threads() == 0


def test_when_nobody_looks_after_the_log_a_commit_does(place: Path) -> None:
    with opened(place) as datastore, closing(Checkpointer(place, bound=BOUND)) as checkpointer:
        assert checkpointer._lock.take(), "as one that stands still has it"
        first = WriteAheadLog.at(place).salts
        load_until(datastore, lambda: WriteAheadLog.at(place).salts != first)
        assert BOUND < log_size(place) < 4 * BOUND
        checkpointer._lock.remove()


def test_a_store_whose_log_is_gone_is_looked_after_without_a_word(place: Path) -> None:
    checkpointer = Checkpointer(place)
    checkpointer.committed()
    checkpointer.close()
    checkpointer.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.integers(1, 40), st.sampled_from(["PASSIVE", "RESTART", "TRUNCATE"])), max_size=12))
def test_the_log_tells_of_itself_what_sqlite_tells_of_it(place: Path, steps: list[int | str]) -> None:
    for path in place.parent.iterdir():
        path.unlink()
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(CREATE)
        earlier = WriteAheadLog.at(place)
        for step in (5, *steps, 1):
            if isinstance(step, str):
                connection.execute(f"PRAGMA wal_checkpoint({step})")
                continue
            connection.executemany("INSERT INTO cargo (weight) VALUES (?)", [(CRATE,)] * step)
            log = WriteAheadLog.at(place)
            assert log.page == 4096 and log.size == 4096 * log.frames
            assert log.beyond(None) == log.beyond(WriteAheadLog(b"-" * 8, 3)) == log.size
            assert log.beyond(WriteAheadLog.from_note(log.to_note())) == 0
            assert log.beyond(earlier) == log.size - (earlier.size if earlier.salts == log.salts else 0)
            earlier = log
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert earlier.frames == frames

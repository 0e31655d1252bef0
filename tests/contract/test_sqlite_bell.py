"""The bell of an SQLite store: who listens is woken by whoever rings, and nothing is left of it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from projector.engines.sqlite import bell_folder, listening_socket
from projector.engines.sqlite.bell import SqliteBell
from projector.engines.sqlite.bell_folder import BellFolder
from tests.processes import child, children
from tests.sharing_processes import listen, listen_and_fork, listen_idly


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def sockets_of(bell: SqliteBell) -> list[Path]:
    folder = bell._folder._path
    return sorted(folder.iterdir()) if folder.exists() else []


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def bell_threads() -> int:
    return sum(thread.name == "store bell" for thread in threading.enumerate())


def test_a_ring_is_heard_in_every_process_that_listens(place: Path) -> None:
    bell, heard = SqliteBell(place), threading.Event()
    with children(listen, [(str(place),)] * 3) as crew, bell.listen(heard.set):
        for one in crew:
            assert one.hear() == "listening"
        for _ in range(5):
            heard.clear()
            bell.ring()
            assert heard.wait(10), "this process listens too"
            for one in crew:
                assert one.hear(10) == "ding"
        for one in crew:
            one.tell("enough")
            one.join()
        assert len(sockets_of(bell)) == 1
    assert sockets_of(bell) == []
    bell.close()


def test_who_listens_hears_the_next_ring_however_recently_he_came(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exactly = BellFolder.changed

    def roughly(folder: BellFolder) -> int | None:
        """As a filesystem whose clock has ticks of 50 ms."""
        changed = exactly(folder)
        return changed and changed // 50_000_000 * 50_000_000

    monkeypatch.setattr(BellFolder, "changed", roughly)
    bell = SqliteBell(place)
    with SqliteBell(place).listen(lambda: None):  # so that the folder stays, and is listed before the next one comes
        bell.ring()
        for _ in range(100):
            heard = threading.Event()
            with SqliteBell(place).listen(heard.set):
                bell.ring()
                assert heard.wait(5)
    bell.close()


def test_many_listeners_share_one_socket_and_one_thread(place: Path) -> None:
    bell = SqliteBell(place)
    before = descriptors()
    with ExitStack() as stack:
        heard = [threading.Event() for _ in range(50)]
        for one in heard:
            stack.enter_context(bell.listen(one.set))
        assert (bell_threads(), len(sockets_of(bell)), descriptors() - before) == (1, 1, 3)
        bell.ring()
        assert all(one.wait(5) for one in heard)
    bell.close()


def test_nothing_is_left_behind(place: Path) -> None:
    bell = SqliteBell(place)
    before = descriptors()
    for _ in range(50):
        with bell.listen(lambda: None):
            bell.ring()
    bell.close()
    bell.close()
    assert (descriptors(), bell_threads(), sockets_of(bell)) == (before, 0, [])
    assert not bell._folder._path.exists()


def test_rings_that_come_while_nobody_looks_are_one(place: Path) -> None:
    bell, woken, go_on, count = SqliteBell(place), threading.Semaphore(0), threading.Event(), 0

    def wake() -> None:
        nonlocal count
        count += 1
        woken.release()
        go_on.wait(10)

    with bell.listen(wake):
        bell.ring()
        assert woken.acquire(timeout=10)
        for _ in range(100):
            bell.ring()  # more than a socket holds
        go_on.set()
        assert woken.acquire(timeout=10)
        assert not woken.acquire(timeout=0.1)
    assert count == 2
    bell.close()


def test_to_listen_while_nothing_happens_costs_nothing(place: Path) -> None:
    with child(listen_idly, str(place), 1.0) as idler:
        assert idler.hear() < 0.005


def test_the_socket_of_a_process_that_was_killed_is_removed_by_the_next_ring(place: Path) -> None:
    bell = SqliteBell(place)
    with child(listen, str(place)) as listener:
        assert listener.hear() == "listening"
        listener.kill()
        assert len(sockets_of(bell)) == 1
        bell.ring()
        assert not bell._folder._path.exists()
    bell.close()


def test_who_comes_to_listen_sweeps_up_after_those_who_were_killed_whatever_their_store(tmp_path: Path) -> None:
    bell, living = SqliteBell(tmp_path / "wreck.db"), SqliteBell(tmp_path / "living.db")
    with child(listen, str(tmp_path / "wreck.db")) as listener:
        assert listener.hear() == "listening"
        listener.kill()
    assert len(sockets_of(bell)) == 1
    heard = threading.Event()
    with living.listen(heard.set), SqliteBell(tmp_path / "new.db").listen(lambda: None):
        assert sockets_of(bell) == []
        assert not heard.is_set(), "those who live are not even disturbed"
        living.ring()
        assert heard.wait(5)
    living.close()


def test_a_forked_child_takes_no_rings_from_its_parent_and_hears_its_own(place: Path) -> None:
    with child(listen_and_fork, str(place)) as parent:
        assert parent.hear() == (20, b"1")
        parent.join()
    assert sockets_of(SqliteBell(place)) == []


def test_a_listener_that_fails_does_not_leave_the_others_asleep(place: Path) -> None:
    bell, heard = SqliteBell(place), threading.Semaphore(0)

    def fail() -> None:
        raise RuntimeError("the look-out fell asleep")

    with bell.listen(fail), bell.listen(heard.release):
        for _ in range(2):
            bell.ring()
            assert heard.acquire(timeout=5)
    bell.close()


def test_a_listener_may_stop_listening_from_within_its_wake(place: Path) -> None:
    bell, done = SqliteBell(place), threading.Event()
    before = descriptors()
    listening = ExitStack()

    def stop() -> None:
        listening.close()
        done.set()

    listening.enter_context(bell.listen(stop))
    bell.ring()
    assert done.wait(5)
    bell.close()
    while bell_threads():
        time.sleep(0.001)
    assert (descriptors(), sockets_of(bell)) == (before, [])


def test_a_socket_that_was_cleaned_away_is_made_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening_socket, "_LOOK_AFTER", 0.02)
    bell, heard = SqliteBell(place), threading.Event()
    with bell.listen(heard.set):
        (socket,) = sockets_of(bell)
        socket.unlink()
        socket.parent.rmdir()
        deadline = time.monotonic() + 10
        while not heard.wait(0.01):
            assert time.monotonic() < deadline
            bell.ring()
    assert sockets_of(bell) == []
    bell.close()


def test_a_store_may_have_any_path(tmp_path: Path) -> None:
    bell, heard = SqliteBell(tmp_path / ("long " * 20) / ("réef" * 20) / "store.db"), threading.Event()
    with bell.listen(heard.set):
        bell.ring()
        assert heard.wait(5)
    bell.close()


def test_a_store_has_one_bell_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "harbour").mkdir()
    (tmp_path / "port").symlink_to(tmp_path / "harbour")
    heard = threading.Event()
    bell = SqliteBell(tmp_path / "port" / "store.db")
    with SqliteBell(tmp_path / "harbour" / "store.db").listen(heard.set):
        bell.ring()
        assert heard.wait(5)
    with SqliteBell(tmp_path / "harbour" / "other.db").listen(heard.set):
        heard.clear()
        bell.ring()
        assert not heard.wait(0.05)
    bell.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for sockets, whose paths are 107 characters long at most."""
    with tempfile.TemporaryDirectory(prefix="bell-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("trap", ["open to all", "a link", "somebody else's", "a file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(
    short_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    home = short_path / f"home-{os.geteuid()}"
    monkeypatch.setattr(bell_folder, "_HOME", str(short_path / "home-{user}"))
    heard = threading.Event()
    with SqliteBell(place).listen(heard.set):  # as an attacker would find it
        pass
    if trap == "open to all":
        home.chmod(0o777)
    elif trap == "a link":
        home.rename(short_path / "trap")
        home.symlink_to(short_path / "trap")
    elif trap == "somebody else's":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(home, 65534, 65534)
    else:
        home.rmdir()
        home.touch()
    bell, before = SqliteBell(place), descriptors()
    with bell.listen(heard.set):
        bell.ring()
        assert not heard.wait(0.05)
        assert (bell_threads(), descriptors()) == (0, before)
    assert home.is_file() or list(home.iterdir()) == []
    bell.close()

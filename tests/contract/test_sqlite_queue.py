"""Who writes to one SQLite file takes turns, and whatever happens to the queue stops nobody."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from projector.engines.sqlite.queue import WriteQueue
from projector.errors import StoreUnavailable
from tests.contract.event_store_contract import REEF
from tests.histories import REMARK, REQUESTED, new, news
from tests.processes import child, children
from tests.sharing_processes import append_without_pause, have_the_turn
from tests.store_processes import open_sqlite

LOCKS = {"store.db-next.lock", "store.db-turn.lock"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    open_sqlite(str(path)).close()
    return path


def queue_threads() -> int:
    return sum(thread.name == "store queue" for thread in threading.enumerate())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_four_processes_that_write_without_pause_get_about_the_same(place: Path) -> None:
    with children(append_without_pause, [(str(place), number, 2.0) for number in range(4)]) as crew:
        for one in crew:
            assert one.hear() == "ready"
        for one in crew:
            one.tell("now")
        told = [one.hear() for one in crew]
        for one in crew:
            one.join()
    counts = [count for count, _ in told]
    assert min(counts) >= 0.5 * max(counts), f"they wrote {counts}"
    assert max(longest for _, longest in told) < 1.0
    assert names(place.parent) == {"store.db"}


def test_who_had_a_turn_does_not_overtake_one_who_waits(place: Path) -> None:
    order: list[str] = []
    first, second = WriteQueue(place), WriteQueue(place)

    def wait() -> None:
        with second.turn(20):
            order.append("the one who waited")

    with first.turn(20):
        waiting = threading.Thread(target=wait)
        waiting.start()
        deadline = time.monotonic() + 10
        while first._next.take():  # until the other is next
            first._next.let_go()
            assert time.monotonic() < deadline
    with first.turn(20):
        order.append("the one who came again")
    waiting.join()
    assert order == ["the one who waited", "the one who came again"]
    first.close()
    second.close()


def test_a_turn_of_a_process_that_is_killed_ends(place: Path) -> None:
    with closing(open_sqlite(str(place))) as store:
        for within_transaction in (False, True):
            target = partial(have_the_turn, within_transaction=within_transaction)
            with child(target, str(place)) as keeper:
                assert keeper.hear() == "my turn"
                keeper.kill()
                began = time.monotonic()
                assert store.append(REEF, [new(REMARK)]).is_new
                assert time.monotonic() - began < 4, "its turn was not waited for until the timeout"


def test_a_process_that_stands_still_in_its_transaction_is_waited_for_until_the_timeout(place: Path) -> None:
    with (
        closing(open_sqlite(str(place), 2.0)) as store,
        child(partial(have_the_turn, within_transaction=True), str(place)) as keeper,
    ):
        assert keeper.hear() == "my turn"
        assert keeper.process.pid
        os.kill(keeper.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(
            StoreUnavailable, match=r"cannot be used at this moment: database is locked; process \d+ .* is stopped"
        ):
            store.append(REEF, news(REQUESTED))
        assert 1.9 < time.monotonic() - began < 3.8, "in the queue and before the lock together"
        assert store.read(REEF) == [], "and reading is possible"
        os.kill(keeper.process.pid, signal.SIGCONT)
        keeper.tell("go on")
        keeper.join()
        assert store.append(REEF, news(REQUESTED)).is_new


@pytest.mark.parametrize("lock", ["_turn", "_next"])
def test_a_queue_that_does_not_move_stops_nobody(place: Path, lock: str) -> None:
    with closing(open_sqlite(str(place), 2.0)) as store:
        blocking = WriteQueue(place)
        assert getattr(blocking, lock).take()
        took = []
        for _ in range(2):
            began = time.monotonic()
            assert store.append(REEF, [new(REMARK)]).is_new
            took.append(time.monotonic() - began)
        assert took[0] > 0.9, "it waited for its turn"
        assert took[1] < took[0] / 2, "but not so long again"
        blocking.close()
        assert store.append(REEF, [new(REMARK)]).is_new


def test_where_there_can_be_no_queue_one_writes_without(place: Path) -> None:
    for name in LOCKS:
        place.with_name(name).mkdir()
    with closing(open_sqlite(str(place))) as store:
        began = time.monotonic()
        assert all(store.append(REEF, [new(REMARK)]).is_new for _ in range(20))
        assert time.monotonic() - began < 5


def test_a_queue_whose_files_are_taken_away_is_one_queue_again(place: Path) -> None:
    with closing(open_sqlite(str(place))) as store:
        store.append(REEF, [new(REMARK)])
        assert names(place.parent) >= LOCKS
        for name in LOCKS:
            place.with_name(name).unlink()
        with child(partial(have_the_turn, within_transaction=False), str(place)) as keeper:
            assert keeper.hear() == "my turn"
            waiting = threading.Thread(target=store.append, args=(REEF, [new(REMARK)]))
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive(), "the new turn counts, which the other has"
            keeper.tell("your turn")
            waiting.join(10)
            assert not waiting.is_alive()
        assert store.version(REEF) == 2


def test_who_leaves_while_others_wait_takes_nothing_from_them(place: Path) -> None:
    queues = [WriteQueue(place) for _ in range(3)]
    inside = threading.Lock()
    collisions = 0

    def work(queue: WriteQueue) -> None:
        nonlocal collisions
        for _ in range(100):
            with queue.turn(20):
                if inside.acquire(blocking=False):
                    time.sleep(0.0002)
                    inside.release()
                else:
                    collisions += 1
            queue.close()  # as a process does that only came to write once

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collisions == 0
    assert names(place.parent) == {"store.db"}
    assert queue_threads() == 0


def test_who_never_has_to_wait_has_no_thread(place: Path) -> None:
    with closing(open_sqlite(str(place))) as store:
        for _ in range(20):
            store.append(REEF, [new(REMARK)])
        assert queue_threads() == 0


def test_who_leaves_while_he_waits_leaves_nothing_once_the_queue_moves(place: Path) -> None:
    first, second = WriteQueue(place), WriteQueue(place)
    with first.turn(20):
        with second.turn(0.1):
            pass  # in vain
        second.close()
        assert queue_threads() == 1
    deadline = time.monotonic() + 10
    while queue_threads():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    first.close()
    assert names(place.parent) == {"store.db"}


def test_who_waited_in_vain_keeps_his_place(place: Path) -> None:
    first, second, third = WriteQueue(place), WriteQueue(place), WriteQueue(place)
    with first.turn(20):
        with second.turn(0.1):
            pass  # in vain
        assert not third._next.take(), "second is next still"
        done = threading.Event()

        def try_again() -> None:
            with second.turn(0.1):
                done.set()

        again = threading.Thread(target=try_again)
        again.start()
        again.join()
        assert done.is_set(), "and goes on without, as before"
    assert third._wait(10), "the turn that came too late for the second was passed on"
    third._turn.let_go()
    for queue in (first, second, third):
        queue.close()
    assert names(place.parent) == {"store.db"}

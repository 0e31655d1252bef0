"""When a loop counts as standing still, turn by turn; the loop and its thread are real, the turns' times are given."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from runner.watched_loop import TOLD_AGAIN, Turn, WatchedLoop

STALL_AFTER: Final = 3.0


class Capstan:
    """A thread that runs an event loop, and can be made to block it at one place or another."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._gates = [threading.Event() for _ in range(2)]
        self._is_in = threading.Semaphore(0)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        assert self._thread.ident is not None
        self.watched = WatchedLoop(self.loop, self._thread.ident, stall_after=STALL_AFTER, reason="stuck at {where}")
        self._now = 0.0

    def jam(self) -> None:
        self.loop.call_soon_threadsafe(self._stuck)
        assert self._is_in.acquire(timeout=10)

    def _stuck(self) -> None:
        self._at_the_first_pawl()
        self._at_the_second_pawl()

    def _at_the_first_pawl(self) -> None:
        self._is_in.release()
        self._gates[0].wait()

    def _at_the_second_pawl(self) -> None:
        self._is_in.release()
        self._gates[1].wait()

    def slip(self) -> None:
        """Go on to the second place."""
        self._gates[0].set()
        assert self._is_in.acquire(timeout=10)

    def free(self) -> None:
        """Go on, and wait until everything that was asked of the loop has been done."""
        for gate in self._gates:
            gate.set()
        done = threading.Event()
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(10)

    def turn(self, seconds: float, *, is_late: bool = False) -> None:
        self._now += seconds
        self.watched.look(Turn(self._now, seconds, is_late))

    @property
    def reason(self) -> str:
        return self.watched.stall.reason if self.watched.stall else ""

    def end(self) -> None:
        self.free()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def capstan() -> Iterator[Capstan]:
    capstan = Capstan()
    yield capstan
    if not capstan.loop.is_closed():
        capstan.end()


def test_a_loop_stands_still_once_it_has_not_answered_for_so_long(capstan: Capstan) -> None:
    capstan.jam()
    capstan.turn(1.0)
    for left in (3.0, 2.0, 1.0):
        assert capstan.watched.due_in == left and not capstan.reason
        capstan.turn(1.0)

    assert capstan.reason.startswith("stuck at test_watched_loop.py:")
    assert capstan.reason.endswith("in Capstan._at_the_first_pawl")


def test_a_loop_that_answers_does_not(capstan: Capstan) -> None:
    for _ in range(10):
        capstan.turn(1.0)
        capstan.free()
        assert not capstan.reason


def test_it_goes_on_when_it_answers(capstan: Capstan) -> None:
    capstan.jam()
    capstan.turn(0.0)
    capstan.turn(STALL_AFTER)
    assert capstan.reason

    capstan.free()
    capstan.turn(1.0)
    assert not capstan.reason


def test_a_stall_that_lasts_is_another_one_only_at_another_place_and_not_too_soon(capstan: Capstan) -> None:
    capstan.jam()
    capstan.turn(0.0)
    capstan.turn(STALL_AFTER)
    first = capstan.watched.stall

    capstan.turn(TOLD_AGAIN)
    assert capstan.watched.stall is first, "it is where it was"
    capstan.slip()
    capstan.turn(TOLD_AGAIN / 2)
    assert capstan.watched.stall is first, "it is elsewhere, and that was told not long ago"
    capstan.turn(TOLD_AGAIN / 2)
    assert capstan.reason.endswith("in Capstan._at_the_second_pawl")


def test_after_a_turn_that_came_too_late_it_counts_anew_and_is_another_stall(capstan: Capstan) -> None:
    capstan.jam()
    capstan.turn(0.0)
    capstan.turn(STALL_AFTER)
    first = capstan.watched.stall

    capstan.turn(60.0, is_late=True)
    capstan.turn(2.0)
    assert capstan.watched.stall is first, "nothing says that it went on"
    capstan.turn(1.0)
    assert capstan.watched.stall is not first and capstan.reason


def test_time_that_nobody_watched_does_not_count(capstan: Capstan) -> None:
    capstan.jam()
    capstan.turn(0.0)
    capstan.turn(2.0)
    capstan.turn(60.0, is_late=True)
    assert not capstan.reason
    assert capstan.watched.due_in == STALL_AFTER


def test_a_loop_that_has_ended_does_not_stand_still(capstan: Capstan) -> None:
    capstan.jam()
    capstan.turn(0.0)
    capstan.turn(STALL_AFTER)
    capstan.end()
    for _ in range(5):
        capstan.turn(STALL_AFTER)
        assert not capstan.reason
        assert capstan.watched.due_in == STALL_AFTER

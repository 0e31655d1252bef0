"""An event loop that is asked again and again to run a callback, and stands still when it does not."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from runner.errors.thread_stack import ThreadStack, thread_stack

TOLD_AGAIN: Final = 30.0
"""Seconds after which a stall that lasts is another one, if it is at another place by then."""
_ROUNDING: Final = 1e-6


class Stall(NamedTuple):
    """A loop stands still, and where. Each time that it is to be told, it is another object."""

    reason: str
    stack: ThreadStack


class Turn(NamedTuple):
    """A turn of whoever watches: the time, how much of it was seen pass since the last turn, both in seconds.

    After a turn that came far too late nothing is known of the time in between.
    """

    now: float
    seen: float
    is_late: bool


class WatchedLoop:
    """One event loop and the thread that runs it: whether it has answered, and for how long it has not."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int, *, stall_after: float, reason: str) -> None:
        """`stall_after` is how long an answer may take, in seconds; `reason` tells of a stall at `{where}`."""
        self._loop = loop
        self._thread_id = thread_id
        self._stall_after = stall_after
        self._reason = reason
        self._has_answered = True
        self._waited = 0.0
        self._is_known = False
        self._known_at = 0.0
        self.stall: Stall | None = None

    @property
    def due_in(self) -> float:
        """Seconds until it counts as standing still, if it does not answer."""
        left = self._stall_after - self._waited
        return left if left > _ROUNDING and not self._has_answered else self._stall_after

    def look(self, turn: Turn) -> None:
        """See whether the loop has answered, and ask anew if it has. One that has ended does not stand still."""
        if self._has_answered or self._loop.is_closed():
            self.stall, self._is_known = None, False
            self._ask()
        elif turn.is_late:
            self._is_known, self._waited = False, 0.0
        else:
            self._waited += turn.seen
            if self._waited >= self._stall_after - _ROUNDING:
                self._take_stack(turn.now)

    def _ask(self) -> None:
        self._has_answered, self._waited = False, 0.0
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # it has ended
            self._has_answered = True

    def _take_stack(self, now: float) -> None:
        if self._is_known and now - self._known_at < TOLD_AGAIN:
            return
        stack = thread_stack(self._thread_id)
        if stack is None or self._has_answered:  # it went on meanwhile, and may be at another place
            return
        if self.stall is None or not self._is_known or self.stall.stack.where != stack.where:
            self.stall = Stall(self._reason.format(where=stack.where), stack)
        self._is_known, self._known_at = True, now

    def _answer(self) -> None:
        self._has_answered = True

"""What waits to be written: in the order in which it came, bounded, and handed over many at a time.

Producers wake the writing thread only when it sleeps and there is a reason: something is asked for, a batch is full,
or the first event of a quiet time came, which starts the clock. Everything else waits for that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, NamedTuple

from projector.envelope import NewEvent
from projector.errors import StoreUnavailable
from projector.event_store import Append, Appended

LINGER: Final = 0.010
"""How long an event that nobody waits for may wait for others, in seconds; with a commit it is stored within 20 ms."""
MOST_IN_ONE_TRANSACTION: Final = 1_000
"""From how many events on a transaction takes no more, and from how many bytes of those that were posted."""
MOST_BYTES_IN_ONE_TRANSACTION: Final = 2 * 1024 * 1024
MOST_WAITING: Final = 2_000
"""How many events may wait until who posts another has to wait too."""
MOST_BYTES_WAITING: Final = 8 * 1024 * 1024

_MOST_TOGETHER: Final = 250
"""How many events one part of a batch holds."""
_NEVER: Final = 2**62

Refused = Callable[[Exception], None]
"""Told that the store refused events, on the writer's thread; it must not raise."""


@dataclass(slots=True)
class Asked:
    """An append whose outcome somebody waits for."""

    append: Append
    answer: Future[Appended] | asyncio.Future[Appended]


@dataclass(slots=True)
class Posted:
    """Events of one stream that nobody waits for. `size` is about what they take in memory, in bytes."""

    stream: str
    events: list[NewEvent]
    size: int
    refused: Refused

    def is_for(self, stream: str, refused: Refused) -> bool:
        """Whether another event can join them."""
        return self.refused is refused and self.stream == stream and len(self.events) < _MOST_TOGETHER

    @property
    def append(self) -> Append:
        """They are written together."""
        return Append(self.stream, tuple(self.events), is_told=False)


@dataclass(slots=True)
class Mark:
    """Somebody waits for all that came before."""

    answer: asyncio.Future[None]


class Batch(NamedTuple):
    """What is to be written in one transaction: how many events (an append counts as one), and bytes of posted ones."""

    parts: list[Asked | Posted | Mark]
    events: int
    size: int


class EventQueue:
    """Thread-safe; `take` is for one thread alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._parts: deque[Asked | Posted | Mark] = deque()
        self._waiting = 0  # how many events that is; what is asked for counts as one
        self._asked = 0  # how many of the parts are waited for
        self._began = 0.0  # when the first of those that wait came
        self._held = 0  # how many events wait or are being written
        self._held_bytes = 0
        self._wakes_at = _NEVER  # at how many that wait the thread wants to be woken
        self._for_room: list[asyncio.Future[None]] = []
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether who posts should wait."""
        return self._held >= MOST_WAITING or self._held_bytes >= MOST_BYTES_WAITING

    @property
    def held(self) -> int:
        """How many events wait or are being written."""
        return self._held

    def ask(self, asked: Asked | Mark) -> None:
        """Add what is to be dealt with at once. Raises StoreUnavailable when the queue was closed."""
        with self._lock:
            self._count()
            self._parts.append(asked)
            self._asked += 1
            if self._wakes_at != _NEVER:
                self._wake()

    def post(self, stream: str, event: NewEvent, size: int, refused: Refused) -> bool:
        """Add an event to be written soon; returns whether there is room for more.

        Raises StoreUnavailable when the queue was closed.
        """
        with self._lock:
            self._count()
            last = self._parts[-1] if self._parts else None
            if type(last) is Posted and last.is_for(stream, refused):
                last.events.append(event)
                last.size += size
            else:
                self._parts.append(Posted(stream, [event], size, refused))
            self._held_bytes += size
            if self._waiting >= self._wakes_at:
                self._wake()
            return self._held < MOST_WAITING and self._held_bytes < MOST_BYTES_WAITING

    def _count(self) -> None:
        if self._closed:
            raise StoreUnavailable("the event writer is closed")
        if not self._waiting:
            self._began = time.monotonic()
        self._waiting += 1
        self._held += 1

    def _wake(self) -> None:
        self._wakes_at = _NEVER
        self._changed.notify()

    async def room(self) -> None:
        """Wait until who posts need not wait."""
        while self.is_full:
            loop = asyncio.get_running_loop()
            with self._lock:
                if not self.is_full:
                    return
                future = loop.create_future()
                self._for_room.append(future)
            await future

    def take(self) -> Batch | None:
        """The next batch, as soon as there is a reason to write it; None once the queue is closed and empty."""
        with self._lock:
            while not self._is_due():
                if self._waiting:
                    self._wakes_at = MOST_IN_ONE_TRANSACTION
                    patience = max(self._began + LINGER - time.monotonic(), 0)
                elif not self._closed:
                    self._wakes_at, patience = 1, None
                else:
                    return None
                self._changed.wait(patience)
                self._wakes_at = _NEVER
            return self._next()

    def _is_due(self) -> bool:
        return self._waiting > 0 and (
            self._asked > 0
            or self._closed
            or self._waiting >= MOST_IN_ONE_TRANSACTION
            or self.is_full
            or time.monotonic() >= self._began + LINGER
        )

    def _next(self) -> Batch:
        parts: list[Asked | Posted | Mark] = []
        count = size = 0
        while self._parts and count < MOST_IN_ONE_TRANSACTION and size < MOST_BYTES_IN_ONE_TRANSACTION:
            parts.append(part := self._parts.popleft())
            if isinstance(part, Posted):
                count += len(part.events)
                size += part.size
            else:
                count += 1
                self._asked -= 1
        self._waiting -= count
        # What is left came with those that are taken: its time is up as well, as `_began` says.
        return Batch(parts, count, size)

    def settle(self, batch: Batch) -> list[asyncio.Future[None]]:
        """Forget a batch that was taken; returns who now need not wait for room any more."""
        with self._lock:
            self._held -= batch.events
            self._held_bytes -= batch.size
            if self.is_full:
                return []
            woken, self._for_room = self._for_room, []
            return woken

    def close(self) -> bool:
        """Take nothing more; False when it was closed before."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
            self._wake()
            return True

"""Appending from asynchronous code: one thread writes, and whatever waits goes into one transaction.

Waking a thread or an event loop costs more than storing an event. So who waits for an answer is told together with
all others of the same loop, once for each transaction; and events that nobody waits for wake nobody: they are written
within 20 ms, or with the next that somebody waits for.

A store that cannot serve is tried again until it can or the writer is closed; since appends are idempotent, trying
again after a lost answer stores one copy. How long to wait for that is the caller's to say.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import chain
from typing import Any, Final

import structlog

from projector.envelope import NewEvent
from projector.errors import StoreUnavailable
from projector.event_queue import Asked, EventQueue, Mark, Posted, Refused
from projector.event_store import ANY, Append, Appended, EventStore, Expectation

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0

log = structlog.get_logger("event_writer")

_Outcome = Appended | Exception
_Told = tuple["asyncio.Future[Any]", "_Outcome | None"]


class EventWriter:
    """The one thread of a process that appends. Its methods may be called from any thread and any event loop."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._queue = EventQueue()
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._thread.start()

    def submit(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Future[Appended]:
        """Hand over events of one stream; the future ends when they are on disk.

        It raises VersionConflict when the expectation does not hold, StoreError when the store is broken or the
        writer was closed before it could serve. Appends of one thread keep their order.
        """
        future: Future[Appended] = Future()
        self._ask(Asked(Append(stream, tuple(events), expect), future))
        return future

    def begin(
        self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY, *, is_told: bool = True
    ) -> asyncio.Future[Appended]:
        """The same as `submit`, with a future of the running event loop. Cancelling it takes nothing back.

        Who only wants to know that the events are on disk says so with `is_told=False`: see Append.
        """
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._ask(Asked(Append(stream, tuple(events), expect, is_told), future))
        return future

    def _ask(self, asked: Asked) -> None:
        try:
            self._queue.ask(asked)
        except StoreUnavailable as error:
            asked.answer.set_exception(error)

    async def append(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Appended:
        """Append without blocking the event loop; see `submit`."""
        return await self.begin(stream, events, expect)

    def post(self, stream: str, event: NewEvent, size: int, refused: Refused) -> bool:
        """Hand over an event that nobody waits for, of about `size` bytes; returns whether there is room for more.

        It is kept in any case; but who has no more room should wait for `room` before the next one. `refused` is
        called on the writer's thread should the store refuse the event, and must not raise; events that are posted
        with the same object are written together. Raises StoreUnavailable when the writer was closed.
        """
        return self._queue.post(stream, event, size, refused)

    @property
    def has_room(self) -> bool:
        """Whether there is room for an event more that nobody waits for."""
        return not self._queue.is_full

    @property
    def waiting(self) -> int:
        """How many events wait or are being written; an append that is waited for counts as one."""
        return self._queue.held

    async def room(self) -> None:
        """Wait until there is room for more."""
        await self._queue.room()

    async def written(self) -> None:
        """Wait until all that was handed over before is on disk, or was refused."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with suppress(StoreUnavailable):  # closed: there is nothing more to come
            self._queue.ask(Mark(future))
            await future

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for `timeout` seconds at most, and end the thread."""
        if not self._queue.close():
            return
        self._thread.join(timeout)
        self._giving_up.set()
        self._thread.join(_LONGEST_PAUSE)

    def _run(self) -> None:
        while (batch := self._queue.take()) is not None:
            told: list[_Told] = []
            self._write([part for part in batch.parts if not isinstance(part, Mark)], told)
            told += [(part.answer, None) for part in batch.parts if isinstance(part, Mark)]
            told += [(future, None) for future in self._queue.settle(batch)]
            _tell(told)

    def _write(self, parts: Sequence[Asked | Posted], told: list[_Told]) -> None:
        """Write in one transaction; what the event loops are to be told of it goes into `told`."""
        if not parts:
            return
        appends = [part.append for part in parts]
        pause = 0.0
        refusal = StoreUnavailable("the event writer is closed")
        while True:
            if self._giving_up.wait(pause):
                for part in parts:
                    _settle(part, refusal, told)
                return
            try:
                outcomes = self._store.append_batch(appends)
                break
            except StoreUnavailable as error:
                if not pause:
                    waiting = sum(len(append.events) for append in appends)
                    log.warning("appends wait for the store", waiting=waiting, reason=str(error))
                refusal, pause = error, min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            except Exception as error:  # one event that cannot be encoded must not fail its neighbours
                if len(alone := list(chain.from_iterable(map(_alone, parts)))) == 1:
                    _settle(parts[0], error, told)
                else:
                    for part in alone:
                        self._write([part], told)
                return
        for part, outcome in zip(parts, outcomes, strict=True):
            _settle(part, outcome, told)


def _alone(part: Asked | Posted) -> Iterable[Asked | Posted]:
    if isinstance(part, Asked):
        return (part,)
    return (Posted(part.stream, [event], 0, part.refused) for event in part.events)


def _settle(part: Asked | Posted, outcome: _Outcome, told: list[_Told]) -> None:
    if isinstance(part, Posted):
        if isinstance(outcome, Exception):
            part.refused(outcome)
    elif isinstance(part.answer, asyncio.Future):
        told.append((part.answer, outcome))
    elif part.answer.set_running_or_notify_cancel():
        if isinstance(outcome, Exception):
            part.answer.set_exception(outcome)
        else:
            part.answer.set_result(outcome)


def _tell(told: Iterable[_Told]) -> None:
    """Tell the event loops, each in one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Told]] = {}
    for one in told:
        by_loop.setdefault(one[0].get_loop(), []).append(one)
    for loop, those in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and nobody waits there any more
            loop.call_soon_threadsafe(_end, those)


def _end(told: Iterable[_Told]) -> None:
    for future, outcome in told:
        if future.done():  # cancelled meanwhile
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

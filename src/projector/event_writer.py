"""Appending from asynchronous code: one thread writes, and whatever waits goes into one transaction.

A store that cannot serve is tried again until it can or the writer is closed; since appends are idempotent, trying
again after a lost answer stores one copy. How long to wait for that is the caller's to say.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

import structlog

from projector.envelope import NewEvent
from projector.errors import StoreUnavailable, VersionConflict
from projector.event_store import ANY, Append, Appended, EventStore, Expectation

_MOST_IN_ONE_TRANSACTION: Final = 500
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0

log = structlog.get_logger("event_writer")

_Waiting = tuple[Append, "Future[Appended]"]


class EventWriter:
    """The one thread of a process that appends. Its methods may be called from any thread."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closed = False
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._thread.start()

    def submit(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Future[Appended]:
        """Hand over events of one stream; the future ends when they are on disk.

        It raises VersionConflict when the expectation does not hold, StoreError when the store is broken or the
        writer was closed before it could serve. Appends of one thread keep their order.
        """
        future: Future[Appended] = Future()
        with self._door:  # nothing may come after the mark that `close` leaves in the queue
            if self._closed:
                future.set_exception(StoreUnavailable("the event writer is closed"))
            else:
                self._waiting.put((Append(stream, tuple(events), expect), future))
        return future

    async def append(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Appended:
        """Append without blocking the event loop; see `submit`."""
        return await asyncio.wrap_future(self.submit(stream, events, expect))

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for `timeout` seconds at most, and end the thread."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        self._thread.join(timeout)
        self._giving_up.set()
        self._thread.join(_LONGEST_PAUSE)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, last = self._gather(first)
            self._write(batch)
            if last:
                break

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        batch = [first]
        while len(batch) < _MOST_IN_ONE_TRANSACTION:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch.append(more)
        return batch, False

    def _write(self, batch: list[_Waiting]) -> None:
        pause = 0.0
        refusal = StoreUnavailable("the event writer is closed")
        while True:
            if self._giving_up.wait(pause):
                for _, future in batch:
                    _fail(future, refusal)
                return
            try:
                outcomes = self._store.append_batch([append for append, _ in batch])
                break
            except StoreUnavailable as error:
                if not pause:
                    log.warning("appends wait for the store", waiting=len(batch), reason=str(error))
                refusal, pause = error, min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            except Exception as error:  # one append that cannot be encoded must not fail its neighbours
                if len(batch) == 1:
                    _fail(batch[0][1], error)
                else:
                    for one in batch:
                        self._write([one])
                return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, VersionConflict):
                _fail(future, outcome)
            elif future.set_running_or_notify_cancel():
                future.set_result(outcome)


def _fail(future: Future[Appended], error: BaseException) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)

"""Publishing the events of one attempt: ordered, idempotent, and at next to no cost for the agent.

An event that must be known before something happens is on disk when `emit` returns: a tool is about to be used, an
attempt has begun or ended. Everything else, such as messages, progress and the results of tools, is handed over and
written within 20 ms, with what other executions of the process have to say, or at once with the next event that is
waited for. Events are stored in the order in which they were emitted, whichever way.

What a killed process can lose is therefore the end of what its agents said: at most what was emitted within the last
20 ms, or, when the store cannot serve as fast, what was waiting for it (2,000 events or 8 MiB at most). It never
loses an event that was waited for, nor one from before it, and what is stored has no gaps. When that many wait, each
agent that emits waits for room, so that an outage of the store costs time and neither events nor memory.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from projector.envelope import NewEvent, execution_stream
from projector.errors import StoreError
from projector.event_store import Appended
from projector.event_writer import EventWriter
from projector.events import (
    TERMINAL_TYPES,
    AttemptFailed,
    AttemptFinished,
    AttemptRefused,
    AttemptStarted,
    Event,
    ToolCallStarted,
    WritableEvent,
)

FIRST_ON_DISK: Final[frozenset[type[Event]]] = frozenset(
    (ToolCallStarted, AttemptStarted, AttemptRefused, AttemptFinished, AttemptFailed, *TERMINAL_TYPES)
)
"""Events that are on disk before whoever emits them goes on: they precede an effect, or an end."""

_TURN: Final = 256
"""After so many events that nobody waits for the event loop has a turn: within two milliseconds of a flood."""
_ENVELOPE: Final = 512
_DATA: Final = 8 * 1024

log = structlog.get_logger("runner")


class Emitter:
    """The events of one attempt. It may be used from several threads and event loops.

    An event belongs to it once it was handed over: nothing in it may change any more.
    """

    watch: Callable[[WritableEvent], None] | None = None
    """Told of each event as it is handed over, on the thread that does; it must not raise."""

    def __init__(self, writer: EventWriter, execution_id: str, *, runner_id: str, attempt: int) -> None:
        self.execution_id = execution_id
        self._writer = writer
        self._stream = execution_stream(execution_id)
        self._name = f"runner:{runner_id}"
        self._attempt = attempt
        self._series = uuid.uuid4().hex[:12]
        self._count = 0
        self._posted = 0  # the number of the last event that was not waited for
        self._stored = 0  # all up to this number are known to be stored
        self._turn = 0
        self._refusal: Exception | None = None
        self._refused = self._on_refusal  # one object, by which the writer knows what belongs together
        self._lock = threading.Lock()

    async def emit(self, event: WritableEvent) -> None:
        """Store an event: before it returns if something depends on it (FIRST_ON_DISK), else soon.

        Being cancelled does not take the event back. Raises StoreError when the store is broken, also for an earlier
        event of this attempt.
        """
        if self._refusal is not None:
            raise self._refusal
        if type(event) in FIRST_ON_DISK:
            await self.store(event)
        elif not self._post(event):
            await self._writer.room()
        else:
            self._turn += 1
            if self._turn >= _TURN:
                self._turn = 0
                await asyncio.sleep(0)

    async def store(self, event: WritableEvent, *, patience: float | None = None) -> bool:
        """Store an event and return True when it is on disk, and with it all that was emitted before.

        A store that cannot serve is waited for, without end or for `patience` seconds; then False is returned, and the
        event is still stored when the store heals while this process lives. Being cancelled does not take the event
        back. Raises StoreError when the store is broken.
        """
        with self._lock:
            new = self._new(event)
            number = self._count
            future = self._writer.begin(self._stream, (new,), is_told=False)
        if patience is not None:
            future.add_done_callback(_look_at)
            await asyncio.wait({future}, timeout=patience)
            if not future.done():
                return False
        await future
        self._stored = max(self._stored, number)
        return True

    def emit_soon(self, event: WritableEvent) -> None:
        """Store an event without waiting for it or for room; for what is rare and comes from elsewhere."""
        try:
            self._post(event)
        except StoreError:  # the writer was closed: this process ends
            log.warning("an event came too late to be stored", event_type=type(event).__name__)

    def emit_if_room(self, event: WritableEvent) -> None:
        """Store an event soon, or never when the store is behind: for what the next one of its kind replaces."""
        if self._writer.has_room:
            self.emit_soon(event)

    async def settled(self) -> None:
        """Wait until all that was emitted is on disk, or was refused."""
        if self._posted > self._stored:
            number = self._count
            await self._writer.written()
            self._stored = max(self._stored, number)

    def _post(self, event: WritableEvent) -> bool:
        size = size_of(event)
        with self._lock:
            new = self._new(event)
            self._posted = self._count
            return self._writer.post(self._stream, new, size, self._refused)

    def _new(self, event: WritableEvent) -> NewEvent:
        self._count += 1
        if self.watch is not None:
            self.watch(event)
        # The time comes first, in milliseconds or nearly so, because the store keeps ids in their order: what all
        # executions write at one time then lies close together. It is the rest that makes an id the only one.
        event_id = f"{time.time_ns() >> 20:012x}-{self._series}-{self._count:06d}"
        return NewEvent(event_id, datetime.now(UTC), self._name, event, self._attempt)

    def _on_refusal(self, error: Exception) -> None:
        """Called on the writer's thread; the agent hears of it with its next event."""
        if self._refusal is None:
            self._refusal = error
            log.error("the store refused an event", execution_id=self.execution_id, reason=str(error))


def size_of(event: Event) -> int:
    """About what an event takes in memory, in bytes: its texts, and for data what the store keeps of it at most."""
    size = _ENVELOPE
    for value in event.__dict__.values():
        if type(value) is str:
            size += len(value)
        elif type(value) is dict or type(value) is list:
            size += _DATA
    return size


def _look_at(future: asyncio.Future[Appended]) -> None:
    if not future.cancelled():
        future.exception()  # that nobody waits any more is no reason for asyncio to complain

"""Publishing the events of one attempt: ordered, idempotent, on disk before the agent goes on."""

from __future__ import annotations

import asyncio
import threading
import uuid
from concurrent.futures import Future
from datetime import UTC, datetime

from projector.envelope import NewEvent, execution_stream
from projector.event_store import Appended
from projector.event_writer import EventWriter
from projector.events import WritableEvent


class Emitter:
    """The events of one attempt. It may be used from several threads and event loops."""

    def __init__(self, writer: EventWriter, execution_id: str, *, runner_id: str, attempt: int) -> None:
        self.execution_id = execution_id
        self._writer = writer
        self._stream = execution_stream(execution_id)
        self._name = f"runner:{runner_id}"
        self._attempt = attempt
        self._series = uuid.uuid4().hex[:16]
        self._count = 0
        self._lock = threading.Lock()

    async def emit(self, event: WritableEvent, *, patience: float | None = None) -> Appended | None:
        """Store an event and return when it is on disk.

        A store that cannot serve is waited for, without end or for `patience` seconds; then None is returned, and the
        event is still stored when the store heals while this process lives. Raises StoreError when the store is
        broken.
        """
        future = asyncio.wrap_future(self._submit(event))
        # Waiting with asyncio.wait: giving up, or being cancelled, does not take the event back.
        done, _ = await asyncio.wait({future}, timeout=patience)
        return done.pop().result() if done else None

    def emit_soon(self, event: WritableEvent) -> None:
        """Store an event without waiting for it; for events that nothing depends on."""
        self._submit(event)

    def _submit(self, event: WritableEvent) -> Future[Appended]:
        with self._lock:
            self._count += 1
            return self._writer.submit(self._stream, [self._new(event)])

    def _new(self, event: WritableEvent) -> NewEvent:
        return NewEvent(
            id=f"{self._series}-{self._count:06d}",
            time=datetime.now(UTC),
            writer=self._name,
            event=event,
            attempt=self._attempt,
        )

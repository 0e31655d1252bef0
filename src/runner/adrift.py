"""An attempt that Temporal no longer waits for, or no longer speaks to, while its agent is well.

Temporal counts a runner as dead that it could not hear for a while, also when it was Temporal that was away. Such an
agent goes on: its events and its end are stored, and the workflow takes the result from there. What Temporal would have
told it is looked up in the store.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from temporalio import activity

from projector.envelope import execution_stream
from projector.errors import StoreError
from projector.event_store import EventStore
from projector.events import CancellationRequested, TerminalEvent
from projector.failures import ErrorReport

LOOK_EVERY: Final = 1.0
"""Seconds between two looks into the store at least."""


class Adrift:
    """Looks for a reason to stop."""

    def __init__(self, store: EventStore, execution_id: str, *, shutdown_grace: float) -> None:
        """`shutdown_grace` is how long an agent may go on, in seconds, when the runner is told to stop."""
        self._store = store
        self._stream = execution_stream(execution_id)
        self._version = 0
        self._looked_at = -LOOK_EVERY
        self._grace = shutdown_grace
        self._shutdown_at: float | None = None
        limit = activity.info().start_to_close_timeout
        began = activity.info().started_time.timestamp()
        self._ends_at = began + limit.total_seconds() if limit else None

    async def reason_to_stop(self) -> ErrorReport | None:
        """Why the agent must stop now, or None."""
        now = time.monotonic()
        # Temporal's own word of a shutdown comes as a cancellation, and an activity gets only one of those.
        if activity.is_worker_shutdown():
            self._shutdown_at = self._shutdown_at or now
            if now - self._shutdown_at > self._grace:
                message = "the runner was shut down before the agent had finished"
                return ErrorReport(kind="shutdown", type="RunnerShutDown", message=message)
        if self._ends_at is not None and time.time() > self._ends_at:
            return _abandoned("its time is up")
        if now - self._looked_at < LOOK_EVERY:
            return None
        self._looked_at = now
        try:
            records = await asyncio.to_thread(self._store.read, self._stream, after=self._version)
        except StoreError:
            return None
        for record in records:
            self._version = record.version
            if isinstance(record.event, TerminalEvent):
                return _abandoned(f"the execution has ended ({record.type})")
            if isinstance(record.event, CancellationRequested):
                return ErrorReport(kind="cancelled", type="Cancelled", message="the execution was cancelled")
        return None


def _abandoned(why: str) -> ErrorReport:
    return ErrorReport(kind="cancelled", type="Abandoned", message=f"nobody waits for this attempt any more: {why}")

"""The lease of an execution: the store lets one attempt have it, once, and none after the end.

Temporal may hand an execution out again: an operator unpauses or resets it, a frozen runner wakes with a task that is
long over. An agent run is not idempotent, so whoever cannot have the lease does not run the agent. The lease is the
event AttemptStarted itself. Its id is the same in every execution, and it is appended at an exact version, so the store
decides between two attempts, and between an attempt and a verdict that says that none ever began.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from projector.envelope import LEASE_EVENT_ID, NewEvent, RecordedEvent, execution_stream
from projector.errors import StoreUnavailable, VersionConflict
from projector.event_store import EventStore, exactly
from projector.event_writer import EventWriter
from projector.events import AttemptRefused, AttemptStarted
from projector.execution_status import fold

_PAUSE: Final = 0.5

log = structlog.get_logger("runner")


class Refusal(NamedTuple):
    """Why the agent is not run, in words."""

    reason: str


class Claimant(NamedTuple):
    """Who asks for the lease."""

    runner_id: str
    task_queue: str
    attempt: int


async def take_lease(store: EventStore, writer: EventWriter, execution_id: str, claimant: Claimant) -> Refusal | None:
    """Take the lease, or say why it cannot be had; the refusal is stored too.

    A store that cannot serve is waited for without end: without a lease the agent must not run. Raises StoreError when
    the store is broken.
    """
    stream = execution_stream(execution_id)
    lease = uuid.uuid4().hex
    name = f"runner:{claimant.runner_id}"
    started = AttemptStarted(runner_id=claimant.runner_id, task_queue=claimant.task_queue, lease=lease)
    new = NewEvent(LEASE_EVENT_ID, datetime.now(UTC), name, started, claimant.attempt)
    while True:
        try:
            history = await asyncio.to_thread(store.read, stream)
            reason = _why_not(history)
            if reason is None:
                appended = await writer.append(stream, [new], exactly(len(history)))
                standing = appended.records[0].event
                if isinstance(standing, AttemptStarted) and standing.lease == lease:
                    return None
            else:
                refused = AttemptRefused(runner_id=claimant.runner_id, reason=reason)
                once = f"refused-{claimant.runner_id}-{claimant.attempt}"
                told = NewEvent(once, datetime.now(UTC), name, refused, claimant.attempt)
                await writer.append(stream, [told])
                return Refusal(reason)
        except VersionConflict:
            continue  # something happened in between: decide anew
        except StoreUnavailable as error:
            log.warning("an attempt waits for the store", execution_id=execution_id, reason=str(error))
            await asyncio.sleep(_PAUSE)


def _why_not(history: list[RecordedEvent]) -> str | None:
    status = fold(None, history)
    if status is None:
        return None
    if status.phase.is_terminal:
        return f"the execution is {status.phase} already"
    holder = next((record for record in history if isinstance(record.event, AttemptStarted)), None)
    if holder is None or not isinstance(holder.event, AttemptStarted):
        return None
    return (
        f"the agent was begun at {holder.time.astimezone(UTC):%H:%M:%S} UTC as attempt {holder.attempt} on runner "
        f"{holder.event.runner_id}, and is not run twice"
    )

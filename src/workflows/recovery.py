"""Recovery by category: what may be run again without anybody looking, how often, when, and under which id.

Safe to repeat is what is proven to have failed before its agent began. A retry that nobody names has an id that is made
from the first execution's. So two orchestrators, two people with the same command, and an activity that is tried again
all ask for the same execution, and the store takes one.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from projector.catalogue import Code
from projector.errors import Conflict, InputRejected
from projector.execution_status import ExecutionStatus, Phase

if TYPE_CHECKING:
    from workflows.client import ExecutionClient, StartedExecution
    from workflows.settings import OrchestratorSettings

NEVER_BEGAN: Final = frozenset(
    (Code.RUNNER_STARTUP_FAILED, Code.RUNNER_UNAVAILABLE, Code.RUNNER_SATURATED, Code.RUNNER_MISMATCH)
)
"""Codes that say by themselves that no agent began."""
ID_LENGTH: Final = 200
LONGEST_PAUSE: Final = 86_400.0
"""No automatic retry waits longer than a day, in seconds."""

log = structlog.get_logger("recovery")


def never_began(status: ExecutionStatus) -> bool:
    """Whether it failed, provably before its agent began.

    A lost runner (E203) is marked as safe to repeat when that is known of it. What an unreadable event said is not
    known, so it may have been the agent's beginning.
    """
    failure = status.failure
    if failure is None or status.attempt > 0 or status.unreadable_events:
        return False
    return failure.code in NEVER_BEGAN or (failure.code == Code.RUNNER_LOST and failure.retryable)


def next_auto_retry(status: ExecutionStatus, limit: int) -> int | None:
    """Which automatic retry in a row is due; None when the execution is not to be repeated by itself."""
    number = max(status.auto_retry, 0) + 1
    is_wanted = status.phase is Phase.FAILED and not status.cancellation_requested
    return number if is_wanted and number <= limit and never_began(status) else None


def retry_id(first: str, number: int) -> str:
    """The id of the `number`th retry in a row of the execution `first`: `<first>-r1`, `-r2` …

    An id that is too long for that is cut, and told apart from others by a part of its hash.
    """
    suffix = f"-r{number}"
    if len(first) + len(suffix) <= ID_LENGTH:
        return first + suffix
    mark = "-" + hashlib.sha256(first.encode()).hexdigest()[:16]
    return first[: ID_LENGTH - len(mark) - len(suffix)] + mark + suffix


def pause_before(number: int, first_pause: float) -> timedelta:
    """How long the `number`th retry in a row waits: `first_pause` seconds, and twice as long each time."""
    return timedelta(seconds=min(first_pause * 2.0 ** min(number - 1, 100), LONGEST_PAUSE))


async def retry_automatically(client: ExecutionClient, settings: OrchestratorSettings, execution_id: str) -> str | None:
    """Run an execution again if it failed before its agent began and has automatic retries left.

    Returns the new execution's id, or None. May be called again for the same one, also when it broke off in between.
    Raises StoreError and EngineUnreachable.
    """
    if not settings.auto_retries:
        return None
    status = await client.status(execution_id)
    number = next_auto_retry(status, settings.auto_retries) if status else None
    if status is None or number is None:
        return None
    new_id = retry_id(await _first_in_row(client, status), number)
    if status.retried_as not in (None, new_id):
        return None  # somebody was quicker
    try:
        await client.retry(
            execution_id,
            new_id=new_id,
            auto_retry=number,
            start_delay=pause_before(number, settings.auto_retry_pause),
        )
    except (InputRejected, Conflict) as refusal:  # its input was too large to be kept, or its id is another's
        log.warning("an execution is not retried", execution_id=execution_id, reason=str(refusal))
        return None
    return new_id


async def retry_unnamed(client: ExecutionClient, execution_id: str) -> StartedExecution | None:
    """Run a failed execution again that was not retried yet; None when it was, or has not failed.

    Raises what `ExecutionClient.retry` raises.
    """
    status = await client.status(execution_id)
    if status is None or status.phase is not Phase.FAILED or status.retried_as is not None:
        return None
    new_id = retry_id(await _first_in_row(client, status), max(status.auto_retry, 0) + 1)
    return await client.retry(execution_id, new_id=new_id)


async def _first_in_row(client: ExecutionClient, status: ExecutionStatus) -> str:
    """The execution with which a row of automatic retries began; it is itself none."""
    while status.auto_retry > 0 and status.retry_of is not None:
        before = await client.status(status.retry_of)
        if before is None or before.auto_retry >= status.auto_retry:  # a history that leads nowhere
            return status.retry_of
        status = before
    return status.execution_id

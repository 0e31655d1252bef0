"""Telling Temporal that the attempts of a dead runner are over, by their task tokens.

A token is of one attempt: whoever fails an attempt that has ended, or was handed out again, is refused. So it does no
harm to tell of one attempt too many. Where Temporal no longer waits for the attempt, the workflow may still wait for
the store: it is asked to look there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from runner.contracts import RECONSIDER
from runner.link import AttemptOpened

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.exceptions import ApplicationError
    from temporalio.service import RPCError

PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two tries while Temporal is unreachable; after the last one its own timeouts end the attempt."""

_ANSWER_WITHIN: Final = timedelta(seconds=5)

log = structlog.get_logger("supervisor")


async def fail_attempts(
    client: Client, attempts: Sequence[AttemptOpened], error: ApplicationError, stored: asyncio.Future[None]
) -> None:
    """End all of them with `error`. `stored` is done when the store holds how the runner ended. Never raises."""
    await asyncio.gather(*(_fail(client, attempt, error, stored) for attempt in attempts))


async def _fail(client: Client, attempt: AttemptOpened, error: ApplicationError, stored: asyncio.Future[None]) -> None:
    from temporalio.service import RPCError, RPCStatusCode

    handle = client.get_async_activity_handle(task_token=attempt.task_token)
    for pause in (*PAUSES, None):
        try:
            await handle.fail(error, rpc_timeout=_ANSWER_WITHIN)
            return
        except RPCError as refusal:
            if refusal.status == RPCStatusCode.NOT_FOUND:
                await _nudge(client, attempt.execution_id, stored)
                return
            if pause is None or refusal.status == RPCStatusCode.INVALID_ARGUMENT:
                _warn("an attempt could not be failed", attempt.execution_id, refusal)
                return
        await asyncio.sleep(pause)


async def _nudge(client: Client, execution_id: str, stored: asyncio.Future[None]) -> None:
    """Have the workflow look into the store, once that holds what there is to see."""
    from temporalio.service import RPCError, RPCStatusCode

    await asyncio.wait({stored})
    try:
        await client.get_workflow_handle(execution_id).signal(RECONSIDER, rpc_timeout=_ANSWER_WITHIN)
    except RPCError as refusal:
        if refusal.status != RPCStatusCode.NOT_FOUND:  # it has ended
            _warn("a workflow could not be told", execution_id, refusal)


def _warn(what: str, execution_id: str, refusal: RPCError) -> None:
    log.warning(what, execution_id=execution_id, reason=refusal.message)

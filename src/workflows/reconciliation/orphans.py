"""Work that a runner was handed in the moment in which it ended: it never began, and nobody else will hear of it.

The runner's supervisor fails the attempts that it was told of. One that was on its way when the process ended is known
to Temporal alone, which would wait for its heartbeat timeout. Here it is failed by its name: the agent has not begun,
so nothing that runs can be hit.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from projector.execution_status import ExecutionStatus
from projector.live_statuses import LiveStatuses
from projector.projections.runners import RunnerState
from runner.contracts import EXECUTE_AGENT, RUNNER_CRASHED, RunnerDeath
from workflows.reconciliation.workflow_facts import WorkflowFacts

SETTLE: Final = timedelta(seconds=2)
"""How long a runner must be known to be gone: its last answers may be on their way."""

_GONE: Final = (RunnerState.EXITED, RunnerState.STOPPED, RunnerState.STARTUP_FAILED)
_ANSWER_WITHIN: Final = timedelta(seconds=5)

log = structlog.get_logger("reconciler")


async def free_orphans(client: Client, status: ExecutionStatus, facts: WorkflowFacts, live: LiveStatuses) -> None:
    """Fail what a runner holds that is known to be gone, if the agent has not begun.

    Temporal then hands the preparation of the thread to another runner, and the agent's own activity ends.
    """
    if status.attempt > 0:
        return
    for task in facts.held:
        runner = live.runner(task.identity.removeprefix("runner:"))
        if runner is None or runner.state not in _GONE:
            continue
        if datetime.now(UTC) - datetime.fromisoformat(runner.changed_at) < SETTLE:
            continue
        was_told = runner.state is RunnerState.STOPPED
        how = runner.error or ("it was told to stop" if was_told else "its process ended")
        death = RunnerDeath(runner_id=runner.runner_id, how=how, was_told=was_told, last_words=runner.last_words)
        error = ApplicationError(
            how, death.model_dump(mode="json"), type=RUNNER_CRASHED, non_retryable=task.activity == EXECUTE_AGENT
        )
        handle = client.get_async_activity_handle(
            workflow_id=status.execution_id, run_id=facts.run_id, activity_id=task.activity_id
        )
        with suppress(RPCError):  # it has just ended, or the next pass will see to it
            await handle.fail(error, rpc_timeout=_ANSWER_WITHIN)
            log.warning("work that a dead runner held was freed", execution_id=status.execution_id, reason=how)

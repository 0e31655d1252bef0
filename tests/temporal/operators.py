"""What an operator may do to a workflow or its activity in Temporal, by raw requests."""

from __future__ import annotations

import uuid

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetWorkflowExecutionRequest,
    UnpauseActivityRequest,
)
from temporalio.client import Client

FIRST_TASK_FINISHED = 4
"""The event of a workflow's history at which its first task is finished: before anything was scheduled."""


async def pause(temporal: Client, execution_id: str, activity: str = "execute_agent") -> None:
    """Pause the activity of an execution."""
    await temporal.workflow_service.pause_activity(
        PauseActivityRequest(
            namespace=temporal.namespace,
            execution=WorkflowExecution(workflow_id=execution_id),
            type=activity,
            identity="harbour-master",
            reason="fog",
        )
    )


async def unpause(temporal: Client, execution_id: str, activity: str = "execute_agent") -> None:
    """Let it go on."""
    await temporal.workflow_service.unpause_activity(
        UnpauseActivityRequest(
            namespace=temporal.namespace,
            execution=WorkflowExecution(workflow_id=execution_id),
            type=activity,
            identity="harbour-master",
        )
    )


async def reset(temporal: Client, execution_id: str) -> str:
    """Run the workflow anew from its first task; returns the id of the new run."""
    answer = await temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=execution_id),
            reason="the chart was wrong",
            workflow_task_finish_event_id=FIRST_TASK_FINISHED,
            request_id=uuid.uuid4().hex,
        )
    )
    return str(answer.run_id)

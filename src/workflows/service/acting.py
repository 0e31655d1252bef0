"""Routes that ask for something: start, cancel, retry."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from projector.errors import AlreadyRetried
from projector.events import Timeouts
from workflows.client import ExecutionRequest, StartedExecution
from workflows.service.desk import AtDesk
from workflows.service.problems import RESPONSES
from workflows.service.reading import Id

router = APIRouter(prefix="/api", responses=RESPONSES)


class StartRequest(BaseModel):
    """What an agent is asked to do."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"agent": "examples.file_agent:agent", "input": "read the harbour log"}]},
    )

    agent: str = Field(description="the agent, as package.module:attribute")
    input: str = Field(default="", description="what it is asked")
    execution_id: str | None = Field(default=None, description="made when absent")
    session_id: str | None = Field(default=None, description="the conversation it belongs to")
    task_queue: str | None = Field(default=None, description="the runners' task queue")
    timeouts: Timeouts | None = Field(default=None, description="limits in seconds")


class Started(BaseModel):
    """An execution that was started."""

    execution_id: str
    redacted: list[str] = Field(description="kinds of secrets that were taken out of the input")


class CancelRequest(BaseModel):
    """Why an execution is to stop."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""


class RetryRequest(BaseModel):
    """How to run again."""

    model_config = ConfigDict(extra="forbid")

    again: bool = Field(default=False, description="also when it was already retried: its agent may have done its work")


@router.post("/executions", operation_id="startExecution", summary="Start an execution", status_code=201)
async def start_execution(desk: AtDesk, asked: StartRequest) -> Started:
    """Stored first, then started."""
    known = {name: getattr(asked, name) for name in StartRequest.model_fields if getattr(asked, name) is not None}
    return _started(await desk.executions.start(ExecutionRequest(**known)))


@router.post(
    "/executions/{execution_id}/cancel", operation_id="cancelExecution", summary="Ask one to stop", status_code=202
)
async def cancel_execution(desk: AtDesk, execution_id: Id, asked: CancelRequest | None = None) -> None:
    """It ends CANCELLED when its agent has stopped, or as it ends before."""
    await desk.executions.cancel(execution_id, (asked or CancelRequest()).reason)


@router.post(
    "/executions/{execution_id}/retry", operation_id="retryExecution", summary="Run one again", status_code=201
)
async def retry_execution(desk: AtDesk, execution_id: Id, asked: RetryRequest | None = None) -> Started:
    """A new execution of the same agent, input and session, linked to the one that ended."""
    status = await desk.queries.execution(execution_id)
    if status.retried_as and not (asked or RetryRequest()).again:
        raise AlreadyRetried(execution_id, status.retried_as)
    return _started(await desk.executions.retry(execution_id))


def _started(started: StartedExecution) -> Started:
    return Started(execution_id=started.execution_id, redacted=list(started.redacted))

"""Routes that ask for something: start, cancel, retry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from projector.errors import AlreadyRetried
from projector.execution_filter import MOST_ROWS, ExecutionFilter
from projector.execution_status import ExecutionStatus, Phase
from projector.settings import Seconds
from workflows.client import ExecutionRequest, StartedExecution
from workflows.failed_group import MEANWHILE, not_retried, retry_each
from workflows.service.desk import AtDesk
from workflows.service.reading import Id

router = APIRouter(prefix="/api")


Code = Annotated[str, Path(description="a failure code", max_length=8)]
Fingerprint = Annotated[str, Path(description="the group's fingerprint, as /api/failures has it", max_length=40)]


class Limits(BaseModel):
    """How long an execution may take, in seconds; where a limit is absent, the service's settings say it."""

    model_config = ConfigDict(extra="forbid")

    schedule_to_start: Seconds | None = Field(default=None, description="how long it may wait for a runner")
    heartbeat: Seconds | None = Field(default=None, description="how long its runner may be silent")
    start_to_close: Seconds | None = Field(default=None, description="how long the agent may run")


class StartRequest(BaseModel):
    """What an agent is asked to do."""

    model_config = ConfigDict(extra="forbid")

    agent: str = Field(description="the agent, as package.module:attribute")
    input: str = Field(default="", description="what it is asked")
    execution_id: str | None = Field(default=None, description="made when absent")
    session_id: str | None = Field(default=None, description="the conversation it belongs to")
    task_queue: str | None = Field(default=None, description="the runners' task queue")
    timeouts: Limits | None = Field(default=None, description="limits in seconds")


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


class GroupRetryRequest(BaseModel):
    """How to run a group again."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="only say which those are")
    limit: int | None = Field(
        default=None, ge=1, le=MOST_ROWS, description=f"how many at most, the newest; {MOST_ROWS} when it is null"
    )


class Failed(BaseModel):
    """An execution that failed and was not retried yet."""

    execution_id: str
    code: str
    message: str
    finished_at: datetime | None
    retryable: bool = Field(description="whether it is safe: its agent had not begun")


class RetriedAs(BaseModel):
    """An execution that is run again, as another."""

    execution_id: str
    retried_as: str


class NotRetried(BaseModel):
    """An execution that could not be run again, and why."""

    execution_id: str
    detail: str


class GroupRetried(BaseModel):
    """What became of a group."""

    found: list[Failed]
    retried: list[RetriedAs] = Field(default_factory=list)
    failed: list[NotRetried] = Field(default_factory=list)
    more: bool = Field(description="whether there are others beyond the limit: ask again")


@router.post(
    "/executions", operation_id="startExecution", tags=["executions"], summary="Start an execution", status_code=201
)
async def start_execution(desk: AtDesk, asked: StartRequest) -> Started:
    """Stored first, then started."""
    limits = asked.timeouts.model_dump(exclude_none=True) if asked.timeouts else {}
    request = ExecutionRequest(
        agent=asked.agent,
        input=asked.input,
        execution_id=asked.execution_id,
        session_id=asked.session_id,
        task_queue=asked.task_queue,
        timeouts=desk.settings.timeouts.model_copy(update=limits),
    )
    return _started(await desk.executions.start(request))


@router.post(
    "/executions/{execution_id}/cancel",
    operation_id="cancelExecution",
    tags=["executions"],
    summary="Ask one to stop",
    status_code=202,
)
async def cancel_execution(desk: AtDesk, execution_id: Id, asked: CancelRequest | None = None) -> None:
    """It ends CANCELLED when its agent has stopped, or as it ends before."""
    await desk.executions.cancel(execution_id, (asked or CancelRequest()).reason)


@router.post(
    "/executions/{execution_id}/retry",
    operation_id="retryExecution",
    tags=["executions"],
    summary="Run one again",
    status_code=201,
)
async def retry_execution(desk: AtDesk, execution_id: Id, asked: RetryRequest | None = None) -> Started:
    """A new execution of the same agent, input and session, linked to the one that ended."""
    status = await desk.queries.execution(execution_id)
    if status.retried_as and not (asked or RetryRequest()).again:
        raise AlreadyRetried(execution_id, status.retried_as)
    return _started(await desk.executions.retry(execution_id))


@router.post(
    "/failures/{code}/{fingerprint}/retry",
    operation_id="retryGroup",
    tags=["failures"],
    summary="Run the failures of one cause again",
)
async def retry_group(desk: AtDesk, code: Code, fingerprint: Fingerprint, asked: GroupRetryRequest) -> GroupRetried:
    """Those that were not retried yet, newest first, 500 at most in one call; `more` says that some are left.

    With `dry_run` they are only found. What cannot be started is told, and does not stop the others.
    """
    chosen = ExecutionFilter.parse(phase=Phase.FAILED, code=code, cause=fingerprint, limit=MOST_ROWS)
    wanted = asked.limit or MOST_ROWS
    found = await not_retried(desk.queries, chosen, wanted + 1)
    done = GroupRetried(found=list(map(_failed, found[:wanted])), more=len(found) > wanted)
    if asked.dry_run or not found:
        return done
    async for one in retry_each(desk.executions, found[:wanted]):
        if one.retried_as is not None:
            done.retried.append(RetriedAs(execution_id=one.execution_id, retried_as=one.retried_as))
        else:
            done.failed.append(NotRetried(execution_id=one.execution_id, detail=one.refusal or f"it {MEANWHILE}"))
    return done


def _failed(status: ExecutionStatus) -> Failed:
    failure = status.failure
    assert failure is not None, "the phase says so"
    return Failed(
        execution_id=status.execution_id,
        code=failure.code,
        message=failure.message,
        finished_at=status.finished_at,
        retryable=failure.retryable,
    )


def _started(started: StartedExecution) -> Started:
    return Started(execution_id=started.execution_id, redacted=list(started.redacted))

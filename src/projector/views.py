"""What people and programs are shown: the JSON of statuses and events, flat and in the field's words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from projector.envelope import RecordedEvent
from projector.events import Unreadable
from projector.execution_status import Condition, ExecutionStatus, MessagePreview, Progress, ToolInFlight
from projector.failures import Cause


class StatusView(BaseModel):
    """One execution's status."""

    execution_id: str
    phase: str = Field(description="PENDING, IN_PROGRESS, COMPLETED, FAILED or CANCELLED")
    agent: str
    input: str = Field(description="the first 500 characters of what the agent was asked")
    session_id: str | None
    thread_id: str | None
    task_queue: str
    attempt: int = Field(description="which try of the activity, 0 before the first")
    runner: str | None
    code: str | None = Field(description="the failure's code, null unless FAILED")
    category: str | None
    message: str | None = Field(description="what happened, for the person who waits")
    remedy: str | None = Field(description="what to do, for the person who can act")
    retryable: bool | None = Field(description="whether running again is safe")
    cause: Cause | None = Field(description="the root cause")
    evidence: tuple[str, ...] = Field(description="what the verdict rests on")
    stack: str | None = Field(description="the stack of the error, when there was one")
    condition: Condition | None = Field(description="why it is not moving although it has not ended")
    in_flight: ToolInFlight | None = Field(description="the latest tool call without an answer")
    progress: Progress | None
    output: Any = Field(description="the result, when COMPLETED")
    recovered: str = Field(description="how the result was found when Temporal lost the answer")
    events_processed: int = Field(description="steps of the agent so far")
    messages: int
    tool_calls: int
    last_messages: tuple[MessagePreview, ...]
    late_events: int = Field(description="events that came after the end")
    unreadable_events: int = Field(description="events that this version could not read")
    cancellation_requested: bool
    cancellation_reason: str = Field(description="why it was asked to stop, or was stopped")
    retry_of: str | None
    trace_id: str | None = Field(description="the OpenTelemetry trace of its spans, null when it was not traced")
    auto_retry: int = Field(description="which automatic retry in a row this is, 0 when it was asked for by hand")
    retried_as: str | None = Field(description="the execution that repeats this one")
    requested_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    last_event: str
    last_event_at: datetime | None
    version: int = Field(description="the last event's place in this execution")
    position: int = Field(description="the last event's place in the whole store")
    cursor: str = Field(description="the last line's, given to `list --after`, begins the next page")


class EventView(BaseModel):
    """One event of a history."""

    position: int
    version: int
    type: str
    time: datetime
    writer: str
    attempt: int
    data: dict[str, Any]


class StepView(EventView):
    """One event of a replay, and the status after it."""

    status: StatusView


class ChangeView(BaseModel):
    """One event on a live stream, and the status after it."""

    position: int
    version: int
    type: str
    execution_id: str
    status: StatusView


def status_view(status: ExecutionStatus) -> StatusView:
    """Flatten a status."""
    failure = status.failure
    return StatusView(
        **{name: getattr(status, name) for name in StatusView.model_fields if name in ExecutionStatus.model_fields},
        code=failure.code if failure else None,
        category=failure.category if failure else None,
        message=failure.message if failure else None,
        remedy=failure.remedy if failure else None,
        retryable=failure.retryable if failure else None,
        cause=failure.cause if failure else None,
        evidence=failure.evidence if failure else (),
        stack=failure.stack if failure and failure.stack else None,
        condition=status.condition,
        in_flight=status.in_flight,
        cursor=str(status.first_position),
    )


def event_view(recorded: RecordedEvent) -> EventView:
    """Show an event with its envelope; an unreadable one says why it cannot be read."""
    event = recorded.event
    data = {"unreadable": event.reason} if isinstance(event, Unreadable) else event.model_dump(mode="json")
    return EventView(
        position=recorded.position,
        version=recorded.version,
        type=recorded.type,
        time=recorded.time,
        writer=recorded.writer,
        attempt=recorded.attempt,
        data=data,
    )


def step_view(recorded: RecordedEvent, status: ExecutionStatus) -> StepView:
    """Show an event with its envelope, and the status after it."""
    return StepView(**dict(event_view(recorded)), status=status_view(status))


def change_view(recorded: RecordedEvent, status: ExecutionStatus) -> ChangeView:
    """Show an event and the status after it."""
    return ChangeView(
        position=recorded.position,
        version=recorded.version,
        type=recorded.type,
        execution_id=status.execution_id,
        status=status_view(status),
    )

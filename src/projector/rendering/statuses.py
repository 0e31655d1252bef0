"""An execution's status for people: as a row of a list, as a card with the verdict first, as what one event changed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from projector.execution_status import Condition, ExecutionStatus, Phase, ToolInFlight
from projector.failures import Failure
from projector.rendering.describing_events import progress
from projector.rendering.printer import Cell, Field
from projector.rendering.words import between, counted, moment, one_line, readable

STYLES: Final = {
    Phase.PENDING: "yellow",
    Phase.IN_PROGRESS: "cyan",
    Phase.COMPLETED: "green",
    Phase.FAILED: "bold red",
    Phase.CANCELLED: "magenta",
}

LIST_COLUMNS: Final = ("id", "phase", "agent", "age", "took", "reason")


def list_row(status: ExecutionStatus, now: datetime) -> tuple[Cell, ...]:
    """The row of LIST_COLUMNS. `took` counts from the request, up to the end or to `now`."""
    return (
        Cell(status.execution_id),
        phase_cell(status),
        Cell(status.agent),
        Cell(between(status.requested_at, now), is_number=True),
        Cell(between(status.requested_at, status.finished_at or now), is_number=True),
        Cell(reason(status)),
    )


def phase_cell(status: ExecutionStatus) -> Cell:
    """The phase in its colour."""
    return Cell(status.phase.value, STYLES[status.phase])


def reason(status: ExecutionStatus) -> str:
    """Why it stands where it stands, in one text: the failure, the condition, or what it is doing."""
    if status.failure:
        return f"{status.failure.code} {status.failure.message}"
    if status.condition:
        return _condition(status.condition)
    if status.phase is Phase.COMPLETED:
        return status.recovered
    if status.phase is Phase.CANCELLED:
        return status.cancellation_reason
    if status.cancellation_requested:
        return f"asked to stop: {status.cancellation_reason}".removesuffix(": ")
    if status.in_flight:
        return f"in tool {status.in_flight.tool}"
    return "" if status.phase.is_terminal else _progress(status)


def verdict(status: ExecutionStatus) -> list[Field]:
    """How it ended or where it stands: the phase, and all that a failure has to say but its stack."""
    failure = status.failure
    head = f"{failure.code} {failure.category}" if failure else ""
    fields = [Field(status.phase.value, Cell(head, STYLES[status.phase]))]
    if failure:
        fields += [
            Field("message", Cell(failure.message, "bold")),
            Field("remedy", Cell(failure.remedy)),
            Field("retry", Cell(_retry(status, failure))),
            *([Field("cause", Cell(str(failure.cause)))] if failure.cause else []),
            *([Field("evidence", Cell("\n".join(failure.evidence)))] if failure.evidence else []),
        ]
    if status.phase is Phase.CANCELLED:
        fields.append(Field("because", Cell(status.cancellation_reason)))
    if status.phase is Phase.COMPLETED:
        if status.recovered:
            fields.append(Field("recovered", Cell(status.recovered)))
        fields.append(Field("output", Cell(readable(status.output))))
    return fields


def card(status: ExecutionStatus) -> list[Field]:
    """Everything about one execution, the verdict first and the stack last."""
    said = [
        *(("condition", _condition(held, since=True)) for held in reversed(status.conditions)),
        *(("blocked at", held.stack) for held in reversed(status.conditions)),
        *(("in flight", _in_flight(call)) for call in reversed(status.in_flight_calls)),
        ("progress", _progress(status)),
        ("execution", status.execution_id),
        ("agent", f"{status.agent} on queue '{status.task_queue}'" if status.agent else ""),
        ("input", status.input),
        ("session", status.session_id),
        ("thread", status.thread_id),
        ("attempt", f"{status.attempt} on runner {status.runner}" if status.runner else ""),
        ("retry of", _repeats(status)),
        ("retried as", status.retried_as),
        ("trace", status.trace_id),
        ("did", _counters(status)),
        ("messages", "\n".join(f"{message.role}: {message.text}" for message in status.last_messages)),
        ("requested", _when(status.requested_at)),
        ("started", _when(status.started_at, status.requested_at)),
        ("asked to stop", "yes" if status.cancellation_requested else ""),
        ("finished", _when(status.finished_at, status.requested_at)),
        ("last event", f"{status.last_event}, {_when(status.last_event_at)}"),
        ("version", f"{status.version}, at position {status.position} of the store"),
        ("stack", status.failure.stack if status.failure else ""),
    ]
    return [*verdict(status), *(Field(label, Cell(text)) for label, text in said if text)]


def changed(before: ExecutionStatus | None, after: ExecutionStatus) -> str:
    """What one event changed in the status, the phase first."""
    old = before or ExecutionStatus(execution_id=after.execution_id)
    parts = [after.phase.value if before and old.phase is after.phase else _step(before, after)]
    for name in ("attempt", "events_processed", "messages", "tool_calls", "late_events", "unreadable_events"):
        if getattr(old, name) != getattr(after, name):
            parts.append(f"{name.replace('_', ' ')} {getattr(old, name)} → {getattr(after, name)}")
    for name, words in (("thread_id", "thread"), ("runner", "runner"), ("retried_as", "retried as")):
        if getattr(old, name) != getattr(after, name):
            parts.append(f"{words} {getattr(after, name)}")
    if old.in_flight_calls != after.in_flight_calls:
        tools = ", ".join(call.tool for call in after.in_flight_calls)
        parts.append(f"in flight {tools}" if tools else "nothing in flight")
    if old.conditions != after.conditions:
        held = "; ".join(_condition(condition) for condition in after.conditions)
        parts.append(f"condition {held}" if held else "no condition")
    if old.progress != after.progress:
        parts.append(f"progress {_progress(after)}")
    if after.cancellation_requested and not old.cancellation_requested:
        parts.append("asked to stop")
    if after.failure and not old.failure:
        parts.append(f"{after.failure.code} {after.failure.category}")
    if after.phase is Phase.COMPLETED and old.phase is not after.phase and after.output is not None:
        parts.append(f"output {one_line(after.output)}")
    return ", ".join(parts if len(parts) > 1 or old.phase is not after.phase or not before else [*parts, "unchanged"])


def _step(before: ExecutionStatus | None, after: ExecutionStatus) -> str:
    return f"{before.phase if before else '(nothing)'} → {after.phase}"


def _retry(status: ExecutionStatus, failure: Failure) -> str:
    if status.retried_as:
        return (
            f"already retried as {status.retried_as}; once more: `execution-status retry {status.execution_id} --again`"
        )
    command = f"`execution-status retry {status.execution_id}`"
    return f"safe: {command}" if failure.retryable else f"only after a look at what was done already: {command}"


def _repeats(status: ExecutionStatus) -> str:
    automatic = f" (automatic retry {status.auto_retry})" if status.auto_retry else ""
    return f"{status.retry_of}{automatic}" if status.retry_of else ""


def _condition(condition: Condition, *, since: bool = False) -> str:
    begun = f" since {moment(condition.since)} UTC" if since else ""
    return f"{condition.kind}{begun}: {condition.reason}"


def _in_flight(call: ToolInFlight) -> str:
    return f"{call.tool} (call {call.call_id}) since {moment(call.since)} UTC"


def _progress(status: ExecutionStatus) -> str:
    return progress(status.progress.done, status.progress.total, status.progress.note) if status.progress else ""


def _counters(status: ExecutionStatus) -> str:
    parts = [
        counted(status.events_processed, "step"),
        counted(status.messages, "message"),
        counted(status.tool_calls, "tool call"),
    ]
    if status.late_events:
        parts.append(counted(status.late_events, "event") + " after the end")
    if status.unreadable_events:
        parts.append(counted(status.unreadable_events, "event") + " that this version cannot read")
    return ", ".join(parts)


def _when(time: datetime | None, begin: datetime | None = None) -> str:
    if time is None:
        return ""
    later = f" ({between(begin, time)} later)" if begin else ""
    return f"{moment(time)} UTC{later}"

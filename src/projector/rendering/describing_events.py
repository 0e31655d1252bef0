"""One event in one line: what it says, for the person who reads a history or watches."""

from __future__ import annotations

from typing import Any, assert_never

from projector.events import (
    AnyEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptRefused,
    AttemptStarted,
    CancellationRequested,
    ConditionCleared,
    ConditionObserved,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRequested,
    ExecutionRetried,
    ExecutionsArchived,
    ExecutionStarted,
    HeartbeatRecorded,
    MessageAppended,
    ProgressReported,
    RunnerAwaited,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    RunnerStopped,
    ThreadEnsured,
    ToolCallFinished,
    ToolCallStarted,
    Unreadable,
)
from projector.projections.runners import ended_how
from projector.rendering.words import counted, one_line


def describe(event: AnyEvent) -> str:
    """What an event says, on one line and harmless to a terminal."""
    return one_line(_said(event))


def _said(event: AnyEvent) -> str:
    match event:
        case ExecutionRequested():
            how = f"automatic retry {event.auto_retry}" if event.auto_retry else "a retry"
            again = f", {how} of {event.retry_of}" if event.retry_of else ""
            return f"{event.agent} on queue '{event.task_queue}'{again}: {event.input}"
        case CancellationRequested() | ExecutionCancelled():
            return event.reason
        case ExecutionRetried():
            return f"as {event.retried_as}"
        case ExecutionStarted():
            return f"workflow run {event.run_id}"
        case RunnerAwaited():
            return f"on queue '{event.task_queue}'"
        case ThreadEnsured():
            return event.thread_id
        case ExecutionCompleted():
            return (f"{event.recovered}: " if event.recovered else "") + _value(event.output)
        case AttemptFinished():
            return _value(event.output)
        case ExecutionFailed():
            return f"{event.failure.code} {event.failure.message}"
        case AttemptFailed():
            return event.report.headline
        case AttemptStarted():
            return f"on runner {event.runner_id}"
        case AttemptRefused():
            return f"on runner {event.runner_id}: {event.reason}"
        case MessageAppended():
            return f"{event.role}: {event.text}"
        case ToolCallStarted():
            return f"{event.tool} {_value(event.arguments)} (call {event.call_id})"
        case ToolCallFinished():
            return f"call {event.call_id}" + (f" failed: {event.error}" if event.error else f": {_value(event.output)}")
        case ProgressReported():
            return progress(event.done, event.total, event.note)
        case HeartbeatRecorded():
            did = [
                counted(event.events_processed, "event"),
                counted(event.messages, "message"),
                counted(event.tool_calls, "tool call"),
            ]
            return ", ".join(did) + (f"; {event.phase}" if event.phase else "")
        case ConditionObserved():
            return f"{event.kind}: {event.reason}"
        case ConditionCleared():
            return event.kind
        case RunnerStarting() | RunnerReady():
            return f"on queue '{event.task_queue}' with {', '.join(event.agents) or 'no agent'}"
        case RunnerStartupFailed():
            return f"{event.stage}: {event.report.headline}"
        case RunnerStopped():
            return event.reason
        case RunnerExited():
            return ended_how(event)
        case ExecutionsArchived():
            return f"{counted(event.executions, 'execution')} with {counted(event.events, 'event')} into {event.file}"
        case Unreadable():
            return f"cannot be read: {event.reason}"
        case _:
            assert_never(event)


def progress(done: float | None, total: float | None, note: str) -> str:
    """How far an agent says it is, as `2/3 the northern half`."""
    share = "" if done is None else f"{done:g}" + ("" if total is None else f"/{total:g}")
    return " ".join(part for part in (share, note) if part)


def _value(value: Any) -> str:
    return "" if value is None else one_line(value)

"""The ExecutionStatus aggregate: what an execution's history amounts to.

            a              b                 c
  (nothing) ──▶ PENDING ──────▶ IN_PROGRESS ──────▶ COMPLETED
                   │                │  │
                   │ e              │e └──d──▶ CANCELLED (also from PENDING)
                   ▼                ▼
                 FAILED ◀───────────┘
  a ExecutionRequested   b AttemptStarted   c ExecutionCompleted   d ExecutionCancelled   e ExecutionFailed

`evolve` is total and pure: any event in any state gives a state. The end is absorbing: later events are counted as
late and change nothing else. The status is bounded, whatever the length of the history. Refusals live in `decide_*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, assert_never

from projector.envelope import RecordedEvent, execution_id_of, role_of
from projector.errors import ExecutionEnded, ExecutionNotFound
from projector.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptRefused,
    AttemptStarted,
    CancellationRequested,
    ConditionCleared,
    ConditionKind,
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
from projector.failures import Failure
from projector.status_parts import Condition, MessagePreview, Part, Phase, Progress, ToolInFlight

__all__ = [
    "FOLD_VERSION",
    "LAST_MESSAGES",
    "MESSAGE_PREVIEW",
    "NAME_PREVIEW",
    "STACK_PREVIEW",
    "TOOLS_IN_FLIGHT",
    "Condition",
    "ExecutionStatus",
    "MessagePreview",
    "Phase",
    "Progress",
    "ToolInFlight",
    "decide_cancellation",
    "evolve",
    "fold",
]

FOLD_VERSION: Final = 2
"""Rises whenever the same history gives another status, or the query tables hold it in another form."""
LAST_MESSAGES: Final = 5
"""How many of the last messages a status keeps."""
MESSAGE_PREVIEW: Final = 500
"""How many characters of each it keeps."""
NAME_PREVIEW: Final = 200
"""How many characters of a tool's name and a call's id it keeps."""
STACK_PREVIEW: Final = 4000
"""How many characters of the stack of a condition it keeps; the newest frames."""
TOOLS_IN_FLIGHT: Final = 16
"""How many unanswered tool calls a status keeps; the oldest goes first."""

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


class ExecutionStatus(Part):
    """The aggregate. Every field is bounded; a failure is there if and only if the phase is FAILED.

    `before_end_at` is when its last event before the end was: from then on to `finished_at` its verdict took.
    """

    execution_id: str
    phase: Phase = Phase.PENDING
    agent: str = ""
    input: str = ""
    task_queue: str = ""
    session_id: str | None = None
    thread_id: str | None = None
    retry_of: str | None = None
    auto_retry: int = 0
    retried_as: str | None = None
    trace_id: str | None = None
    run_id: str | None = None
    engine: str = ""
    attempt: int = 0
    runner: str | None = None
    failure: Failure | None = None
    output: Any = None
    recovered: str = ""
    conditions: tuple[Condition, ...] = ()
    in_flight_calls: tuple[ToolInFlight, ...] = ()
    progress: Progress | None = None
    last_messages: tuple[MessagePreview, ...] = ()
    cancellation_requested: bool = False
    cancellation_reason: str = ""
    events_processed: int = 0
    messages: int = 0
    tool_calls: int = 0
    late_events: int = 0
    unreadable_events: int = 0
    requested_at: datetime | None = None
    started_at: datetime | None = None
    attempt_ended_at: datetime | None = None
    before_end_at: datetime | None = None
    finished_at: datetime | None = None
    last_event: str = ""
    last_event_at: datetime | None = None
    first_position: int = 0
    version: int = 0
    position: int = 0

    @property
    def id(self) -> str:
        """The stream, by the name that the eventsourcing library gives it."""
        return f"execution/{self.execution_id}"

    @property
    def condition(self) -> Condition | None:
        """The one condition to show first: the latest to be observed."""
        return self.conditions[-1] if self.conditions else None

    @property
    def in_flight(self) -> ToolInFlight | None:
        """The one tool call to show first: the latest to begin."""
        return self.in_flight_calls[-1] if self.in_flight_calls else None


def evolve(status: ExecutionStatus | None, recorded: RecordedEvent) -> ExecutionStatus:
    """The status after one more event. Total, pure and of constant cost."""
    if status is None:
        execution_id = execution_id_of(recorded.stream) or recorded.stream
        status = ExecutionStatus(execution_id=execution_id, first_position=recorded.position)
    place = {"version": recorded.version, "position": recorded.position}
    if status.phase.is_terminal:
        if isinstance(recorded.event, ExecutionRetried):  # a link to what came of it, not word from a latecomer
            return status.model_copy(update={**place, "retried_as": recorded.event.retried_as[:NAME_PREVIEW]})
        return status.model_copy(update={**place, "late_events": status.late_events + 1})
    changes = _changes(status, recorded)
    changes |= {**place, "last_event": recorded.type, "last_event_at": recorded.time}
    return status.model_copy(update=changes)


def fold(status: ExecutionStatus | None, history: Iterable[RecordedEvent]) -> ExecutionStatus | None:
    """The status after a history; None when there is neither a status nor an event."""
    for recorded in history:
        status = evolve(status, recorded)
    return status


def _changes(status: ExecutionStatus, recorded: RecordedEvent) -> dict[str, Any]:
    """What one event changes in a status that has not ended."""
    event, time = recorded.event, recorded.time
    match event:
        case ExecutionRequested():
            return {
                "agent": event.agent,
                "input": event.input[:MESSAGE_PREVIEW],
                "task_queue": event.task_queue,
                "session_id": event.session_id,
                "retry_of": event.retry_of,
                "auto_retry": event.auto_retry,
                "trace_id": event.trace_id if event.trace_id and _TRACE_ID.fullmatch(event.trace_id) else None,
                "requested_at": status.requested_at or time,
            }
        case CancellationRequested():
            return {"cancellation_requested": True, "cancellation_reason": event.reason}
        case ExecutionRetried():
            return {"retried_as": event.retried_as[:NAME_PREVIEW]}
        case ExecutionStarted():
            return {"run_id": event.run_id, "engine": event.engine}
        case RunnerAwaited():
            if status.attempt:  # another run of the workflow: the agent is at work, and is not begun again
                return {}
            reason = f"waiting for a runner on queue '{event.task_queue}'"
            return {"conditions": _observed(status, ConditionKind.WAITING_FOR_RUNNER, reason, time)}
        case ThreadEnsured():
            return {
                "thread_id": event.thread_id,
                "conditions": _cleared(status, ConditionKind.WAITING_FOR_RUNNER),
            }
        case AttemptStarted():
            return {
                "phase": Phase.IN_PROGRESS,
                "attempt": recorded.attempt,
                "runner": event.runner_id,
                "started_at": status.started_at or time,
                "in_flight_calls": (),
                "conditions": _cleared(status, ConditionKind.WAITING_FOR_RUNNER),
            }
        case MessageAppended():
            preview = MessagePreview(role=event.role, text=event.text[:MESSAGE_PREVIEW])
            return {
                "messages": status.messages + 1,
                "events_processed": status.events_processed + 1,
                "last_messages": (*status.last_messages, preview)[-LAST_MESSAGES:],
            }
        case ToolCallStarted():
            call = ToolInFlight(tool=event.tool[:NAME_PREVIEW], call_id=event.call_id[:NAME_PREVIEW], since=time)
            return {
                "tool_calls": status.tool_calls + 1,
                "events_processed": status.events_processed + 1,
                "in_flight_calls": (*status.in_flight_calls, call)[-TOOLS_IN_FLIGHT:],
            }
        case ToolCallFinished():
            return {
                "events_processed": status.events_processed + 1,
                "in_flight_calls": _answered(status.in_flight_calls, event.call_id),
            }
        case ProgressReported():
            return {
                "events_processed": status.events_processed + 1,
                "progress": Progress(done=event.done, total=event.total, note=event.note),
            }
        case ConditionObserved():
            observer, stack = role_of(recorded.writer)[:NAME_PREVIEW], event.stack[-STACK_PREVIEW:]
            return {"conditions": _observed(status, event.kind, event.reason, time, observer=observer, stack=stack)}
        case ConditionCleared():
            return {"conditions": _cleared(status, event.kind)}
        case ExecutionCompleted():
            return _ended(status, Phase.COMPLETED, time) | {
                "output": event.output,
                "recovered": event.recovered,
                "in_flight_calls": (),
            }
        case ExecutionFailed():
            # The tool in flight stays: it says where the execution stood when it failed.
            return _ended(status, Phase.FAILED, time) | {"failure": event.failure}
        case ExecutionCancelled():
            return _ended(status, Phase.CANCELLED, time) | {"cancellation_reason": event.reason}
        case Unreadable():
            reason = f"event {recorded.version} ({event.name}) cannot be read: {event.reason}"
            return {
                "unreadable_events": status.unreadable_events + 1,
                "conditions": _observed(status, ConditionKind.DEGRADED, reason, time),
            }
        case AttemptFinished() | AttemptFailed():
            return {"attempt_ended_at": time}
        case HeartbeatRecorded() | AttemptRefused():
            return {}
        case RunnerStarting() | RunnerReady() | RunnerStartupFailed() | RunnerStopped() | RunnerExited():
            return {}
        case ExecutionsArchived():
            return {}
        case _:
            assert_never(event)


def _ended(status: ExecutionStatus, phase: Phase, time: datetime) -> dict[str, Any]:
    # What kept it from moving no longer matters; that a part of its history could not be read still does.
    kept = tuple(held for held in status.conditions if held.kind is ConditionKind.DEGRADED and not held.observer)
    return {"phase": phase, "finished_at": time, "before_end_at": status.last_event_at, "conditions": kept}


def _observed(
    status: ExecutionStatus, kind: ConditionKind, reason: str, time: datetime, *, observer: str = "", stack: str = ""
) -> tuple[Condition, ...]:
    since = next((held.since for held in status.conditions if held.kind is kind), time)
    condition = Condition(kind=kind, reason=reason, since=since, observer=observer, stack=stack)
    return (*_cleared(status, kind), condition)


def _cleared(status: ExecutionStatus, kind: ConditionKind) -> tuple[Condition, ...]:
    return tuple(held for held in status.conditions if held.kind is not kind)


def _answered(calls: tuple[ToolInFlight, ...], call_id: str) -> tuple[ToolInFlight, ...]:
    """Without the oldest unanswered call of this id: agents may give two calls the same one."""
    for place, call in enumerate(calls):
        if call.call_id == call_id[:NAME_PREVIEW]:
            return calls[:place] + calls[place + 1 :]
    return calls


def decide_cancellation(status: ExecutionStatus | None, execution_id: str, reason: str) -> CancellationRequested:
    """Ask for an execution to stop. Raises ExecutionNotFound or ExecutionEnded."""
    if status is None:
        raise ExecutionNotFound(execution_id)
    if status.phase.is_terminal:
        raise ExecutionEnded(execution_id, status.phase)
    return CancellationRequested(reason=reason)

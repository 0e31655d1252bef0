"""Histories in a few words: the events of executions on a survey ship, and their envelopes.

`history(...)` gives events as a store hands them out, `new(...)` as a writer hands them in.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

from projector.catalogue import Code
from projector.envelope import END_EVENT_ID, NewEvent, RecordedEvent, execution_stream
from projector.events import (
    TERMINAL_TYPES,
    AnyEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptStarted,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRequested,
    ExecutionStarted,
    HeartbeatRecorded,
    MessageAppended,
    ProgressReported,
    RunnerAwaited,
    ThreadEnsured,
    ToolCallFinished,
    ToolCallStarted,
    WritableEvent,
)
from projector.failures import Cause, ErrorReport, Failure, build_failure

DAWN: Final = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
"""When every history begins; each event is a second later than the one before it."""
SURVEY: Final = "survey-of-the-north-reef"
AGENT: Final = "ship.surveyor:agent"
QUEUE: Final = "agent-runner"
RUNNER: Final = "polaris:4711"

REQUESTED: Final = ExecutionRequested(agent=AGENT, input="Sound the north reef.", session_id="reefs", task_queue=QUEUE)
STARTED: Final = ExecutionStarted(run_id="run-1")
AWAITED: Final = RunnerAwaited(task_queue=QUEUE)
THREAD: Final = ThreadEnsured(thread_id="thread-of-the-reefs")
ATTEMPT: Final = AttemptStarted(runner_id=RUNNER, task_queue=QUEUE)
SOUNDING: Final = ToolCallStarted(call_id="call-1", tool="sound_depth", arguments={"latitude": 54.3})
SOUNDED: Final = ToolCallFinished(call_id="call-1", output={"fathoms": 7})
REMARK: Final = MessageAppended(role="assistant", text="Seven fathoms over the reef.")
HALFWAY: Final = ProgressReported(done=1, total=2, note="the northern half")
HEARTBEAT: Final = HeartbeatRecorded(events_processed=4, messages=1, tool_calls=1, phase="sound_depth")
RESULT: Final = AttemptFinished(output={"shallowest": 7}, output_bytes=16)
COMPLETED: Final = ExecutionCompleted(output={"shallowest": 7}, output_bytes=16)
AGROUND: Final = AttemptFailed(report=ErrorReport(type="ValueError", message="the lead line parted"))


def failed(
    code: Code = Code.AGENT_FAILED, type: str = "ValueError", message: str = "the lead line parted"
) -> ExecutionFailed:
    """The end of an execution, with the catalogue's words for `code`."""
    return ExecutionFailed(failure=verdict(code, type, message))


def verdict(code: Code = Code.AGENT_FAILED, type: str = "ValueError", message: str = "the lead line parted") -> Failure:
    """A failure with a cause."""
    return build_failure(code, cause=Cause(type=type, message=message), queue=QUEUE, seconds="30 s")


VOYAGE: Final = (
    REQUESTED,
    STARTED,
    AWAITED,
    THREAD,
    ATTEMPT,
    SOUNDING,
    SOUNDED,
    REMARK,
    HALFWAY,
    HEARTBEAT,
    RESULT,
    COMPLETED,
)
"""An execution that went well, from the request to the end."""

SHIPWRECK: Final = (REQUESTED, STARTED, AWAITED, THREAD, ATTEMPT, REMARK, SOUNDING, AGROUND, failed())
"""An execution that failed while it used a tool."""


def recorded(
    event: AnyEvent,
    version: int = 1,
    *,
    execution_id: str = SURVEY,
    stream: str = "",
    position: int | None = None,
    time: datetime | None = None,
    attempt: int = 0,
) -> RecordedEvent:
    """One event as a store hands it out; its position is its version unless another is given."""
    return RecordedEvent(
        stream=stream or execution_stream(execution_id),
        version=version,
        position=version if position is None else position,
        id=f"event-{version}",
        time=time or DAWN + timedelta(seconds=version),
        writer=f"runner:{RUNNER}",
        attempt=attempt,
        event=event,
    )


def history(*events: AnyEvent, execution_id: str = SURVEY) -> list[RecordedEvent]:
    """The history of one execution, alone in its store."""
    return [
        recorded(event, version, execution_id=execution_id, attempt=1 if isinstance(event, AttemptStarted) else 0)
        for version, event in enumerate(events, start=1)
    ]


_ids = itertools.count(1)


def new(event: WritableEvent, id: str = "", *, attempt: int = 0, seconds: float = 0.0) -> NewEvent:
    """One event as a writer hands it in. Ids are made up where none is given; an end has the id of all ends."""
    made = END_EVENT_ID if isinstance(event, TERMINAL_TYPES) else f"event-{next(_ids)}"
    return NewEvent(
        id=id or made, time=DAWN + timedelta(seconds=seconds), writer=f"runner:{RUNNER}", event=event, attempt=attempt
    )


def news(*events: WritableEvent) -> list[NewEvent]:
    """Several events as a writer hands them in, a second apart; attempts count from 1."""
    attempts = itertools.count(1)
    return [
        new(event, seconds=place, attempt=next(attempts) if isinstance(event, AttemptStarted) else 0)
        for place, event in enumerate(events)
    ]

"""Everything that can happen to an execution, a runner or the store: frozen records, named in the past tense, in a
closed union.

An event says only what happened. Who said it, when, and where it stands in the store is the envelope's
(`projector.envelope`). The class name is the event's name in storage and `class_version` its version; change
a field's meaning and the version rises, with an upcaster in `projector.codec`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, get_args

from pydantic import BaseModel, ConfigDict, Field

from projector.failures import ErrorReport, Failure, Truncation

EXECUTION_ID_PATTERN: Final = r"[A-Za-z0-9._:-]{1,200}"


class Event(BaseModel):
    """Base of all events. `truncated` tells what was cut from the event's texts on their way in."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    class_version: ClassVar[int] = 1

    truncated: tuple[Truncation, ...] = ()


class Timeouts(BaseModel):
    """The limits of one execution, in seconds. The defaults are the design's: 60 s, 30 s, 10 min."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schedule_to_start: Annotated[float, Field(gt=0)] = 60.0
    heartbeat: Annotated[float, Field(gt=0)] = 30.0
    start_to_close: Annotated[float, Field(gt=0)] = 600.0


class ConditionKind(StrEnum):
    """Why an execution is not moving although it has not ended."""

    WAITING_FOR_RUNNER = "waiting_for_runner"
    STALLED = "stalled"
    PAUSED = "paused"
    DEGRADED = "degraded"


# --- the client's ------------------------------------------------------------------------------------------------


class ExecutionRequested(Event):
    """Somebody asked for an agent to run.

    `auto_retry` is 0 when it was asked for by hand, or which automatic retry in a row this is. `trace_id` is that of
    the OpenTelemetry trace in which its spans are, in hex, if there is one.
    """

    agent: str
    input: str = ""
    session_id: str | None = None
    task_queue: str
    timeouts: Timeouts = Timeouts()
    retry_of: str | None = None
    auto_retry: int = 0
    trace_id: str | None = None


class CancellationRequested(Event):
    """Somebody asked for the execution to stop."""

    reason: str = ""


class ExecutionRetried(Event):
    """A new execution was started from this one."""

    retried_as: str


# --- the orchestrator's ------------------------------------------------------------------------------------------


class ExecutionStarted(Event):
    """Temporal runs the workflow of this execution. `engine` is the id of the Temporal namespace that does."""

    run_id: str
    engine: str = ""


class RunnerAwaited(Event):
    """The execution's work is on the queue, and no runner has taken it yet."""

    task_queue: str


class ThreadEnsured(Event):
    """The conversation's state is prepared."""

    thread_id: str


class ExecutionCompleted(Event):
    """The end: the agent finished. `recovered` says how its result was found when Temporal lost the answer."""

    output: Any = None
    output_bytes: int = 0
    recovered: str = ""


class ExecutionFailed(Event):
    """The end: the verdict."""

    failure: Failure


class ExecutionCancelled(Event):
    """The end: stopped on request."""

    reason: str = ""


# --- the runner's, about an execution ----------------------------------------------------------------------------


class AttemptStarted(Event):
    """A runner took the execution's lease and is about to run the agent; nobody else will."""

    runner_id: str
    task_queue: str
    lease: str = ""


class MessageAppended(Event):
    """A message of the conversation."""

    role: str
    text: str


class ToolCallStarted(Event):
    """The agent is about to use a tool."""

    call_id: str
    tool: str
    arguments: Any = None


class ToolCallFinished(Event):
    """The tool answered, or failed with `error`."""

    call_id: str
    output: Any = None
    error: str | None = None


class ProgressReported(Event):
    """The agent says how far it is. `done` and `total` are in units of the agent's own."""

    done: float | None = None
    total: float | None = None
    note: str = ""


class HeartbeatRecorded(Event):
    """The runner is alive; counters of this attempt so far."""

    events_processed: int
    messages: int
    tool_calls: int
    phase: str


class AttemptFinished(Event):
    """The agent finished and this was its result; not yet the end, since Temporal may still lose the answer."""

    output: Any = None
    output_bytes: int = 0


class AttemptFailed(Event):
    """The attempt ended with this error; not yet the end, since the verdict is the orchestrator's."""

    report: ErrorReport


class AttemptRefused(Event):
    """A runner was handed the execution and did not run the agent: it has ended, or another attempt has its lease."""

    runner_id: str
    reason: str


# --- the runner's, about itself, and its supervisor's --------------------------------------------------------------


class RunnerStarting(Event):
    """A runner process began: it has not imported its agents yet."""

    task_queue: str
    agents: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    version: str = ""


class RunnerReady(Event):
    """The runner polls its queue."""

    task_queue: str
    agents: tuple[str, ...] = ()
    slots: int = 0


class RunnerStartupFailed(Event):
    """The runner could not start, and why."""

    task_queue: str
    agents: tuple[str, ...] = ()
    stage: str
    report: ErrorReport
    likely_causes: tuple[str, ...] = ()


class RunnerStopped(Event):
    """The runner shut down on request."""

    reason: str = ""


class RunnerExited(Event):
    """The runner's process ended, as its supervisor saw it.

    `stage` is what it was at when it ended before it was ready. `crashes` counts the ends in a row that nobody asked
    for; `restart_in` is how many seconds later the supervisor starts the next runner, if it does.
    """

    task_queue: str = ""
    agents: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: bool = False
    was_told: bool = False
    stage: str = ""
    crashes: int = 0
    restart_in: float | None = None
    last_stderr: str = ""


# --- whoever sees it: the reconciler's, the orchestrator's, the runner's and its supervisor's ----------------------


class ConditionObserved(Event):
    """Something keeps the execution from moving. `stack` is where, when it is code that does not go on."""

    kind: ConditionKind
    reason: str
    stack: str = ""


class ConditionCleared(Event):
    """What kept it from moving is gone."""

    kind: ConditionKind


# --- the archive's -------------------------------------------------------------------------------------------------


class ExecutionsArchived(Event):
    """Executions that had ended were taken out of the store, into a file.

    `file` is the file's name, and `sha256` that of all its lines but the last, in hex.
    """

    file: str
    executions: int
    events: int
    sha256: str


# --- what this version cannot read ---------------------------------------------------------------------------------


class Unreadable(Event):
    """Stands in for a stored event of an unknown name, a newer version or a damaged body. Never written."""

    name: str
    stored_version: int = 0
    reason: str


ExecutionEvent = (
    ExecutionRequested
    | CancellationRequested
    | ExecutionRetried
    | ExecutionStarted
    | RunnerAwaited
    | ThreadEnsured
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCancelled
    | AttemptStarted
    | MessageAppended
    | ToolCallStarted
    | ToolCallFinished
    | ProgressReported
    | HeartbeatRecorded
    | AttemptFinished
    | AttemptFailed
    | AttemptRefused
    | ConditionObserved
    | ConditionCleared
)
RunnerEvent = RunnerStarting | RunnerReady | RunnerStartupFailed | RunnerStopped | RunnerExited
ArchiveEvent = ExecutionsArchived
TerminalEvent = ExecutionCompleted | ExecutionFailed | ExecutionCancelled
WritableEvent = ExecutionEvent | RunnerEvent | ArchiveEvent
AnyEvent = WritableEvent | Unreadable

EVENT_TYPES: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in get_args(WritableEvent)}
"""The closed union by name in storage."""

TERMINAL_TYPES: Final = get_args(TerminalEvent)

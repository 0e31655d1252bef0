"""What the bodies in `events-v1.json` mean: one event of each kind, with every field filled."""

from __future__ import annotations

from typing import Any, Final

from projector.events import (
    AttemptFailed,
    AttemptFinished,
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
    Timeouts,
    ToolCallFinished,
    ToolCallStarted,
    WritableEvent,
)
from projector.failures import Cause, ErrorReport, Failure, Truncation

CUT: Final = (Truncation(field="text", original_bytes=70_000, sha256="5994471abb01112afcc18159f6cc74b4"),)
JSON: Final[dict[str, Any]] = {"fathoms": 7, "reef": "norðr", "open": True, "wreck": None, "depths": [1.5, -2]}
REPORT: Final = ErrorReport(
    kind="provider",
    type="ChartError",
    message="the chart service is closed",
    causes=(Cause(type="OSError", message="[Errno 111] Connection refused"),),
    sub_errors=(Cause(type="TimeoutError", message="no answer from the pilot"),),
    notes=("on the third cast",),
    stack='File "survey.py", line 7, in sound',
    retry_after=2.5,
    truncated=CUT,
)
FAILURE: Final = Failure(
    code="E402",
    category="provider_unavailable",
    message="A service that the agent needs was unavailable: ChartError: the chart service is closed.",
    remedy="Retry after a while.",
    retryable=True,
    cause=Cause(type="ChartError", message="the chart service is closed"),
    evidence=("store: attempt 2 began on runner polaris:4711",),
    stack='File "survey.py", line 7, in sound',
)

_EVENTS: Final[tuple[WritableEvent, ...]] = (
    ExecutionRequested(
        agent="ship.surveyor:agent",
        input="Sound the north reef.",
        session_id="reefs",
        task_queue="agent-runner",
        timeouts=Timeouts(schedule_to_start=5.5, heartbeat=3, start_to_close=60),
        retry_of="survey-in-the-storm",
        truncated=CUT,
    ),
    CancellationRequested(reason="fog", truncated=CUT),
    ExecutionRetried(retried_as="survey-again", truncated=CUT),
    ExecutionStarted(run_id="run-1", truncated=CUT),
    RunnerAwaited(task_queue="agent-runner", truncated=CUT),
    ThreadEnsured(thread_id="thread-of-the-reefs", truncated=CUT),
    ExecutionCompleted(output=JSON, output_bytes=64, recovered="the runner stored the result", truncated=CUT),
    ExecutionFailed(failure=FAILURE, truncated=CUT),
    ExecutionCancelled(reason="on request", truncated=CUT),
    AttemptStarted(runner_id="polaris:4711", task_queue="agent-runner", truncated=CUT),
    MessageAppended(role="assistant", text="Seven fathoms over the reef \N{WHALE}.", truncated=CUT),
    ToolCallStarted(call_id="call-1", tool="sound_depth", arguments=JSON, truncated=CUT),
    ToolCallFinished(call_id="call-1", output=JSON, error="the lead line parted", truncated=CUT),
    ProgressReported(done=1.5, total=3, note="the northern half", truncated=CUT),
    HeartbeatRecorded(events_processed=4, messages=1, tool_calls=1, phase="sound_depth", truncated=CUT),
    AttemptFinished(output=JSON, output_bytes=64, truncated=CUT),
    AttemptFailed(report=REPORT, truncated=CUT),
    RunnerStarting(
        task_queue="agent-runner",
        agents=("ship.surveyor:agent", "ship.cook:agent"),
        host="polaris",
        pid=4711,
        version="0.1.0",
        truncated=CUT,
    ),
    RunnerReady(task_queue="agent-runner", agents=("ship.surveyor:agent",), slots=8, truncated=CUT),
    RunnerStartupFailed(
        task_queue="agent-runner",
        agents=("ship.surveyor:agent",),
        stage="import",
        report=REPORT,
        likely_causes=("the chart service is closed on Sundays",),
        truncated=CUT,
    ),
    RunnerStopped(reason="SIGTERM", truncated=CUT),
    RunnerExited(exit_code=-9, signal="SIGKILL", out_of_memory=True, last_stderr="Killed", truncated=CUT),
    ConditionObserved(kind=ConditionKind.STALLED, reason="the workflow task keeps failing", truncated=CUT),
    ConditionCleared(kind=ConditionKind.PAUSED, truncated=CUT),
)
EVENTS: Final = {type(event).__name__: event for event in _EVENTS}

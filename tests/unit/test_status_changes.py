"""The aggregate, one event at a time: when one more event comes, then this changes and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from projector.events import (
    AnyEvent,
    AttemptRefused,
    CancellationRequested,
    ConditionCleared,
    ConditionKind,
    ConditionObserved,
    ExecutionCompleted,
    ExecutionRequested,
    ExecutionRetried,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    RunnerStopped,
)
from projector.execution_status import Condition, MessagePreview, Phase, Progress, ToolInFlight, fold
from projector.failures import ErrorReport
from projector.views import status_view
from tests.histories import (
    AGROUND,
    ATTEMPT,
    AWAITED,
    COMPLETED,
    HALFWAY,
    HEARTBEAT,
    REMARK,
    REQUESTED,
    RESULT,
    SOUNDED,
    SOUNDING,
    STARTED,
    THREAD,
    failed,
    recorded,
    verdict,
)
from tests.statuses import CANCELLED, UNREADABLE, at, changed_by


@pytest.mark.parametrize(
    ("event", "past", "changes"),
    [
        pytest.param(STARTED, [REQUESTED], {"run_id": "run-1"}, id="the workflow starts"),
        pytest.param(
            AWAITED,
            [REQUESTED, STARTED],
            {
                "conditions": (
                    Condition(
                        kind=ConditionKind.WAITING_FOR_RUNNER,
                        reason="waiting for a runner on queue 'agent-runner'",
                        since=at(3),
                    ),
                )
            },
            id="the work is on the queue",
        ),
        pytest.param(
            THREAD,
            [REQUESTED, STARTED, AWAITED],
            {"thread_id": "thread-of-the-reefs", "conditions": ()},
            id="the thread is prepared, so a runner was there",
        ),
        pytest.param(
            ATTEMPT,
            [REQUESTED, AWAITED],
            {
                "phase": Phase.IN_PROGRESS,
                "attempt": 1,
                "runner": ATTEMPT.runner_id,
                "started_at": at(3),
                "conditions": (),
            },
            id="a runner takes it",
        ),
        pytest.param(
            ATTEMPT,
            [REQUESTED, ATTEMPT, SOUNDING],
            {"in_flight_calls": ()},
            id="a second attempt keeps the time of the first and has no tool in flight",
        ),
        pytest.param(
            REMARK,
            [REQUESTED, ATTEMPT],
            {
                "messages": 1,
                "events_processed": 1,
                "last_messages": (MessagePreview(role="assistant", text=REMARK.text),),
            },
            id="a message",
        ),
        pytest.param(
            SOUNDING,
            [REQUESTED, ATTEMPT],
            {
                "tool_calls": 1,
                "events_processed": 1,
                "in_flight_calls": (ToolInFlight(tool="sound_depth", call_id="call-1", since=at(3)),),
            },
            id="a tool is used",
        ),
        pytest.param(
            SOUNDED,
            [REQUESTED, ATTEMPT, SOUNDING],
            {"events_processed": 2, "in_flight_calls": ()},
            id="the tool answers",
        ),
        pytest.param(
            HALFWAY,
            [REQUESTED, ATTEMPT],
            {"events_processed": 1, "progress": Progress(done=1, total=2, note="the northern half")},
            id="progress",
        ),
        pytest.param(
            ConditionObserved(kind=ConditionKind.PAUSED, reason="an operator paused the workflow"),
            [REQUESTED],
            {
                "conditions": (
                    Condition(
                        kind=ConditionKind.PAUSED,
                        reason="an operator paused the workflow",
                        since=at(2),
                        observer="runner",
                    ),
                )
            },
            id="a condition is observed",
        ),
        pytest.param(
            ConditionCleared(kind=ConditionKind.PAUSED),
            [REQUESTED, ConditionObserved(kind=ConditionKind.PAUSED, reason="lunch")],
            {"conditions": ()},
            id="a condition is cleared",
        ),
        pytest.param(
            ConditionCleared(kind=ConditionKind.STALLED),
            [REQUESTED],
            {},
            id="a condition that was not there is cleared",
        ),
        pytest.param(
            CancellationRequested(reason="fog"),
            [REQUESTED],
            {"cancellation_requested": True, "cancellation_reason": "fog"},
            id="somebody asks to stop",
        ),
        pytest.param(
            ExecutionRetried(retried_as="survey-again"),
            [REQUESTED],
            {"retried_as": "survey-again"},
            id="a retry is a link in what it repeats, and changes nothing else",
        ),
        pytest.param(
            AttemptRefused(runner_id="vega:4712", reason="the agent was begun as attempt 1 and is not run twice"),
            [REQUESTED, ATTEMPT],
            {},
            id="a second attempt is refused: the first goes on",
        ),
        pytest.param(HEARTBEAT, [REQUESTED, ATTEMPT], {}, id="a heartbeat"),
        pytest.param(RESULT, [REQUESTED, ATTEMPT], {"attempt_ended_at": at(3)}, id="the attempt finished: not the end"),
        pytest.param(AGROUND, [REQUESTED, ATTEMPT], {"attempt_ended_at": at(3)}, id="the attempt failed: not the end"),
        pytest.param(
            COMPLETED,
            [REQUESTED, ATTEMPT, SOUNDING],
            {
                "phase": Phase.COMPLETED,
                "finished_at": at(4),
                "before_end_at": at(3),
                "output": {"shallowest": 7},
                "in_flight_calls": (),
            },
            id="the end: completed",
        ),
        pytest.param(
            ExecutionCompleted(output="7", recovered="the runner stored the result before HEARTBEAT timeout"),
            [REQUESTED],
            {
                "phase": Phase.COMPLETED,
                "finished_at": at(2),
                "before_end_at": at(1),
                "output": "7",
                "recovered": "the runner stored the result before HEARTBEAT timeout",
            },
            id="the end: completed although Temporal lost the answer",
        ),
        pytest.param(
            failed(),
            [REQUESTED, ATTEMPT, SOUNDING],
            {"phase": Phase.FAILED, "finished_at": at(4), "before_end_at": at(3), "failure": verdict()},
            id="the end: failed, and the tool in flight still says where",
        ),
        pytest.param(
            failed(),
            [REQUESTED, AWAITED],
            {
                "phase": Phase.FAILED,
                "finished_at": at(3),
                "before_end_at": at(2),
                "failure": verdict(),
                "conditions": (),
            },
            id="the end: failed before it began, and it waits no longer",
        ),
        pytest.param(
            CANCELLED,
            [REQUESTED],
            {
                "phase": Phase.CANCELLED,
                "finished_at": at(2),
                "before_end_at": at(1),
                "cancellation_reason": CANCELLED.reason,
            },
            id="the end: cancelled while pending",
        ),
        pytest.param(
            CANCELLED,
            [REQUESTED, ATTEMPT],
            {
                "phase": Phase.CANCELLED,
                "finished_at": at(3),
                "before_end_at": at(2),
                "cancellation_reason": CANCELLED.reason,
            },
            id="the end: cancelled while in progress",
        ),
        pytest.param(
            UNREADABLE,
            [REQUESTED],
            {
                "unreadable_events": 1,
                "conditions": (
                    Condition(
                        kind=ConditionKind.DEGRADED,
                        reason="event 2 (TideTurned) cannot be read: this version does not know the event",
                        since=at(2),
                    ),
                ),
            },
            id="an event that cannot be read is counted and shown",
        ),
        *(
            pytest.param(event, [REQUESTED], {}, id=f"a runner's own {type(event).__name__} has no business here")
            for event in (
                RunnerStarting(task_queue="agent-runner"),
                RunnerReady(task_queue="agent-runner"),
                RunnerStartupFailed(task_queue="agent-runner", stage="import", report=ErrorReport(type="ImportError")),
                RunnerStopped(),
                RunnerExited(exit_code=1),
            )
        ),
    ],
)
def test_one_more_event_changes_this_and_nothing_else(
    event: AnyEvent, past: Sequence[AnyEvent], changes: dict[str, Any]
) -> None:
    assert changed_by(event, *past) == changes


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("5994471abb01112afcc18159f6cc74b4", "5994471abb01112afcc18159f6cc74b4"),
        (None, None),
        ("5994471ABB01112AFCC18159F6CC74B4", None),
        ("<script>", None),
        ("5" * 33, None),
    ],
)
def test_a_status_has_the_trace_of_its_request_when_it_is_one(told: str | None, known: str | None) -> None:
    requested = ExecutionRequested(agent="ship.surveyor:agent", task_queue="agent-runner", trace_id=told)
    status = fold(None, [recorded(requested, version=1), recorded(failed(), version=2)])
    assert status is not None
    assert (status.phase, status.trace_id) == (Phase.FAILED, known)
    assert status_view(status).trace_id == known

"""The aggregate: given a history, when one more event comes, then this is the status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from projector.errors import ExecutionEnded, ExecutionNotFound
from projector.events import (
    AnyEvent,
    AttemptRefused,
    CancellationRequested,
    ConditionCleared,
    ConditionKind,
    ConditionObserved,
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionRequested,
    ExecutionRetried,
    MessageAppended,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    RunnerStopped,
    ToolCallFinished,
    ToolCallStarted,
    Unreadable,
)
from projector.execution_status import (
    LAST_MESSAGES,
    MESSAGE_PREVIEW,
    STACK_PREVIEW,
    TOOLS_IN_FLIGHT,
    Condition,
    ExecutionStatus,
    MessagePreview,
    Phase,
    Progress,
    ToolInFlight,
    decide_cancellation,
    evolve,
    fold,
)
from projector.failures import ErrorReport
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
    SHIPWRECK,
    SOUNDED,
    SOUNDING,
    STARTED,
    SURVEY,
    THREAD,
    VOYAGE,
    failed,
    history,
    recorded,
    verdict,
)

CANCELLED = ExecutionCancelled(reason="the weather turned")
UNREADABLE = Unreadable(name="TideTurned", stored_version=2, reason="this version does not know the event")
IDENTITY = {"version", "position", "last_event", "last_event_at"}


def given_history(*past: AnyEvent) -> ExecutionStatus:
    status = fold(None, history(*past))
    assert status is not None
    return status


def changed_by(event: AnyEvent, *past: AnyEvent) -> dict[str, Any]:
    """What one more event changes, its own place in the history left out."""
    before = given_history(*past)
    after = evolve(before, recorded(event, before.version + 1, attempt=1))
    return {
        name: getattr(after, name)
        for name in ExecutionStatus.model_fields
        if getattr(after, name) != getattr(before, name) and name not in IDENTITY
    }


def at(version: int) -> Any:
    """The time of an event of a history."""
    return recorded(REQUESTED, version).time


# --- one event after another ---------------------------------------------------------------------------------------


def test_no_events_are_no_status() -> None:
    assert fold(None, []) is None


def test_a_request_makes_a_pending_execution() -> None:
    status = given_history(REQUESTED)
    assert status == ExecutionStatus(
        execution_id=SURVEY,
        phase=Phase.PENDING,
        agent=REQUESTED.agent,
        input=REQUESTED.input,
        task_queue=REQUESTED.task_queue,
        session_id=REQUESTED.session_id,
        requested_at=at(1),
        last_event="ExecutionRequested",
        last_event_at=at(1),
        first_position=1,
        version=1,
        position=1,
    )
    assert status.id == f"execution/{SURVEY}"


def test_a_retry_names_the_execution_that_it_repeats() -> None:
    again = REQUESTED.model_copy(update={"retry_of": "survey-in-the-storm"})
    assert given_history(again).retry_of == "survey-in-the-storm"


def test_an_automatic_retry_says_which_in_a_row_it_is() -> None:
    again = REQUESTED.model_copy(update={"retry_of": "survey-in-the-storm", "auto_retry": 2})
    assert given_history(again).auto_retry == 2
    assert given_history(REQUESTED).auto_retry == 0, "this one was asked for by hand"


def test_the_request_keeps_its_time_when_it_is_told_twice() -> None:
    status = given_history(REQUESTED, REQUESTED)
    assert (status.requested_at, status.version) == (at(1), 2)


def test_a_request_is_the_only_event_that_names_the_agent() -> None:
    others = [event for event in (*VOYAGE, *SHIPWRECK) if not isinstance(event, ExecutionRequested)]
    assert given_history(*others).agent == ""


def test_a_long_input_is_kept_as_its_beginning() -> None:
    long = REQUESTED.model_copy(update={"input": "sound every reef " * 1000})
    assert given_history(long).input == ("sound every reef " * 1000)[:MESSAGE_PREVIEW]


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
                "output": "7",
                "recovered": "the runner stored the result before HEARTBEAT timeout",
            },
            id="the end: completed although Temporal lost the answer",
        ),
        pytest.param(
            failed(),
            [REQUESTED, ATTEMPT, SOUNDING],
            {"phase": Phase.FAILED, "finished_at": at(4), "failure": verdict()},
            id="the end: failed, and the tool in flight still says where",
        ),
        pytest.param(
            failed(),
            [REQUESTED, AWAITED],
            {"phase": Phase.FAILED, "finished_at": at(3), "failure": verdict(), "conditions": ()},
            id="the end: failed before it began, and it waits no longer",
        ),
        pytest.param(
            CANCELLED,
            [REQUESTED],
            {"phase": Phase.CANCELLED, "finished_at": at(2), "cancellation_reason": CANCELLED.reason},
            id="the end: cancelled while pending",
        ),
        pytest.param(
            CANCELLED,
            [REQUESTED, ATTEMPT],
            {"phase": Phase.CANCELLED, "finished_at": at(3), "cancellation_reason": CANCELLED.reason},
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


def test_every_event_says_that_it_was_the_last() -> None:
    status = given_history(*VOYAGE[:10])
    assert (status.last_event, status.last_event_at, status.version) == ("HeartbeatRecorded", at(10), 10)


def test_an_unreadable_event_is_named_as_it_is_stored() -> None:
    assert given_history(REQUESTED, UNREADABLE).last_event == "TideTurned"


def test_a_voyage_that_went_well() -> None:
    status = given_history(*VOYAGE)
    assert status.phase is Phase.COMPLETED
    assert status.phase.is_terminal
    assert (status.events_processed, status.messages, status.tool_calls) == (4, 1, 1)
    assert (status.requested_at, status.started_at, status.finished_at) == (at(1), at(5), at(12))
    assert (status.in_flight, status.condition, status.failure) == (None, None, None)


def test_a_failure_erases_nothing_of_the_conversation() -> None:
    before, after = given_history(*SHIPWRECK[:-1]), given_history(*SHIPWRECK)
    assert after.last_messages == before.last_messages != ()
    assert after.in_flight is not None and after.in_flight.tool == "sound_depth"
    assert after.failure == verdict()


# --- conditions, calls and messages --------------------------------------------------------------------------------


def test_a_condition_that_is_seen_again_keeps_its_age_and_takes_the_newer_reason() -> None:
    status = given_history(
        REQUESTED,
        ConditionObserved(kind=ConditionKind.STALLED, reason="one failed workflow task"),
        ConditionObserved(kind=ConditionKind.STALLED, reason="five failed workflow tasks"),
    )
    assert status.conditions == (
        Condition(kind=ConditionKind.STALLED, reason="five failed workflow tasks", since=at(2), observer="runner"),
    )


def test_a_condition_says_who_saw_it_and_where_the_code_stands_still() -> None:
    blocked = ConditionObserved(kind=ConditionKind.STALLED, reason="the loop is blocked", stack="top\n" * 2000 + "here")
    seen = replace(recorded(blocked, 2), writer="supervisor:polaris:4711")
    held = evolve(given_history(REQUESTED), seen).condition
    assert held is not None
    assert (held.observer, len(held.stack)) == ("supervisor", STACK_PREVIEW)
    assert held.stack.endswith("top\nhere"), "the newest frames are kept"


def test_the_end_drops_a_degradation_that_somebody_only_saw() -> None:
    seen = ConditionObserved(kind=ConditionKind.DEGRADED, reason="the link to Temporal is slow")
    assert given_history(REQUESTED, seen, COMPLETED).conditions == ()


def test_the_latest_of_several_conditions_is_shown_first() -> None:
    status = given_history(REQUESTED, AWAITED, ConditionObserved(kind=ConditionKind.PAUSED, reason="by an operator"))
    assert [held.kind for held in status.conditions] == [ConditionKind.WAITING_FOR_RUNNER, ConditionKind.PAUSED]
    assert status.condition is status.conditions[-1]


def test_a_history_with_an_unreadable_part_stays_degraded_at_its_end() -> None:
    status = given_history(REQUESTED, AWAITED, UNREADABLE, COMPLETED)
    assert [held.kind for held in status.conditions] == [ConditionKind.DEGRADED]


def test_the_latest_of_several_calls_is_shown_first_and_each_answer_ends_its_own() -> None:
    first, second = (ToolCallStarted(call_id=call, tool=f"tool of {call}") for call in ("port", "starboard"))
    status = given_history(REQUESTED, ATTEMPT, first, second)
    assert status.in_flight is not None and status.in_flight.call_id == "starboard"
    status = given_history(REQUESTED, ATTEMPT, first, second, ToolCallFinished(call_id="starboard"))
    assert status.in_flight is not None and status.in_flight.call_id == "port"


def test_of_two_calls_with_one_id_the_older_is_answered_first() -> None:
    status = given_history(
        REQUESTED,
        ATTEMPT,
        ToolCallStarted(call_id="again", tool="sound_depth"),
        ToolCallStarted(call_id="again", tool="drop_anchor"),
        ToolCallFinished(call_id="again"),
    )
    assert [call.tool for call in status.in_flight_calls] == ["drop_anchor"]


def test_an_answer_without_a_question_ends_no_other_call() -> None:
    assert changed_by(ToolCallFinished(call_id="from nowhere"), REQUESTED, ATTEMPT, SOUNDING) == {"events_processed": 2}


def test_only_the_last_messages_are_kept_and_only_their_beginnings() -> None:
    remarks = [MessageAppended(role="assistant", text=f"cast {number} " + "of the lead " * 100) for number in range(20)]
    status = given_history(REQUESTED, ATTEMPT, *remarks)
    assert status.messages == 20
    assert [kept.text[:7] for kept in status.last_messages] == ["cast 15", "cast 16", "cast 17", "cast 18", "cast 19"]
    assert {len(kept.text) for kept in status.last_messages} == {MESSAGE_PREVIEW}
    assert len(status.last_messages) == LAST_MESSAGES


def test_of_too_many_unanswered_calls_the_oldest_are_forgotten() -> None:
    calls = [ToolCallStarted(call_id=str(number), tool="sound_depth") for number in range(TOOLS_IN_FLIGHT + 3)]
    status = given_history(REQUESTED, ATTEMPT, *calls)
    assert [call.call_id for call in status.in_flight_calls] == [str(n) for n in range(3, TOOLS_IN_FLIGHT + 3)]
    assert status.tool_calls == TOOLS_IN_FLIGHT + 3


# --- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [COMPLETED, failed(), CANCELLED], ids=lambda end: type(end).__name__)
@pytest.mark.parametrize("late", [REQUESTED, ATTEMPT, REMARK, COMPLETED, failed(), CANCELLED, UNREADABLE], ids=type)
def test_what_comes_after_the_end_is_counted_and_changes_nothing(end: Event, late: AnyEvent) -> None:
    assert changed_by(late, REQUESTED, ATTEMPT, end) == {"late_events": 1}  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [COMPLETED, failed(), CANCELLED], ids=lambda end: type(end).__name__)
def test_a_retry_after_the_end_is_a_link_and_no_late_event(end: Event) -> None:
    again = ExecutionRetried(retried_as="survey-again")
    assert changed_by(again, REQUESTED, ATTEMPT, end) == {"retried_as": "survey-again"}  # type: ignore[arg-type]


def test_of_several_retries_the_latest_is_shown() -> None:
    status = given_history(REQUESTED, failed(), *(ExecutionRetried(retried_as=f"survey-{n}") for n in (2, 3)))
    assert status.retried_as == "survey-3"


# --- decisions -----------------------------------------------------------------------------------------------------


def test_a_running_execution_can_be_asked_to_stop() -> None:
    status = given_history(REQUESTED, ATTEMPT)
    assert decide_cancellation(status, SURVEY, "fog") == CancellationRequested(reason="fog")


def test_an_execution_that_nobody_requested_cannot_be_stopped() -> None:
    with pytest.raises(ExecutionNotFound, match=r"no execution 'survey-of-the-north-reef'.*`execution-status list`"):
        decide_cancellation(None, SURVEY, "fog")


@pytest.mark.parametrize("end", [COMPLETED, failed(), CANCELLED], ids=lambda end: type(end).__name__)
def test_an_execution_that_has_ended_cannot_be_stopped(end: Any) -> None:
    status = given_history(REQUESTED, end)
    with pytest.raises(ExecutionEnded, match=f"has already ended: it is {status.phase}"):
        decide_cancellation(status, SURVEY, "fog")

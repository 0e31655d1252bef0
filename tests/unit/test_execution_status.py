"""The aggregate: given a history, then this is the status, and this can be asked of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from projector.errors import ExecutionEnded, ExecutionNotFound
from projector.events import (
    AnyEvent,
    CancellationRequested,
    ConditionKind,
    ConditionObserved,
    Event,
    ExecutionRequested,
    ExecutionRetried,
    MessageAppended,
    ToolCallFinished,
    ToolCallStarted,
)
from projector.execution_status import (
    LAST_MESSAGES,
    MESSAGE_PREVIEW,
    STACK_PREVIEW,
    TOOLS_IN_FLIGHT,
    Condition,
    ExecutionStatus,
    Phase,
    decide_cancellation,
    evolve,
    fold,
)
from tests.histories import (
    ATTEMPT,
    AWAITED,
    COMPLETED,
    REMARK,
    REQUESTED,
    SHIPWRECK,
    SOUNDING,
    SURVEY,
    VOYAGE,
    failed,
    recorded,
    verdict,
)
from tests.statuses import CANCELLED, UNREADABLE, at, changed_by, given_history


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

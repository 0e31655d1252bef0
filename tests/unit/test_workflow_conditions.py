"""Why a workflow does not move: what Temporal says of its tasks and pauses → conditions that come, stay and go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from projector.events import ConditionCleared, ConditionKind, ConditionObserved
from projector.execution_status import Condition, ExecutionStatus
from projector.failures import Cause
from tests.classifier_table import application
from workflows.reconciliation.workflow_conditions import (
    ACTIVITY_PAUSED,
    OBSERVER,
    PAUSED,
    STUCK,
    UNTAKEN,
    changes,
    due_conditions,
    fails_now,
    must_ask_why,
    stuck_cause,
    stuck_since,
)
from workflows.reconciliation.workflow_facts import PauseFact, TaskFact, TaskFailure, WorkflowFacts

NOON: Final = datetime(2030, 5, 17, 12, 0, tzinfo=UTC)
BUG: Final = TaskFailure(
    why="WORKFLOW_WORKER_UNHANDLED_FAILURE", chain=(application("KeyError", "'no such chart'"),), stack="line 7"
)
SILENCE: Final = TaskFailure(why="TIMED_OUT")
MOVING: Final = ExecutionStatus(execution_id="dory-1")


def seconds_ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def task(attempt: int = 1, *, waits: float | None = None, taken: float | None = None) -> WorkflowFacts:
    """A workflow whose task waits, or is taken, for so many seconds."""
    age = waits if waits is not None else taken
    assert age is not None
    fact = TaskFact(attempt=attempt, is_waiting=waits is not None, since=seconds_ago(age))
    return WorkflowFacts(run_id="run-7", state="running", task_queue="bridge", task=fact)


def recording(
    attempt: int, *, waits: float, error: str = "TypeError", tried: float | None = None, is_waiting: bool = True
) -> WorkflowFacts:
    fact = TaskFact(
        attempt=attempt,
        is_waiting=is_waiting,
        since=seconds_ago(waits),
        activity="record_outcome",
        failure=Cause(type=error, message="a torn page") if attempt > 1 else None,
        tried_at=seconds_ago(tried) if tried is not None else None,
    )
    return WorkflowFacts(run_id="run-7", state="running", task_queue="bridge", recordings=(fact,))


def showing(reason: str, kind: ConditionKind = ConditionKind.STALLED, observer: str = OBSERVER) -> ExecutionStatus:
    condition = Condition(kind=kind, reason=reason, since=seconds_ago(60), observer=observer)
    return MOVING.model_copy(update={"conditions": (condition,)})


def due(
    facts: WorkflowFacts, failure: TaskFailure | None = None, status: ExecutionStatus = MOVING
) -> tuple[ConditionObserved, ...]:
    return due_conditions(facts, failure, status, NOON)


IDLE: Final = WorkflowFacts(run_id="run-7", state="running", task_queue="bridge")


@pytest.mark.parametrize(
    "facts",
    [
        IDLE,
        task(waits=4.9),
        task(taken=60),
        task(2, taken=9),
        recording(1, waits=4.9),
        recording(2, waits=-3),
        recording(9, waits=1, error="StoreUnavailable"),
    ],
)
def test_a_workflow_that_moves_shows_nothing(facts: WorkflowFacts) -> None:
    assert due(facts) == ()


@pytest.mark.parametrize("facts", [task(waits=5), task(2, waits=6), recording(1, waits=5), recording(2, waits=7)])
def test_a_task_that_nobody_takes_shows_the_queue(facts: WorkflowFacts) -> None:
    (condition,) = due(facts)

    assert condition.kind is ConditionKind.STALLED
    assert condition.reason.startswith(f"{UNTAKEN} from queue 'bridge'")


@pytest.mark.parametrize(
    ("facts", "failure"),
    [(task(2, taken=1), BUG), (task(3, taken=1), BUG), (task(7, waits=60), BUG)],
)
def test_a_task_that_keeps_failing_shows_the_error_and_its_stack(facts: WorkflowFacts, failure: TaskFailure) -> None:
    (condition,) = due(facts, failure)

    assert condition.reason == f"{STUCK}: KeyError: 'no such chart' (WORKFLOW_WORKER_UNHANDLED_FAILURE)"
    assert condition.stack == "line 7"


def test_a_task_that_timed_out_once_is_not_stuck_and_thrice_is() -> None:
    assert due(task(2, taken=4), SILENCE) == ()
    (condition,) = due(task(3, taken=4), SILENCE)
    assert "the orchestrator took the task and did not answer" in condition.reason


def test_a_recording_that_keeps_failing_is_stuck_and_names_itself() -> None:
    (condition,) = due(recording(3, waits=-2))

    assert condition.reason == f"{STUCK}: TypeError: a torn page (in record_outcome)"


def test_a_signal_that_makes_temporal_count_anew_heals_nothing() -> None:
    stuck = showing(f"{STUCK}: KeyError")

    assert must_ask_why(task(1, taken=1), stuck)
    assert [condition.kind for condition in due(task(1, taken=1), BUG, stuck)] == [ConditionKind.STALLED]
    assert due(task(1, taken=1), None, stuck) == ()


def test_a_task_that_is_taken_for_the_first_time_needs_no_look_into_the_history() -> None:
    assert not must_ask_why(task(1, taken=1), MOVING)
    assert must_ask_why(task(2, taken=1), MOVING)
    assert not must_ask_why(IDLE, showing(STUCK))


def test_a_task_that_goes_from_one_queue_to_the_other_is_still_not_taken() -> None:
    shown = showing(f"{UNTAKEN} from queue 'bridge'")

    assert len(due(task(waits=0.1), None, shown)) == 1
    assert due(task(taken=0.1), None, shown) == ()


def test_a_paused_workflow_says_who_and_why_and_keeps_what_stalled_it() -> None:
    pause = PauseFact(identity="harbour-master", reason="fog", since=seconds_ago(30))
    paused = task(3, waits=60).model_copy(update={"state": "paused", "pauses": (pause,)})
    (alone,) = due(paused, BUG)
    _, kept = due(paused, BUG, showing(f"{STUCK}: KeyError"))

    assert alone.kind is ConditionKind.PAUSED
    assert alone.reason == f"{PAUSED}: at 11:59:30 UTC, by harbour-master, fog"
    assert kept.kind is ConditionKind.STALLED


def test_a_paused_activity_is_named() -> None:
    paused = IDLE.model_copy(update={"pauses": (PauseFact(activity="execute_agent"),)})
    (condition,) = due(paused)

    assert condition.reason == f"{ACTIVITY_PAUSED}: execute_agent"


# --- what to write -------------------------------------------------------------------------------------------------

FAILING: Final = ConditionObserved(kind=ConditionKind.STALLED, reason=f"{STUCK}: KeyError: 'no such chart'")
WAITING: Final = ConditionObserved(kind=ConditionKind.STALLED, reason=f"{UNTAKEN} from queue 'bridge'")
FOG: Final = ConditionObserved(kind=ConditionKind.PAUSED, reason=f"{PAUSED}: by harbour-master, fog")
HEALED: Final = ConditionCleared(kind=ConditionKind.STALLED)


def test_a_condition_is_written_once_whatever_its_details_say_later() -> None:
    assert changes(MOVING, [FAILING]) == (FAILING,)
    assert changes(showing(f"{STUCK}: TypeError: *** redacted ***"), [FAILING]) == ()


def test_a_condition_that_is_no_longer_due_is_cleared() -> None:
    assert changes(showing(STUCK), []) == (HEALED,)
    assert changes(MOVING, []) == ()


def test_another_reason_begins_anew() -> None:
    assert changes(showing(f"{UNTAKEN} from queue 'bridge'"), [FAILING]) == (HEALED, FAILING)


def test_what_others_observed_is_left_alone() -> None:
    theirs = showing("the agent's thread stands still", observer="runner")

    assert changes(theirs, [FAILING]) == ()
    assert changes(theirs, []) == ()


def test_a_pause_and_a_stall_are_apart() -> None:
    assert changes(showing(STUCK), [FOG, FAILING]) == (FOG,)
    assert changes(showing(f"{PAUSED}: fog", ConditionKind.PAUSED), [WAITING]) == (
        WAITING,
        ConditionCleared(kind=ConditionKind.PAUSED),
    )


# --- when to give up -----------------------------------------------------------------------------------------------


def test_only_a_stuck_workflow_counts_the_time() -> None:
    assert stuck_since(showing(f"{STUCK}: KeyError")) == seconds_ago(60)
    assert stuck_since(showing(f"{UNTAKEN} from queue 'bridge'")) is None
    assert stuck_since(showing(f"{STUCK}: KeyError", observer="runner")) is None


@pytest.mark.parametrize(
    ("facts", "fails"),
    [
        (task(5, taken=3), True),
        (task(5, taken=2.9), False),
        (task(5, waits=60), False),
        (recording(5, waits=1, tried=14), True),
        (recording(5, waits=60, tried=70), False),
        (IDLE, False),
    ],
)
def test_a_workflow_is_not_given_up_while_an_orchestrator_may_be_about_to_heal_it(
    facts: WorkflowFacts, fails: bool
) -> None:
    assert fails_now(facts, NOON) is fails


def test_a_stuck_task_without_a_written_reason_has_a_cause_all_the_same() -> None:
    cause = stuck_cause(task(4, taken=1), None, MOVING)

    assert cause is not None
    assert cause.message

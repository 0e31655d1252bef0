"""Recovery: what may be run again by itself, how often, when, and under which id."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.catalogue import Code
from projector.envelope import execution_stream
from projector.events import AnyEvent, CancellationRequested, ExecutionFailed, Unreadable
from projector.execution_status import ExecutionStatus, fold
from tests.histories import ATTEMPT, AWAITED, COMPLETED, REQUESTED, STARTED, SURVEY, failed, history, verdict
from workflows.recovery import ID_LENGTH, LONGEST_PAUSE, never_began, next_auto_retry, pause_before, retry_id

ids = st.from_regex(r"[A-Za-z0-9._:-]{1,200}", fullmatch=True)
BEFORE_IT_BEGAN = (
    Code.RUNNER_STARTUP_FAILED,
    Code.RUNNER_UNAVAILABLE,
    Code.RUNNER_SATURATED,
    Code.RUNNER_MISMATCH,
)
UNBEGUN = ExecutionFailed(failure=verdict(Code.RUNNER_LOST).model_copy(update={"retryable": True}))
"""How a runner that took the task and was lost before it began is told from one that was lost later."""


def status_of(*events: AnyEvent) -> ExecutionStatus:
    status = fold(None, history(*events))
    assert status is not None
    return status


def waiting_and(end: AnyEvent, *before: AnyEvent) -> ExecutionStatus:
    return status_of(REQUESTED, STARTED, AWAITED, *before, end)


# --- what may be repeated ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", Code)
def test_only_what_failed_before_the_agent_began_is_repeated(code: Code) -> None:
    assert never_began(waiting_and(failed(code))) is (code in BEFORE_IT_BEGAN)


def test_a_lost_runner_is_repeated_only_when_the_agent_is_known_not_to_have_begun() -> None:
    assert never_began(waiting_and(UNBEGUN))
    assert not never_began(waiting_and(failed(Code.RUNNER_LOST)))


@pytest.mark.parametrize("end", [*map(failed, BEFORE_IT_BEGAN), UNBEGUN], ids=lambda end: end.failure.code)
def test_an_attempt_that_began_outranks_whatever_the_verdict_says(end: ExecutionFailed) -> None:
    assert never_began(waiting_and(end))
    assert not never_began(waiting_and(end, ATTEMPT))


def test_what_cannot_be_read_may_have_been_the_beginning() -> None:
    torn = Unreadable(name="AttemptStarted", stored_version=9, reason="it has version 9, this version reads up to 1")
    assert not never_began(waiting_and(failed(Code.RUNNER_UNAVAILABLE), torn))


@pytest.mark.parametrize("end", [COMPLETED, AWAITED], ids=["completed", "still waiting"])
def test_what_has_not_failed_is_not_repeated(end: AnyEvent) -> None:
    assert not never_began(waiting_and(end))
    assert next_auto_retry(waiting_and(end), 5) is None


def test_what_somebody_wanted_to_stop_is_not_repeated() -> None:
    end = failed(Code.RUNNER_UNAVAILABLE)
    assert next_auto_retry(waiting_and(end), 5) == 1
    assert next_auto_retry(waiting_and(end, CancellationRequested(reason="fog")), 5) is None


# --- how often -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("so_far", "limit", "due"), [(0, 0, None), (0, 1, 1), (1, 1, None), (1, 2, 2), (99, 100, 100), (100, 100, None)]
)
def test_retries_in_a_row_are_counted_and_bounded(so_far: int, limit: int, due: int | None) -> None:
    again = REQUESTED.model_copy(update={"auto_retry": so_far, "retry_of": "survey-in-the-storm"})
    assert next_auto_retry(status_of(again, failed(Code.RUNNER_UNAVAILABLE)), limit) == due


def test_a_retry_by_hand_begins_a_new_row() -> None:
    by_hand = REQUESTED.model_copy(update={"retry_of": "survey-in-the-storm"})
    assert next_auto_retry(status_of(by_hand, failed(Code.RUNNER_UNAVAILABLE)), 1) == 1


# --- when ----------------------------------------------------------------------------------------------------------


def test_each_retry_waits_twice_as_long_as_the_one_before() -> None:
    assert [pause_before(number, 30.0).total_seconds() for number in (1, 2, 3, 4)] == [30, 60, 120, 240]


@given(st.integers(1, 10_000), st.floats(0.001, 1e12))
def test_no_retry_waits_longer_than_a_day(number: int, first: float) -> None:
    assert timedelta() < pause_before(number, first) <= timedelta(seconds=LONGEST_PAUSE)


# --- under which id ------------------------------------------------------------------------------------------------


def test_the_id_of_a_retry_tells_of_which_and_which_it_is() -> None:
    assert [retry_id(SURVEY, number) for number in (1, 2, 10)] == [f"{SURVEY}-r1", f"{SURVEY}-r2", f"{SURVEY}-r10"]


@given(ids, st.integers(1, 100))
def test_an_id_of_a_retry_is_an_id_and_always_the_same(first: str, number: int) -> None:
    made = retry_id(first, number)
    assert execution_stream(made) == f"execution/{made}"
    assert made == retry_id(first, number) != first
    assert made.endswith(f"-r{number}")


def test_an_id_that_just_fits_is_kept_whole() -> None:
    longest = "x" * (ID_LENGTH - len("-r1"))
    assert retry_id(longest, 1) == longest + "-r1"


@given(st.from_regex(r"[a-z0-9]{20}", fullmatch=True), st.from_regex(r"[a-z0-9]{20}", fullmatch=True))
def test_two_long_ids_that_differ_only_at_their_ends_are_still_told_apart(one: str, other: str) -> None:
    begin = "a-survey-of-every-reef-" * 7
    begin += "x" * (ID_LENGTH - len(begin) - 20)
    assert len(begin + one) == ID_LENGTH
    assert (retry_id(begin + one, 1) == retry_id(begin + other, 1)) is (one == other)

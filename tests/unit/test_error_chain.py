"""What Temporal says went wrong, as plain data: made of its real exceptions, however they are linked."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)

from tests.hostile import HOSTILE
from workflows.verdict.error_chain import MOST_LINKS, error_chain
from workflows.verdict.error_link import ErrorLink


def linked(*errors: BaseException) -> BaseException:
    """The first error, each caused by the one after it."""
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def activity_error(
    retry_state: RetryState | None = RetryState.MAXIMUM_ATTEMPTS_REACHED, started: int = 6
) -> ActivityError:
    return ActivityError(
        "Activity task failed",
        scheduled_event_id=5,
        started_event_id=started,
        identity="runner:polaris:4711",
        activity_type="execute_agent",
        activity_id="1",
        retry_state=retry_state,
    )


def timeout_error(type: TimeoutType | None) -> TimeoutError:
    return TimeoutError("activity Heartbeat timeout", type=type, last_heartbeat_details=[{"events_processed": 4}])


def test_what_an_agent_raised_is_told_from_the_outside_to_the_root() -> None:
    error = linked(
        activity_error(),
        ApplicationError("no chart", {"kind": "agent"}, "a second detail", type="ChartError"),
        ApplicationError("'reef'", type="KeyError"),
    )
    assert error_chain(error) == (
        ErrorLink(
            kind="activity",
            message="Activity task failed",
            retry_state="MAXIMUM_ATTEMPTS_REACHED",
            activity_type="execute_agent",
            identity="runner:polaris:4711",
        ),
        ErrorLink(kind="application", type="ChartError", message="no chart", detail={"kind": "agent"}),
        ErrorLink(kind="application", type="KeyError", message="'reef'"),
    )


@pytest.mark.parametrize("type", list(TimeoutType))
def test_a_timeout_says_which_one_it_was(type: TimeoutType) -> None:
    _, link = error_chain(linked(activity_error(RetryState.TIMEOUT), timeout_error(type)))
    assert link == ErrorLink(kind="timeout", timeout_type=type.name, message="activity Heartbeat timeout")


def test_a_timeout_of_no_type_is_still_a_timeout() -> None:
    assert error_chain(timeout_error(None)) == (ErrorLink(kind="timeout", message="activity Heartbeat timeout"),)


def test_a_task_that_nobody_took_says_so() -> None:
    link, *_ = error_chain(linked(activity_error(RetryState.TIMEOUT, started=0), timeout_error(None)))
    assert link.was_started is False


def test_an_activity_without_a_retry_state_has_an_empty_one() -> None:
    (link,) = error_chain(activity_error(None))
    assert link.retry_state == ""


@pytest.mark.parametrize(
    ("error", "link"),
    [
        (CancelledError("stopped"), ErrorLink(kind="cancelled", message="stopped")),
        (asyncio.CancelledError("stopped"), ErrorLink(kind="cancelled", message="stopped")),
        (ServerError("Failure exceeds size limit."), ErrorLink(kind="server", message="Failure exceeds size limit.")),
        (TerminatedError("closed", 1), ErrorLink(kind="terminated", message="closed")),
        (
            ApplicationError("Failed decoding arguments"),
            ErrorLink(kind="application", message="Failed decoding arguments"),
        ),
        (ValueError("test error"), ErrorLink(kind="other", type="ValueError", message="test error")),
        (
            ChildWorkflowError(
                "Child Workflow execution failed",
                namespace="default",
                workflow_id="w",
                run_id="r",
                workflow_type="InvokeAgentExecution",
                initiated_event_id=1,
                started_event_id=2,
                retry_state=None,
            ),
            ErrorLink(kind="activity", message="Child Workflow execution failed"),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_of_temporal_has_its_kind(error: BaseException, link: ErrorLink) -> None:
    assert error_chain(error) == (link,)


def test_a_long_message_is_cut() -> None:
    (link,) = error_chain(ApplicationError("x" * 1_000_000, type="ValueError"))
    assert len(link.message) == 8_000


@pytest.mark.parametrize("length", [1, MOST_LINKS, MOST_LINKS + 1, 10_000])
def test_a_long_chain_is_cut_and_keeps_its_root(length: int) -> None:
    causes = [ApplicationError(f"layer {depth}", type="ValueError") for depth in range(length)]
    chain = error_chain(linked(*causes))
    assert len(chain) == min(length, MOST_LINKS)
    assert chain[0].message == "layer 0"
    assert chain[-1].message == f"layer {length - 1}"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_is_gone_round_once(length: int) -> None:
    errors = [ApplicationError(f"layer {depth}") for depth in range(length)]
    chain = error_chain(linked(*errors, errors[0]))
    assert [link.message for link in chain] == [f"layer {depth}" for depth in range(length)]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_error_is_too_hostile(name: str) -> None:
    chain = error_chain(linked(activity_error(), HOSTILE[name]()))
    assert chain[0].kind == "activity"
    assert 2 <= len(chain) <= MOST_LINKS
    assert all(len(link.message) <= 8_000 for link in chain)
    for link in chain:
        assert ErrorLink.model_validate_json(link.model_dump_json()) == link


@given(st.lists(st.sampled_from([activity_error, CancelledError, asyncio.CancelledError, ValueError]), min_size=1))
def test_every_error_of_a_chain_becomes_one_link(kinds: list[type[BaseException]]) -> None:
    assert len(error_chain(linked(*(kind() for kind in kinds)))) == min(len(kinds), MOST_LINKS)

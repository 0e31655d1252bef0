"""The names under which events and streams are stored: they can be added to, and never changed."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.envelope import (
    ARCHIVE_LOG,
    END_EVENT_ID,
    LEASE_EVENT_ID,
    execution_id_of,
    execution_stream,
    runner_stream,
)
from projector.errors import InputRejected
from projector.events import (
    EVENT_TYPES,
    TERMINAL_TYPES,
    AnyEvent,
    ArchiveEvent,
    ConditionKind,
    Event,
    ExecutionEvent,
    ExecutionsArchived,
    RunnerEvent,
    Unreadable,
)
from tests.histories import recorded

NAMES = {
    *("ExecutionRequested", "CancellationRequested", "ExecutionRetried"),
    *("ExecutionStarted", "RunnerAwaited", "ThreadEnsured"),
    *("ExecutionCompleted", "ExecutionFailed", "ExecutionCancelled"),
    *("AttemptStarted", "MessageAppended", "ToolCallStarted", "ToolCallFinished", "ProgressReported"),
    *("HeartbeatRecorded", "AttemptFinished", "AttemptFailed", "AttemptRefused"),
    *("RunnerStarting", "RunnerReady", "RunnerStartupFailed", "RunnerStopped", "RunnerExited"),
    *("ConditionObserved", "ConditionCleared"),
    "ExecutionsArchived",
}


def test_the_names_of_the_events_are_those_that_were_promised() -> None:
    assert EVENT_TYPES.keys() == NAMES


def test_every_class_of_event_is_in_the_union_or_stands_for_what_is_not() -> None:
    assert set(Event.__subclasses__()) >= set(EVENT_TYPES.values())
    assert {kind for kind in Event.__subclasses__() if kind.__module__ == Event.__module__} == set(get_args(AnyEvent))
    assert set(get_args(AnyEvent)) - set(EVENT_TYPES.values()) == {Unreadable}


def test_an_event_is_an_execution_s_a_runner_s_or_the_archive_s_and_never_two_of_them() -> None:
    of_executions, of_runners = set(get_args(ExecutionEvent)), set(get_args(RunnerEvent))
    assert ArchiveEvent is ExecutionsArchived
    assert of_executions | of_runners | {ArchiveEvent} == set(EVENT_TYPES.values())
    assert ArchiveEvent not in of_executions | of_runners
    assert not of_executions & of_runners
    assert set(TERMINAL_TYPES) < of_executions


def test_the_conditions_are_those_that_were_promised() -> None:
    assert set(ConditionKind) == {"waiting_for_runner", "stalled", "paused", "degraded"}


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_an_event_cannot_be_changed_and_says_what_it_is(kind: type[Event]) -> None:
    assert kind.model_config.get("frozen") is True
    assert kind.__doc__ and inspect.cleandoc(kind.__doc__).endswith(".")


def test_the_names_of_streams_are_those_that_were_promised() -> None:
    assert execution_stream("a.b_c:d-9") == "execution/a.b_c:d-9"
    assert runner_stream("polaris:4711") == "runner/polaris:4711"
    assert (LEASE_EVENT_ID, END_EVENT_ID) == ("lease", "end")
    assert ARCHIVE_LOG == "archive/log" and execution_id_of(ARCHIVE_LOG) is None


@given(st.from_regex(r"[A-Za-z0-9._:-]{1,200}", fullmatch=True))
def test_an_execution_is_found_again_by_its_stream(execution_id: str) -> None:
    stream = execution_stream(execution_id)
    assert execution_id_of(stream) == execution_id
    assert stream != runner_stream(execution_id)
    assert execution_id_of(runner_stream(execution_id)) is None
    assert recorded(Unreadable(name="x", reason="y"), stream=stream).originator_id == stream


@given(st.text())
def test_an_id_is_taken_or_refused_in_one_line(execution_id: str) -> None:
    try:
        assert execution_id_of(execution_stream(execution_id)) == execution_id
    except InputRejected as refusal:
        assert str(refusal).isprintable() and len(str(refusal)) < 800

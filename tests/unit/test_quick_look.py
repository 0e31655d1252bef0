"""The quick look at the door: whatever it lets through as it is, the thorough way would not have changed."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projector.door.admission import Admission
from projector.door.hygiene import EVENT_LIMIT
from projector.door.quick_look import is_fine, is_plain
from projector.door.triggers import Triggers
from projector.events import (
    AttemptFailed,
    Event,
    MessageAppended,
    ProgressReported,
    ToolCallFinished,
    ToolCallStarted,
    Unreadable,
)
from projector.failures import ErrorReport
from tests.dirt import SECRET, Raises, cycle, dirty_text, hygiene, json_like
from tests.strategies import any_event

REDACTOR = hygiene.redactor

nearly_fine = (
    any_event.filter(lambda event: not isinstance(event, Unreadable))
    | st.builds(MessageAppended, role=st.text(max_size=9), text=dirty_text)
    | st.builds(ToolCallFinished, call_id=st.text(max_size=9), output=json_like)
    | st.builds(ProgressReported, done=st.none() | st.floats(), total=st.floats(), note=st.text())
)


@given(nearly_fine)
@example(ToolCallFinished(call_id="1", output=["Authorization", "anything"]))
@example(ToolCallFinished(call_id="1", output={"name": "X-Api-Key", "value": "anything"}))
@example(ToolCallFinished(call_id="1", output={"api_key": 12345678}))
@example(ToolCallFinished(call_id="1", output={"password": ["seven", "fathoms"]}))
@example(ToolCallFinished(call_id="1", output=(1, 2)))
@example(ToolCallFinished(call_id="1", output="word " * 2_000))
@example(ToolCallFinished(call_id="1", output=["\u2003" * 3] * 400))
@example(MessageAppended(role="assistant", text='"' * 40_000))
@example(MessageAppended(role="assistant", text="\u2192" * 15_000))
def test_what_is_fine_is_not_changed_by_the_thorough_way(event: Event) -> None:
    if is_fine(event, REDACTOR):
        assert Admission(hygiene, EVENT_LIMIT).event(event) is event
        assert len(event.model_dump_json().encode()) <= EVENT_LIMIT


@pytest.mark.parametrize(
    "event",
    [
        MessageAppended(
            role="assistant", text="Seven fathoms;\n\tthe wind is \u2014 na\u00efvely \u2014 from the west?"
        ),
        MessageAppended(role="assistant", text="word " * 2_000),
        ToolCallStarted(call_id="1", tool="sound", arguments={"at": [54.3, -2], "lines": {"of": ["lead", None, True]}}),
        ProgressReported(done=1, total=2, note="the northern half: done"),
    ],
)
def test_what_agents_say_all_day_is_fine(event: Event) -> None:
    assert is_fine(event, REDACTOR)


def test_what_is_not_plain_is_left_to_others() -> None:
    for event in (
        MessageAppended(role="assistant", text=f"push it with {SECRET}"),
        MessageAppended(role="assistant", text="\x1b[31mred"),
        MessageAppended(role="\ud800", text=""),
        AttemptFailed(report=ErrorReport(type="ValueError")),
        AttemptFailed.model_construct(**{"report": Raises()}),  # type: ignore[arg-type]
        MessageAppended.model_construct(**{"role": "assistant", "text": Raises()}),  # type: ignore[arg-type]
        MessageAppended.model_construct(**{"role": "", "text": "", "truncated": Raises()}),  # type: ignore[arg-type]
        ToolCallFinished(call_id="1", output={"at": float("nan")}),
    ):
        assert is_fine(event, REDACTOR) is False


def test_no_object_is_too_odd_to_be_looked_at() -> None:
    odd: list[Any] = [cycle(), Raises(), [Raises()], {1: 2}, {"a" * 65: 1}, deque([1]), [[[]]] * 10_000, 2**63, b"mud"]
    for value in odd:
        assert is_plain(value, 2_000, REDACTOR) is False
        assert is_plain({"a": (1, value)}, 2_000, REDACTOR) is False


def test_data_that_holds_itself_many_times_over_is_seen_through_soon() -> None:
    echo: list[Any] = ["hail"]
    for _ in range(19):
        echo = [echo] * 10
    assert not is_plain(echo, 2_000, REDACTOR)


# --- copies --------------------------------------------------------------------------------------------------------


@given(json_like)
@example({"password": float("nan")})
@example({"password": float("-inf")})
def test_a_snapshot_is_what_the_event_would_have_held_and_shares_nothing(value: Any) -> None:
    taken = hygiene.snapshot(value)
    admitted = hygiene.admit(ToolCallFinished(call_id="1", output=taken)).output
    assert hygiene.admit(ToolCallFinished(call_id="1", output=value)).output == admitted
    assert not _containers(value) & _containers(taken)


def _containers(value: Any) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*map(_containers, value.values()))
    if isinstance(value, (list, tuple)):
        return ({id(value)} if value else set()).union(*map(_containers, value))
    return set()


# --- many words at once --------------------------------------------------------------------------------------------

alphabet = st.text(st.sampled_from("ab-.*\\\n\u00e9\U0001f525\ud800\udc00<"), max_size=6)


@given(st.lists(alphabet.filter(bool), max_size=4), alphabet)
def test_triggers_are_found_as_they_are_written(words: list[str], text: str) -> None:
    whole = [word for word in words if not any("\ud800" <= each <= "\udfff" for each in word)]
    assert Triggers(whole).are_in(text) == any(word in text for word in whole)


def test_no_word_is_in_no_text() -> None:
    assert not Triggers(()).are_in("") and not Triggers(()).are_in("anything")

"""Whatever an agent raises, the report names its root cause, is fit to be stored, and is made quickly."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projector.door.hygiene import Cleaned, Hygiene
from projector.door.redaction import Redactor
from projector.events import AttemptFailed
from projector.failures import ErrorReport
from runner.agent import ProviderUnavailable
from runner.errors.failure_report import report_failure
from tests.hostile import HOSTILE

PASSWORD = "correct-horse-battery-staple"
HYGIENE = Hygiene(Redactor(known_values=(PASSWORD,)))


def report(error: BaseException) -> ErrorReport:
    return report_failure(error, HYGIENE)


def raised(error: BaseException) -> BaseException:
    """The error as it leaves an agent that raises it."""

    async def agent() -> AsyncIterator[str]:
        yield "casting off"
        raise error

    steps = agent()
    try:
        for _ in range(2):
            try:
                steps.__anext__().__await__().send(None)
            except StopIteration as step:
                assert step.value == "casting off"
    except BaseException as left:
        return left
    raise AssertionError("the agent raised nothing")


def assert_fit_to_store(told: ErrorReport) -> None:
    stored = told.model_dump_json()
    assert len(stored) <= 65_536
    assert ErrorReport.model_validate_json(stored) == told
    assert HYGIENE.admit(AttemptFailed(report=told)) == AttemptFailed(report=told)
    assert len(told.causes) <= 10 and len(told.sub_errors) <= 10
    for text in (told.type, told.message, told.stack, *told.notes, *(str(c) for c in told.causes + told.sub_errors)):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\ud800-\udfff]", text)
    for text in (told.message, told.root.message):
        assert any(letter.isprintable() and not letter.isspace() for letter in text)


# --- hostile errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_error_still_tells_its_root_cause(name: str) -> None:
    told = report(HOSTILE[name]())

    assert told.root.type.startswith(HOSTILE[name].root)
    assert HOSTILE[name].says in told.root.message
    assert_fit_to_store(told)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_error_tells_the_same_when_an_agent_raises_it(name: str) -> None:
    told = report(raised(HOSTILE[name]()))

    assert told.root.type.startswith(HOSTILE[name].root)
    assert HOSTILE[name].says in told.root.message
    assert "test_failure_report.py" in told.stack
    assert_fit_to_store(told)


def test_the_worst_errors_are_reported_at_once() -> None:
    """The promise is 50 ms; four times that leaves room for a busy machine and still catches anything that grows."""
    worst = ("a message of 100 MB", "a key of 100 MB", "10,000 contexts", "10,000 nested groups", "a recursion")
    for name in worst:
        error = raised(HOSTILE[name]())
        took = []
        for _ in range(3):
            began = time.perf_counter()
            report(error)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.2, name


_TEXTS = st.text(st.characters(exclude_categories=()), max_size=80) | st.sampled_from(
    ["\0" * 5_000, '"\\' * 40_000, "\x1b[31m", "\ud800", "", "\u2028" * 3_000, "\N{ANCHOR}" * 20_000]
)
_KINDS = st.sampled_from(
    [ValueError, KeyError, OSError, SystemExit, StopIteration, asyncio.CancelledError, TimeoutError]
)
_NOTES: st.SearchStrategy[object] = st.one_of(
    st.none(), st.integers(), _TEXTS, st.lists(st.one_of(_TEXTS, st.none()), max_size=8)
)


@st.composite
def _errors(draw: st.DrawFn) -> BaseException:
    """A random heap of errors, linked at random: chains, cycles, groups within groups, notes of any shape."""
    heap: list[BaseException] = []
    for _ in range(draw(st.integers(1, 15))):
        is_group = draw(st.booleans())
        if heap and is_group:
            members = draw(st.lists(st.sampled_from(heap), min_size=1, max_size=12))
            heap.append(BaseExceptionGroup(draw(_TEXTS), members))
        else:
            heap.append(draw(_KINDS)(*draw(st.lists(_TEXTS | st.integers() | st.binary(max_size=9), max_size=3))))
    for error in heap:
        error.__cause__ = draw(st.none() | st.sampled_from(heap))
        error.__context__ = draw(st.none() | st.sampled_from(heap))
        error.__suppress_context__ = draw(st.booleans())
        setattr(error, "__notes__", draw(_NOTES))  # noqa: B010  # of any type, unlike what the type checker allows
    return heap[-1]


@settings(max_examples=200, deadline=None)
@given(_errors())
def test_any_heap_of_errors_gives_a_report_that_is_fit_to_store(error: BaseException) -> None:
    told = report(error)

    assert_fit_to_store(told)
    assert told.type != "UnreadableError" and "could not be read" not in told.message


def test_a_report_that_cannot_be_made_still_names_the_error() -> None:
    class FloodedHygiene(Hygiene):
        def text(self, *_: Any, **__: Any) -> Cleaned:
            raise MemoryError

    told = report_failure(ValueError("the hold is full"), FloodedHygiene(Redactor(known_values=())), kind="result")

    assert (told.kind, told.type) == ("result", "ValueError")
    assert told.message == "what it says could not be read: MemoryError"


# --- causes, groups, notes -----------------------------------------------------------------------------------------


def chained(length: int) -> BaseException:
    error: BaseException = KeyError("the first")
    for depth in range(length):
        outer = ValueError(f"layer {depth}")
        outer.__cause__ = error
        error = outer
    return error


def test_a_long_chain_keeps_its_ten_outermost_causes_but_the_last_is_the_root() -> None:
    told = report(chained(40))

    assert told.message == "layer 39"
    assert [str(cause) for cause in told.causes] == [
        *(f"ValueError: layer {depth}" for depth in range(38, 29, -1)),
        "KeyError: 'the first'",
    ]


def test_an_error_without_a_cause_is_its_own_root() -> None:
    told = report(ValueError("test error"))

    assert told.causes == ()
    assert told.headline == "ValueError: test error"


def test_a_group_is_flattened_and_keeps_ten_of_its_members() -> None:
    watch = ExceptionGroup("the watch", [OSError(f"lamp {number} is out") for number in range(12)])
    told = report(ExceptionGroup("the crew", [watch, ValueError("no bearing")]))

    assert [cause.message for cause in told.sub_errors] == [f"lamp {number} is out" for number in range(10)]
    assert told.root.message == "lamp 0 is out"


def test_the_root_cause_of_a_group_is_what_its_first_member_came_from() -> None:
    member = ValueError("no bearing")
    member.__cause__ = KeyError("compass")
    told = report(ExceptionGroup("the crew", [member, OSError("wet chart")]))

    assert [str(cause) for cause in told.causes] == ["ValueError: no bearing", "KeyError: 'compass'"]
    assert [str(cause) for cause in told.sub_errors] == ["ValueError: no bearing", "OSError: wet chart"]


def test_a_group_that_says_what_it_came_from_has_that_as_its_root() -> None:
    group = ExceptionGroup("the crew", [ValueError("no bearing")])
    group.__cause__ = KeyError("compass")
    told = report(group)

    assert str(told.root) == "KeyError: 'compass'"
    assert [str(cause) for cause in told.sub_errors] == ["ValueError: no bearing"]


def test_a_group_below_the_outermost_error_shows_its_members_too() -> None:
    error = RuntimeError("the voyage ended")
    error.__cause__ = ExceptionGroup("the crew", [ValueError("no bearing"), OSError("wet chart")])

    assert [str(cause) for cause in report(error).sub_errors] == ["ValueError: no bearing", "OSError: wet chart"]


def test_notes_are_kept_from_the_outermost_error_inwards() -> None:
    error = ValueError("no bearing")
    error.add_note("while rounding the cape")
    error.__cause__ = KeyError("compass")
    error.__cause__.add_note("it was left ashore")

    assert report(error).notes == ("while rounding the cape", "it was left ashore")


def test_what_was_cut_is_told_with_its_field() -> None:
    told = report(ValueError("fathoms " * 1_000))

    assert len(told.message.encode()) <= 4_096
    assert [(cut.field, cut.original_bytes) for cut in told.truncated] == [("message", 8_000)]


def test_a_large_root_cause_keeps_more_of_its_words_than_the_layers_above_it() -> None:
    root, layer, outer = (ValueError(letter * 9_000) for letter in "rlo")
    outer.__cause__, layer.__cause__ = layer, root
    told = report(outer)

    assert [len(text.encode()) for text in (told.message, told.causes[0].message, told.causes[1].message)] == [
        pytest.approx(4_096, abs=64),
        pytest.approx(1_024, abs=64),
        pytest.approx(4_096, abs=64),
    ]


def test_no_part_of_a_report_holds_a_secret() -> None:
    def confide() -> NoReturn:
        local_variable = PASSWORD.upper()
        assert local_variable
        raise ValueError(f"login with {PASSWORD} failed") from KeyError(PASSWORD)

    with pytest.raises(ValueError, match="login with") as caught:
        confide()
    caught.value.add_note(f"the password was {PASSWORD}")
    told = report(ExceptionGroup(PASSWORD, [caught.value])).model_dump_json()

    assert PASSWORD not in told
    assert PASSWORD.upper() not in told
    assert "login with" in told


def test_the_stack_shows_where_each_of_the_outermost_error_and_the_root_cause_was_raised() -> None:
    def steer() -> NoReturn:
        raise KeyError("helm")

    def sail() -> NoReturn:
        try:
            steer()
        except KeyError as error:
            raise ValueError("adrift") from error

    with pytest.raises(ValueError, match="adrift") as caught:
        sail()

    outer, root = report(caught.value).stack.split("\n\nThe root cause:\n")
    assert re.search(r"\.sail\n    raise ValueError\(.*\) from error\nValueError$", outer)
    assert re.search(r"\.steer\n    raise KeyError\(.*\)\nKeyError$", root)


def test_a_kind_that_is_given_is_kept() -> None:
    assert report_failure(ConnectionResetError(), HYGIENE, kind="shutdown").kind == "shutdown"


def test_when_to_come_back_is_told_of_a_provider_only() -> None:
    error = ProviderUnavailable("overloaded", retry_after=30)

    assert report(error).retry_after == 30
    assert report_failure(error, HYGIENE, kind="agent").retry_after is None


def test_the_cancellation_that_stopped_an_agent_is_not_the_cause_of_what_it_raised_then() -> None:
    try:
        try:
            raise asyncio.CancelledError
        except asyncio.CancelledError:
            raise ValueError("the sluice is stuck")  # noqa: B904 - as agents do
    except ValueError as error:
        told, untold = (report_failure(error, HYGIENE, was_stopped=stopped) for stopped in (True, False))

    assert told.headline == "ValueError: the sluice is stuck"
    assert untold.root.type == "asyncio.CancelledError"

"""The catalogue: complete, and worth reading whatever it is told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.catalogue import CATALOGUE, Code, Entry
from projector.failures import Cause, ErrorReport, Failure, build_failure, fingerprint
from tests.strategies import causes, texts

FACTS = ("queue", "where", "seconds", "detail")
CATEGORIES = {
    "E101": "runner_startup_failed",
    "E102": "runner_unavailable",
    "E103": "runner_saturated",
    "E104": "runner_mismatch",
    "E201": "runner_crashed",
    "E202": "runner_stalled",
    "E203": "runner_lost",
    "E204": "runner_shut_down",
    "E301": "execution_timed_out",
    "E302": "deadline_exceeded",
    "E401": "agent_failed",
    "E402": "provider_unavailable",
    "E403": "result_rejected",
    "E501": "system_error",
    "E601": "engine_unavailable",
    "E602": "workflow_terminated",
    "E603": "workflow_timed_out",
    "E604": "workflow_stuck",
    "E999": "unclassified",
}
"""Stable for ever: a line may be added here, and none may change."""

every_code = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.code.value)


# --- the catalogue -------------------------------------------------------------------------------------------------


def test_the_codes_and_their_categories_are_those_that_were_promised() -> None:
    assert {code.value: entry.category for code, entry in CATALOGUE.items()} == CATEGORIES
    assert set(CATALOGUE) == set(Code)


@every_code
def test_every_entry_says_something_in_each_of_its_fields(entry: Entry) -> None:
    assert re.fullmatch(r"E[1-69]\d\d", entry.code)
    for text in (entry.when, entry.message, entry.remedy):
        assert text.strip() == text != ""
    assert entry.remedy.endswith(".") and len(entry.remedy) > 40


@every_code
def test_an_agent_that_never_began_may_always_be_run_again(entry: Entry) -> None:
    if "never began" in entry.remedy or "nothing had begun" in entry.remedy:
        assert entry.retryable
    if entry.code[1] in "23":
        assert not entry.retryable, "work was done that a second run would repeat"


@every_code
def test_a_failure_about_which_nothing_is_known_is_still_a_sentence(entry: Entry) -> None:
    failure = build_failure(entry.code)
    assert failure == failure.model_copy(
        update={"code": entry.code.value, "category": entry.category, "retryable": entry.retryable}
    )
    for text in (failure.message, failure.remedy):
        assert text.strip() == text != ""
        assert not re.search(r"[{}]|  |\.\.|\?\?", text), text


@every_code
def test_the_words_take_in_whatever_is_known(entry: Entry) -> None:
    cause = Cause(type="OSError", message="the cable parted")
    known = {"queue": "reef-queue", "where": " at the reef", "seconds": "42 s", "detail": "Nobody answered."}
    failure = build_failure(entry.code, cause=cause, evidence=("a log",), stack="survey.py:7", **known)
    for fact, text in {**known, "cause": "OSError: the cable parted"}.items():
        used = f"{{{fact}}}" in entry.message
        assert (text in failure.message) is used
    assert "{" not in failure.message + failure.remedy
    assert (failure.cause, failure.evidence, failure.stack) == (cause, ("a log",), "survey.py:7")


def test_a_headline_stands_for_the_cause_in_the_message() -> None:
    cause = Cause(type="KeyError", message="'draught'")
    headline = "ValueError: no such ship (root cause: KeyError: 'draught')"
    failure = build_failure(Code.AGENT_FAILED, cause=cause, headline=headline)
    assert failure.message == headline
    assert failure.cause == cause


def test_what_an_agent_said_about_braces_is_left_as_it_said_it() -> None:
    said = "no value for {cause} in {queue} or {0}"
    failure = build_failure(Code.AGENT_FAILED, cause=Cause(type="KeyError", message=said), queue="agent-runner")
    assert failure.message == f"KeyError: {said}"


def test_a_cause_that_ends_its_own_sentence_does_not_end_it_twice() -> None:
    failure = build_failure(Code.RUNNER_MISMATCH, cause=Cause(type="NotFoundError", message="it is not here."))
    assert failure.message == "The runner cannot serve this execution: NotFoundError: it is not here."


@given(
    st.sampled_from(list(Code)),
    st.none() | causes,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    texts,
    st.dictionaries(st.sampled_from(FACTS) | st.text("abc", min_size=1), texts | st.none() | st.integers()),
)
def test_any_facts_give_a_failure_with_a_message(
    code: Code, cause: Cause | None, headline: str, evidence: tuple[str, ...], stack: str, facts: dict[str, Any]
) -> None:
    failure = build_failure(code, cause=cause, headline=headline, evidence=evidence, stack=stack, **facts)
    assert failure.message.strip() and failure.remedy.strip()
    assert failure.code == code.value
    assert Failure.model_validate_json(failure.model_dump_json()) == failure


@pytest.mark.parametrize("blank", ["", " ", "\n\t "])
def test_an_agent_that_raised_without_a_word_still_gets_a_message(blank: str) -> None:
    failure = build_failure(Code.AGENT_FAILED, cause=Cause(type=""), headline=blank)
    assert failure.message == "no reason was given"


# --- reports -------------------------------------------------------------------------------------------------------


def test_the_root_of_a_report_is_its_deepest_cause() -> None:
    causes = (Cause(type="OSError", message="no sounding"), Cause(type="KeyError", message="'lead'"))
    report = ErrorReport(type="ValueError", message="no chart", causes=causes)
    assert report.root == causes[1]
    assert report.headline == "ValueError: no chart (root cause: KeyError: 'lead')"


def test_the_root_of_a_group_is_its_first_member() -> None:
    members = (Cause(type="OSError", message="wet chart"), Cause(type="ValueError", message="bad bearing"))
    report = ErrorReport(type="ExceptionGroup", message="the crew", sub_errors=members)
    assert report.root == members[0]


def test_an_error_without_causes_is_its_own_root_and_is_said_once() -> None:
    report = ErrorReport(type="ValueError", message="test error")
    assert report.root == Cause(type="ValueError", message="test error")
    assert report.headline == "ValueError: test error"


# --- groups of one cause -------------------------------------------------------------------------------------------


def failure_of(message: str, type: str = "OSError", code: Code = Code.AGENT_FAILED) -> Failure:
    return build_failure(code, cause=Cause(type=type, message=message))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("buoy 7 is adrift", "buoy 12345 is adrift"),
        ("no answer in 0.5 s", "no answer in 30.25 s"),
        ("object at 0x7f3a2b", "object at 0x55DEADBEEF"),
        ("voyage 6fa459ea-ee8a-3ca4-894e-db77e160355e", "voyage 16FD2706-8BAF-433B-82EB-8C7FADA847DA"),
        ("commit 9b74c9897bac770ffc029102a200c5de", "commit e2fc714c4727ee9395f324cd2e7f331f"),
        ("7 of " + "reefs " * 200, "123456789 of " + "reefs " * 200),
    ],
)
def test_ids_and_numbers_do_not_make_another_cause(one: str, other: str) -> None:
    assert fingerprint(failure_of(one)) == fingerprint(failure_of(other))


@pytest.mark.parametrize(
    "other",
    [
        failure_of("the cable parted", type="ValueError"),
        failure_of("the cable parted", code=Code.SYSTEM_ERROR),
        failure_of("the anchor dragged"),
    ],
)
def test_another_type_code_or_message_is_another_cause(other: Failure) -> None:
    assert fingerprint(other) != fingerprint(failure_of("the cable parted"))


@given(st.text(), st.lists(st.integers(min_value=0), min_size=2, max_size=2))
def test_a_number_anywhere_makes_no_other_cause(words: str, numbers: list[int]) -> None:
    one, other = (fingerprint(failure_of(f"{words} #{number} {words}")) for number in numbers)
    assert one == other
    assert re.fullmatch("[0-9a-f]{12}", one)


def test_a_fingerprint_never_changes() -> None:
    """Groups that are stored are found again by it."""
    assert fingerprint(failure_of("the cable parted after 7 s")) == "8208c2588dfa"


def test_a_failure_without_a_cause_is_grouped_by_its_message() -> None:
    one, other = build_failure(Code.RUNNER_LOST, seconds="30 s"), build_failure(Code.RUNNER_LOST, seconds="60 s")
    assert one.cause is None
    assert fingerprint(one) == fingerprint(other)

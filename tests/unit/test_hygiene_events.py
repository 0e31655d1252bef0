"""The door that every event passes: each field by its own rule, the whole within the limit of an event."""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from projector.door.event_fields import rules_of
from projector.door.hygiene import (
    CAUSE_DEPTH,
    CONVERSATION_LIMIT,
    DETAILS_LIMIT,
    EVENT_LIMIT,
    MESSAGE_LIMIT,
    STACK_LIMIT,
)
from projector.door.redaction import REDACTED
from projector.events import (
    EVENT_TYPES,
    AttemptFailed,
    AttemptFinished,
    ConditionKind,
    ConditionObserved,
    Event,
    ExecutionFailed,
    ExecutionRequested,
    HeartbeatRecorded,
    MessageAppended,
    ProgressReported,
    RunnerExited,
    RunnerReady,
    RunnerStartupFailed,
    Timeouts,
    ToolCallFinished,
    ToolCallStarted,
)
from projector.failures import Cause, ErrorReport, Failure, Truncation
from tests.dirt import KNOWN, SECRET, Raises, assert_all_clean, cycle, dirty_text, hygiene, json_like
from tests.made_up_secrets import PRIVATE_KEYS, TOKENS, Credential


def json_of(event: Event) -> bytes:
    return json.dumps(
        event.model_dump(mode="json"), allow_nan=False, ensure_ascii=False, separators=(",", ":")
    ).encode()


def test_every_field_of_every_event_has_a_rule() -> None:
    for kind in EVENT_TYPES.values():
        ruled = {rule.name for rule in rules_of(kind)}
        free = set(kind.model_fields) - ruled
        assert free <= {"kind", "out_of_memory", "was_told"}, kind.__name__


@pytest.mark.parametrize(
    "event",
    [
        MessageAppended(role="assistant", text="The lamp is lit: the sea is calm.\n\tGood night — bonne nuit."),
        ProgressReported(done=1, total=3, note="reading lamps/today.txt"),
        ToolCallStarted(call_id="1", tool="read_file", arguments={"path": "lamps/today.txt", "lines": [1, 2]}),
        HeartbeatRecorded(events_processed=5, messages=2, tool_calls=1, phase="in tool read_file"),
        RunnerReady(task_queue="agent-runner", agents=("lamps.keeper:agent",), slots=4),
        ConditionObserved(kind=ConditionKind.STALLED, reason="no event for 60 s"),
        AttemptFailed(report=ErrorReport(type="ValueError", message="no oil", causes=(Cause(type="OSError"),))),
        ExecutionRequested(agent="lamps.keeper:agent", task_queue="agent-runner", input="light the lamp"),
    ],
)
def test_a_clean_event_is_the_same_object(event: Event) -> None:
    assert hygiene.admit(event) is event


def test_texts_are_cleaned_and_redacted_in_nested_models_too() -> None:
    report = ErrorReport(
        type="Value\x00Error",
        message=f"no {SECRET}",
        causes=(Cause(type="OSError", message=f"{KNOWN}!"),),
        stack="a\r\nb",
    )
    event = hygiene.admit(AttemptFailed(report=report))
    assert event.report == ErrorReport(
        type="ValueError",
        message="no [redacted:github-token]",
        causes=(Cause(type="OSError", message="[redacted]!"),),
        stack="a\nb",
    )
    assert event.truncated == ()


def test_names_and_ids_keep_their_value_apart_from_cleaning() -> None:
    event = ExecutionRequested(
        agent="lamps.token=keeper1:agent", task_queue="q\x00ueue", session_id=f"s-{KNOWN}", input=KNOWN
    )
    admitted = hygiene.admit(event)
    assert (admitted.agent, admitted.task_queue, admitted.session_id) == (
        "lamps.token=keeper1:agent",
        "queue",
        f"s-{KNOWN}",
    )
    assert admitted.input == REDACTED
    assert admitted.timeouts is event.timeouts


@pytest.mark.parametrize(
    ("event", "field", "limit"),
    [
        (MessageAppended(role="assistant", text="lamp " * 50_000), "text", CONVERSATION_LIMIT),
        (ExecutionRequested(agent="a:b", task_queue="q", input="lamp " * 50_000), "input", CONVERSATION_LIMIT),
        (ProgressReported(note="lamp " * 50_000), "note", MESSAGE_LIMIT),
        (RunnerExited(last_stderr="first" + "lamp " * 50_000 + "last"), "last_stderr", STACK_LIMIT),
        (AttemptFinished(output="lamp " * 50_000), "output", CONVERSATION_LIMIT),
        (ToolCallFinished(call_id="1", output=["lamp"] * 50_000), "output", DETAILS_LIMIT),
        (ToolCallStarted(call_id="1", tool="t", arguments={"a": "lamp " * 50_000}), "arguments", DETAILS_LIMIT),
    ],
)
def test_each_field_has_its_own_limit_and_a_note_of_what_was_cut(event: Event, field: str, limit: int) -> None:
    admitted = hygiene.admit(event)
    value = getattr(admitted, field)
    size = len(value.encode()) if isinstance(value, str) else len(to_json(value))
    assert limit * 0.9 < size <= limit
    (note,) = admitted.truncated
    assert note.field == field and note.original_bytes >= 50_000
    assert hygiene.admit(admitted) is admitted


def test_a_stack_keeps_its_beginning_and_its_end() -> None:
    report = ErrorReport(type="ValueError", stack="Traceback\n" + "  frame\n" * 10_000 + "ValueError: no oil")
    admitted = hygiene.admit(AttemptFailed(report=report))
    assert admitted.report.stack.startswith("Traceback\n") and admitted.report.stack.endswith("ValueError: no oil")
    assert [note.field for note in admitted.truncated] == ["report.stack"]


def test_a_long_chain_of_causes_keeps_its_root() -> None:
    causes = tuple(Cause(type=f"Error{n}", message="because") for n in range(10_000))
    admitted = hygiene.admit(AttemptFailed(report=ErrorReport(type="ValueError", causes=causes)))
    assert len(admitted.report.causes) == CAUSE_DEPTH
    assert admitted.report.root == Cause(type="Error9999", message="because")
    assert [note.field for note in admitted.truncated] == ["report.causes"]
    assert hygiene.admit(admitted) is admitted


def test_a_long_list_says_how_many_are_missing() -> None:
    failure = Failure(
        code="E201", category="runner_crashed", message="m", remedy="r", retryable=False,
        evidence=tuple(f"line {n}" for n in range(1000)),
    )  # fmt: skip
    admitted = hygiene.admit(ExecutionFailed(failure=failure))
    assert len(admitted.failure.evidence) == 50
    assert admitted.failure.evidence[-1] == "… and 951 more"


def test_numbers_stay_within_what_a_database_and_json_hold() -> None:
    assert hygiene.admit(ProgressReported(done=math.nan, total=math.inf)) == ProgressReported()
    assert hygiene.admit(HeartbeatRecorded(events_processed=10**30, messages=-(10**30), tool_calls=1, phase="")) == (
        HeartbeatRecorded(events_processed=2**63 - 1, messages=-(2**63), tool_calls=1, phase="")
    )
    smallest = HeartbeatRecorded(events_processed=-(2**63), messages=1, tool_calls=1, phase="\n")
    assert hygiene.admit(smallest) is smallest
    event = ExecutionRequested(agent="a:b", task_queue="q", timeouts=Timeouts(start_to_close=math.inf))
    assert json_of(hygiene.admit(event))
    assert hygiene.admit(event).timeouts.start_to_close > 1e300


def test_an_event_of_which_every_field_fits_is_still_cut_to_the_limit_of_an_event() -> None:
    text = '"' * (MESSAGE_LIMIT - 10)
    causes = tuple(Cause(type=text, message=text) for _ in range(10))
    report = ErrorReport(
        type=text, message=text, causes=causes, sub_errors=causes, notes=(text,) * 10, stack='"\\' * 8000
    )
    event = RunnerStartupFailed(
        task_queue=text, agents=(text,) * 50, stage="import", report=report, likely_causes=(text,) * 50
    )
    admitted = hygiene.admit(event)
    assert EVENT_LIMIT // 2 < len(json_of(admitted)) <= EVENT_LIMIT
    assert admitted.stage == "import" and len(admitted.truncated) == 32
    assert hygiene.admit(admitted) is admitted


def test_one_long_message_is_cut_no_harder_than_it_must_be() -> None:
    admitted = hygiene.admit(MessageAppended(role="assistant", text='"' * CONVERSATION_LIMIT))
    assert EVENT_LIMIT * 0.6 < len(json_of(admitted)) <= EVENT_LIMIT


def test_an_earlier_note_on_a_field_is_the_one_that_counts() -> None:
    note = Truncation(field="text", original_bytes=10**9, sha256="ab" * 32)
    admitted = hygiene.admit(MessageAppended(role="user", text="lamp " * 50_000, truncated=(note,)))
    assert admitted.truncated == (note,)


@pytest.mark.parametrize("credential", [*TOKENS, *PRIVATE_KEYS], ids=lambda credential: credential.name)
def test_no_secret_gets_through_in_any_text_of_any_event(credential: Credential) -> None:
    text = f"it is {credential.text} now"
    cause = Cause(type=text, message=text)
    report = ErrorReport(type=text, message=text, causes=(cause,), sub_errors=(cause,), notes=(text,), stack=text)
    failure = Failure(
        code="E401", category="agent_failed", message=text, remedy=text, retryable=False, cause=cause,
        evidence=(text,), stack=text,
    )  # fmt: skip
    events: list[Event] = [
        MessageAppended(role=text, text=text),
        ToolCallStarted(call_id="1", tool=text, arguments={text: [text, {"deep": (text, text.encode())}]}),
        ToolCallFinished(call_id="1", output=text, error=text),
        AttemptFinished(output={"log": text}),
        AttemptFailed(report=report),
        ExecutionFailed(failure=failure),
        RunnerStartupFailed(task_queue="q", stage=text, report=report, likely_causes=(text,)),
        RunnerExited(signal=text, last_stderr=text),
    ]
    for event in events:
        stored = json_of(hygiene.admit(event)).decode()
        assert [piece for piece in credential.pieces() if json.dumps(piece)[1:-1] in stored] == []


causes = st.builds(Cause, type=dirty_text, message=dirty_text)
notes = st.builds(Truncation, field=dirty_text, original_bytes=st.integers(), sha256=dirty_text)
reports = st.builds(
    ErrorReport,
    type=dirty_text,
    message=dirty_text,
    causes=st.lists(causes, max_size=12).map(tuple),
    sub_errors=st.lists(causes, max_size=3).map(tuple),
    notes=st.lists(dirty_text, max_size=3).map(tuple),
    stack=dirty_text,
    retry_after=st.none() | st.floats(),
    truncated=st.lists(notes, max_size=3).map(tuple),
)
texts = st.lists(dirty_text, max_size=60).map(tuple)
failures = st.builds(
    Failure,
    code=dirty_text,
    category=dirty_text,
    message=dirty_text,
    remedy=dirty_text,
    retryable=st.booleans(),
    cause=st.none() | causes,
    evidence=texts,
    stack=dirty_text,
)
events = (
    st.builds(MessageAppended, role=dirty_text, text=dirty_text, truncated=st.lists(notes, max_size=40).map(tuple))
    | st.builds(ToolCallStarted, call_id=dirty_text, tool=dirty_text, arguments=json_like)
    | st.builds(ToolCallFinished, call_id=dirty_text, output=json_like, error=st.none() | dirty_text)
    | st.builds(AttemptFinished, output=json_like, output_bytes=st.integers())
    | st.builds(ProgressReported, done=st.none() | st.floats(), total=st.floats(), note=dirty_text)
    | st.builds(AttemptFailed, report=reports)
    | st.builds(ExecutionFailed, failure=failures)
    | st.builds(
        RunnerStartupFailed, task_queue=dirty_text, agents=texts, stage=dirty_text, report=reports, likely_causes=texts
    )
)
NAMES: Final = frozenset(("call_id", "task_queue", "agents", "code", "category"))


@given(events)
def test_an_admitted_event_is_clean_bounded_and_stays_as_it_is(event: Event) -> None:
    admitted = hygiene.admit(event)
    assert type(admitted) is type(event)
    assert len(json_of(admitted)) <= EVENT_LIMIT
    assert hygiene.admit(admitted) is admitted
    assert type(event).model_validate_json(json_of(admitted)) == admitted
    dumped = admitted.model_dump(mode="json")
    dumped = dumped | dumped.pop("failure", {})
    assert_all_clean({name: value for name, value in dumped.items() if name not in NAMES})


def test_an_event_that_was_built_without_validation_is_admitted_too() -> None:
    event = MessageAppended(role="user", text="").model_copy(
        update={"text": Raises(), "role": b"lamp", "truncated": [Raises()]}
    )
    admitted = hygiene.admit(event)
    assert admitted.text == "<unprintable Raises: __str__ raised SystemExit>"
    wrong: dict[str, Any] = {"events_processed": "many", "messages": Raises(), "tool_calls": None, "phase": cycle()}
    odd: Any = hygiene.admit(HeartbeatRecorded.model_construct(**wrong))
    assert (odd.events_processed, odd.messages) == ("many", admitted.text)
    wrong = {"report": Raises()}
    odd = hygiene.admit(AttemptFailed.model_construct(**wrong))
    assert odd.report == admitted.text


def test_a_small_clean_event_costs_microseconds() -> None:
    event = MessageAppended(
        role="assistant", text="The lamp is lit, the sea is calm, and the keeper goes to bed at last."
    )
    begin = time.process_time()
    for _ in range(2000):
        hygiene.admit(event)
    assert time.process_time() - begin < 0.2

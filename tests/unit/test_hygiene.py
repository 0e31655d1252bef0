"""The door: whatever an agent hands over, what comes out is clean, bounded, without secrets, and stays so."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple, NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from pydantic_core import to_json

from projector.event_fields import rules_of
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
from projector.hygiene import (
    CAUSE_DEPTH,
    CONVERSATION_LIMIT,
    DETAILS_LIMIT,
    EVENT_LIMIT,
    MESSAGE_LIMIT,
    STACK_LIMIT,
    Hygiene,
)
from projector.redaction import REDACTED, Redactor
from tests.made_up_secrets import CREDENTIALS, MIXED, PRIVATE_KEYS, TOKENS, Credential, pem

KNOWN: Final = "st0rm lantern"
BODY: Final = hashlib.sha256(b"no literal of it, lest a search for examples picks it up").hexdigest()[:40]
SECRET: Final = "gh" + "p_" + BODY
hygiene = Hygiene(Redactor([KNOWN]))

# --- text ----------------------------------------------------------------------------------------------------------


def test_a_small_clean_text_is_the_same_object() -> None:
    text = "The lamp is lit; the sea is calm."
    assert hygiene.text(text).text is text
    assert hygiene.text(text).truncation is None


def test_what_was_cut_is_told_with_its_size_and_hash() -> None:
    text = "The lamp is lit. " * 1000
    cleaned, truncation = hygiene.text(text, field="log")
    assert len(cleaned.encode()) <= MESSAGE_LIMIT
    assert cleaned.startswith("The lamp is lit. The") and cleaned.endswith("bytes cut]")
    assert truncation == Truncation(field="log", original_bytes=17000, sha256=hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda credential: credential.name)
@pytest.mark.parametrize("both", [False, True], ids=["head", "head and tail"])
def test_a_secret_that_straddles_the_cut_leaves_no_part(credential: Credential, both: bool) -> None:
    limit, fog = 2048, "fog and more fog. "
    # Where the text is cut: at the end of what is kept, or in the middle; a secret is put on either side of each.
    for length in (6_000, 40_000):
        for edge in (limit, limit // 2, length - limit // 2, length - limit):
            for inside in (1, len(credential.text) // 2, len(credential.text) - 1):
                before = (fog * (length // len(fog)))[: edge - inside - 1] + "\n"
                after = "\n" + (fog * (length // len(fog)))[: max(length - edge, 100)]
                cleaned = hygiene.text(before + credential.text + after, limit, head_and_tail=both).text
                assert len(cleaned.encode()) <= limit
                assert [piece for piece in credential.pieces() if piece in cleaned] == []


@pytest.mark.parametrize("inside", [100, 1500, 2900])
def test_a_window_that_begins_inside_a_private_key_shows_none_of_it(inside: int) -> None:
    # The tail that is looked at begins 8 KiB before what is kept, here in the middle of a key; and every line of what
    # follows is a secret that shrinks, so that the beginning of the window comes close to what is shown.
    tail = f"password={MIXED}\n" * 2000
    text = "fog\n" * 10_000 + pem() + tail[: 8192 + 1024 - inside]
    cleaned = hygiene.text(text, 2048, head_and_tail=True).text
    assert MIXED[:12] not in cleaned


def test_a_known_value_at_the_cut_leaves_no_part() -> None:
    for shift in range(len(KNOWN) + 2):
        cleaned = hygiene.text("x" * (MESSAGE_LIMIT - 30 - shift) + f" {KNOWN} " + "y" * 50_000).text
        assert "st0rm" not in cleaned and "lantern" not in cleaned


def test_colours_in_a_huge_text_do_not_shift_the_margin_into_view() -> None:
    text = "\x1b[31mlamp\x1b[0m " * 300 + SECRET + " \x1b[32mlamp\x1b[0m" * 100_000
    cleaned = hygiene.text(text).text
    assert cleaned.startswith("lamp lamp lamp") and BODY[:8] not in cleaned and "\x1b" not in cleaned


@pytest.mark.parametrize("character", ["x", "é", "\ud800", "\x00", "\x1b[31m", '"'])
def test_a_huge_text_costs_no_more_than_its_ends(character: str) -> None:
    text = character * (100_000_000 // len(character) // (1 if character.isascii() else 4))
    begin = time.process_time()
    for both in (False, True):
        assert len(hygiene.text(text, head_and_tail=both).text.encode()) <= MESSAGE_LIMIT
    assert time.process_time() - begin < 1


def test_text_is_made_of_any_object() -> None:
    class Broken:
        def __str__(self) -> NoReturn:
            raise SystemExit(3)

    assert hygiene.text(Broken()).text == "<unprintable Broken: __str__ raised SystemExit>"
    assert hygiene.text(ValueError(f"no oil for {SECRET}")).text == "no oil for [redacted:github-token]"


dirt = st.sampled_from(
    [
        *'\x00\x07\x1b\r\n\t\x7f\x85\x9b\ud800\udc00é🔥"\\\u202e',
        *("\x1b[31m", "\x1b]0;t\x07", "password=", "token: ", "lamp ", "[redacted", SECRET, KNOWN, pem()),
        *("x" * 500, '"' * 3000, "é" * 3000, "\n" * 3000, f"k: {SECRET} " * 100),
    ]
)
dirty_text = st.lists(dirt, max_size=12).map("".join) | st.text(st.characters(codec=None, exclude_categories=()))


def assert_clean(text: str) -> None:
    text.encode("utf-8")
    assert not [c for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]
    assert BODY[:12] not in text and BODY[-12:] not in text
    assert KNOWN not in text and MIXED * 3 not in text


@given(dirty_text, st.sampled_from([64, 300, 1000, 4096]), st.booleans())
def test_text_is_clean_bounded_and_stays_as_it_is(text: str, limit: int, both: bool) -> None:
    once = hygiene.text(text, limit, head_and_tail=both)
    assert_clean(once.text)
    assert len(once.text.encode()) <= limit
    assert hygiene.text(once.text, limit, head_and_tail=both) == (once.text, None)


# --- data ----------------------------------------------------------------------------------------------------------


class _Level(Enum):
    HIGH = 3


class _Position(NamedTuple):
    light: str
    password: str


@dataclass
class _Keeper:
    name: str
    api_key: str


class _Lamp(BaseModel):
    oil: float
    token: SecretStr
    keeper: Any = None


class _Raises:
    """Every question that it is asked, it answers with an error."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise KeyboardInterrupt(name)

    def __repr__(self) -> NoReturn:
        raise SystemExit("no repr")

    __str__ = __iter__ = __len__ = __hash__ = __eq__ = __bool__ = __repr__  # type: ignore[assignment]


class _FalseDict(dict[Any, Any]):
    def items(self) -> NoReturn:
        raise RuntimeError("no items")

    def __iter__(self) -> NoReturn:
        raise RuntimeError("no keys")


class _FalseMapping(UserDict[Any, Any]):
    def __iter__(self) -> Iterator[Any]:
        raise SystemExit("no keys")


def _deep(levels: int) -> Any:
    nested: Any = "the bottom"
    for _ in range(levels):
        nested = [nested]
    return nested


def _cycle() -> Any:
    ring: dict[str, Any] = {"name": "ring"}
    ring["itself"] = ring
    return ring


UNLIKE_JSON: Final[list[tuple[Callable[[], object], object]]] = [
    (lambda: {"path": "lamp.txt", "n": [1, 2.5, True, None]}, {"path": "lamp.txt", "n": [1, 2.5, True, None]}),
    (lambda: [math.nan, math.inf, -math.inf], ["NaN", "Infinity", "-Infinity"]),
    (lambda: [2**63 - 1, 2**70, 10**9000], [2**63 - 1, str(2**70), "<an integer of 29898 bits>"]),
    (lambda: (b"oil", b"\xff\x00oil", bytearray(b"oil")), ["oil", "\\xffoil", "oil"]),
    (lambda: {1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
    (lambda: {_Level.HIGH: "d", b"e": "e", (1, 2): "f"}, {"_Level.HIGH": "d", "e": "e", "(1, 2)": "f"}),
    (lambda: {"1": "a", 1: "b"}, {"1": "a", "1 (2)": "b"}),
    (lambda: {3, 1, 2}, [1, 2, 3]),
    (lambda: frozenset("cab"), ["a", "b", "c"]),
    (lambda: deque(["oil"]), ["oil"]),
    (lambda: OrderedDict(a=1), {"a": 1}),
    (lambda: UserDict(a=1), {"a": 1}),
    (lambda: _Keeper("Grace", "f0ghorn"), {"name": "Grace", "api_key": REDACTED}),
    (lambda: _Position("on", "f0ghorn"), {"light": "on", "password": REDACTED}),
    (
        lambda: _Lamp(oil=math.nan, token=SecretStr("f0ghorn"), keeper=_Level.HIGH),
        {"oil": "NaN", "token": REDACTED, "keeper": 3},
    ),
    (lambda: [SecretStr("f0ghorn")], [REDACTED]),
    (lambda: [datetime(2026, 11, 23, tzinfo=UTC), date(2026, 11, 23)], ["2026-11-23T00:00:00+00:00", "2026-11-23"]),
    (lambda: [timedelta(seconds=5), Decimal("1.50"), PurePosixPath("a/b")], ["0:00:05", "1.50", "a/b"]),
    (lambda: UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (lambda: _FalseDict(a=1), {"a": 1}),
    (lambda: _FalseMapping(a=1), "<unreadable _FalseMapping: SystemExit>"),
    (lambda: {"lamp": _Raises()}, {"lamp": "<unprintable _Raises: __str__ raised SystemExit>"}),
    (lambda: _Level, "<enum '_Level'>"),
    (_cycle, {"name": "ring", "itself": "<a cycle: this is its own container>"}),
    (lambda: "l\x00amp \x1b[1mlit\x1b[0m \ud800", "lamp lit \ufffd"),
    (lambda: {f"key {SECRET}": SECRET}, {"key [redacted:github-token]": "[redacted:github-token]"}),
    (
        lambda: [("Authorization", "f0ghorn"), [b"Cookie", b"f0ghorn"]],
        [["Authorization", REDACTED], ["Cookie", REDACTED]],
    ),
    (lambda: [{"name": "X-Api-Key", "value": "f0ghorn"}], [{"name": "X-Api-Key", "value": REDACTED}]),
    (
        lambda: {"token": None, "password": "", "secret": False, "auth": 3},
        {"token": None, "password": "", "secret": False, "auth": 3},
    ),
    (
        lambda: {"password": 12345678, "credentials": {"user": "Grace"}},
        {"password": REDACTED, "credentials": REDACTED},
    ),
    (lambda: {"max_tokens": 4096, "total_tokens": 5000000}, {"max_tokens": 4096, "total_tokens": 5000000}),
]


@pytest.mark.parametrize(("make", "plain"), UNLIKE_JSON)
def test_any_object_becomes_plain_data(make: Callable[[], object], plain: object) -> None:
    data, truncation = hygiene.data(make())
    assert truncation is None
    assert data == plain
    assert hygiene.data(data).data is data


def test_the_lines_of_a_private_key_are_redacted_in_a_list_too() -> None:
    lines = ["first", *pem().splitlines(), "last"]
    data = hygiene.data(lines).data
    assert data[0] == "first" and data[-1] == "last"
    assert set(data[1:-1]) == {REDACTED}


def test_nesting_is_bounded() -> None:
    assert hygiene.data(_deep(20)).data == _deep(20)
    shown = json.dumps(hygiene.data(_deep(100_000)).data)
    assert "<nested deeper than 20 levels>" in shown and shown.count("[") == 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 100_000_000,
        lambda: list(range(3_000_000)),
        lambda: {str(n): n for n in range(300_000)},
        lambda: [[["é" * 1000] * 1000] * 1000] * 1000,
        lambda: {"a": ['"' * 5000, SECRET * 500]},
        lambda: [SECRET + "\n"] * 5000,
        lambda: set(range(1_000_000)),
        lambda: b"\xff" * 50_000_000,
        lambda: {"k" * 10_000_000: 1, "text": "lamp " * 10_000},
    ],
)
def test_what_is_too_large_becomes_a_preview(make: Callable[[], object]) -> None:
    value = make()
    begin = time.process_time()
    data, truncation = hygiene.data(value, field="output")
    assert time.process_time() - begin < 1
    assert truncation and truncation.field == "output" and truncation.original_bytes > DETAILS_LIMIT
    assert data["truncated"] is True and data["sha256"] == truncation.sha256
    assert data["original_bytes"] == truncation.original_bytes
    assert DETAILS_LIMIT // 2 < len(to_json(data)) <= DETAILS_LIMIT
    assert_clean(data["preview"])
    assert hygiene.data(data).data is data


def test_the_size_of_what_is_cut_is_told() -> None:
    assert hygiene.data({"log": "x" * 100_000}).data["original_bytes"] == pytest.approx(100_010, abs=100)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | dirty_text | st.binary(max_size=20)
json_like = st.recursive(
    leaves | st.just(SecretStr("x")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(dirty_text | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def assert_all_clean(data: object) -> None:
    if type(data) is dict:
        for name, item in data.items():
            assert_clean(name)
            assert_all_clean(item)
    elif type(data) is list:
        for item in data:
            assert_all_clean(item)
    elif type(data) is str:
        assert_clean(data)
    else:
        assert data is None or type(data) in (bool, int, float)


@given(json_like, st.sampled_from([512, 8192]))
def test_data_is_plain_clean_bounded_and_stays_as_it_is(value: object, limit: int) -> None:
    data, _ = hygiene.data(value, limit)
    assert_all_clean(data)
    assert len(json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()) <= limit
    again, truncation = hygiene.data(data, limit)
    assert again is data and truncation is None


def test_json_that_travels_beside_the_store_loses_its_secrets_and_nothing_else() -> None:
    value = {"log": "x" * 100_000 + SECRET, "auth": "f0ghorn", "n": _deep(150), "colour": "\x1b[31m", "tokens": 7}
    expected = value | {"log": "x" * 100_000 + "[redacted:github-token]", "auth": REDACTED}
    assert hygiene.redacted_json(to_json(value)) == expected
    with pytest.raises(ValueError):
        hygiene.redacted_json(b"{")


# --- events --------------------------------------------------------------------------------------------------------


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
        update={"text": _Raises(), "role": b"lamp", "truncated": [_Raises()]}
    )
    admitted = hygiene.admit(event)
    assert admitted.text == "<unprintable _Raises: __str__ raised SystemExit>"
    wrong: dict[str, Any] = {"events_processed": "many", "messages": _Raises(), "tool_calls": None, "phase": _cycle()}
    odd: Any = hygiene.admit(HeartbeatRecorded.model_construct(**wrong))
    assert (odd.events_processed, odd.messages) == ("many", admitted.text)
    wrong = {"report": _Raises()}
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

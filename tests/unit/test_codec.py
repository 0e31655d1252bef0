"""Events to bytes and back: what was stored once is read for ever, and what cannot be read says why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eventsourcing.compressor import ZlibCompressor
from eventsourcing.persistence import Notification, StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from projector.codec import UPCASTERS, EventMapper, JsonTranscoder, Upcaster
from projector.envelope import RecordedEvent
from projector.events import EVENT_TYPES, Event, Unreadable
from projector.execution_status import evolve
from tests.golden.events import EVENTS
from tests.histories import DAWN, REMARK, SURVEY, recorded
from tests.strategies import any_event, json_values, recorded_events

MAPPER = EventMapper()
_FOLDER = Path(__file__).parents[1] / "golden"
RELEASES: dict[str, dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(_FOLDER.glob("events-v*.json"))
}
"""Bodies by release and event: all in the first, then those that are new or have got new fields."""
STORED = [
    pytest.param(body, name, id=f"{name}, {at}") for at, bodies in RELEASES.items() for name, body in bodies.items()
]
GOLDEN = {name: body for bodies in RELEASES.values() for name, body in bodies.items()}
"""The latest body of each event."""
STREAM = f"execution/{SURVEY}"


def stored(name: str, body: Any) -> StoredEvent:
    state = body if isinstance(body, bytes) else json.dumps(body).encode()
    return StoredEvent(STREAM, 1, name, state)


def unreadable(name: str, body: Any, mapper: EventMapper = MAPPER) -> Unreadable:
    event = mapper.to_domain_event(stored(name, body)).event
    assert isinstance(event, Unreadable)
    assert event.name == name
    return event


def body_of(data: Any, **envelope: Any) -> dict[str, Any]:
    return {"id": "e1", "time": "2026-03-14T06:00:00Z", "writer": "client", "attempt": 0, "data": data} | envelope


# --- what was stored once ------------------------------------------------------------------------------------------


def test_every_event_has_a_golden_body() -> None:
    assert GOLDEN.keys() == EVENTS.keys() == EVENT_TYPES.keys()


@pytest.mark.parametrize(("body", "name"), STORED)
def test_a_body_that_was_stored_by_any_release_is_read_for_ever(body: dict[str, Any], name: str) -> None:
    """A field that the release did not know has its default."""
    record = MAPPER.to_domain_event(stored(name, body))
    fields = type(EVENTS[name]).model_fields
    unknown = {field: info.default for field, info in fields.items() if field not in body["data"]}
    assert record == RecordedEvent(
        stream=STREAM,
        version=1,
        position=0,
        id="01-golden",
        time=datetime(2026, 3, 14, 6, 0, 0, 250000, UTC),
        writer="runner:polaris:4711",
        attempt=2,
        event=EVENTS[name].model_copy(update=unknown),
    )


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_body_is_still_written_as_it_was(name: str) -> None:
    """If this fails, the event's shape has changed.

    A new field, optional and with a default that says what the old bodies mean, goes with a new body into the file of
    the release. For any other change raise the event's class_version and give it an upcaster.
    """
    record = MAPPER.to_domain_event(stored(name, GOLDEN[name]))
    assert json.loads(MAPPER.to_stored_event(record).state) == GOLDEN[name]


def test_the_golden_events_use_every_field() -> None:
    for name, event in EVENTS.items():
        for field, info in type(event).model_fields.items():
            assert info.is_required() or getattr(event, field) != info.default, f"{name}.{field}"


# --- there and back ------------------------------------------------------------------------------------------------


@given(recorded_events(any_event.filter(lambda event: not isinstance(event, Unreadable))))
def test_any_event_comes_back_as_it_went(record: RecordedEvent) -> None:
    made = MAPPER.to_stored_event(record)
    noted = Notification(
        originator_id=made.originator_id,
        originator_version=made.originator_version,
        topic=made.topic,
        state=made.state,
        id=record.position,
    )
    assert MAPPER.to_domain_event(noted) == record


def test_the_name_in_storage_is_the_events_own_and_no_path() -> None:
    assert MAPPER.to_stored_event(recorded(REMARK)).topic == "MessageAppended"


def test_a_body_needs_no_version_as_long_as_there_is_only_one() -> None:
    assert json.loads(MAPPER.to_stored_event(recorded(REMARK)).state) == {
        "id": "event-1",
        "time": "2026-03-14T06:00:01Z",
        "writer": "runner:polaris:4711",
        "attempt": 0,
        "data": {"role": "assistant", "text": "Seven fathoms over the reef."},
    }


def test_times_of_any_zone_and_of_none_are_comparable() -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    moments = [DAWN.astimezone(kolkata), DAWN, DAWN.replace(tzinfo=None)]
    records = [MAPPER.to_domain_event(MAPPER.to_stored_event(recorded(REMARK, time=moment))) for moment in moments]
    assert [record.time for record in records] == [DAWN, DAWN, DAWN]


def test_a_body_may_be_compressed() -> None:
    mapper = EventMapper(JsonTranscoder(), compressor=ZlibCompressor())
    made = mapper.to_stored_event(recorded(REMARK))
    assert made.state.startswith(b"\x78")
    assert mapper.to_domain_event(made).event == REMARK
    assert MAPPER.to_domain_event(made).event == REMARK, "and is read also where nothing is compressed any more"
    assert mapper.to_domain_event(MAPPER.to_stored_event(recorded(REMARK))).event == REMARK, "as one that was not is"


# --- what this version cannot read ---------------------------------------------------------------------------------


def test_an_unknown_name_is_set_aside_with_its_envelope() -> None:
    record = MAPPER.to_domain_event(stored("TideTurned", body_of({"to": "ebb"}, attempt=3)))
    assert record.event == Unreadable(
        name="TideTurned", stored_version=1, reason="this version does not know the event"
    )
    assert (record.id, record.time, record.writer, record.attempt) == ("e1", DAWN, "client", 3)
    assert record.type == "TideTurned"


def test_a_name_that_is_a_module_path_imports_nothing() -> None:
    assert unreadable("os:system", body_of({})).reason == "this version does not know the event"
    assert unreadable("Unreadable", body_of({"name": "x", "reason": "y"})).name == "Unreadable"


def test_a_newer_version_of_an_event_is_set_aside() -> None:
    event = unreadable("MessageAppended", body_of({"text": "?"}, class_version=2))
    assert event.stored_version == 2
    assert event.reason == "it has version 2, this version reads up to 1"


def test_fields_of_a_later_release_are_ignored() -> None:
    data = {"role": "assistant", "text": "Ahoy.", "mood": "cheerful"}
    record = MAPPER.to_domain_event(stored("MessageAppended", body_of(data, hull="blue")))
    assert record.event == REMARK.model_copy(update={"text": "Ahoy."})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "ValueError", id="nothing"),
        pytest.param(b'{"id": "e1", "ti', "ValueError", id="cut short"),
        pytest.param(b"\x00\xff\x00\xff", "ValueError", id="noise"),
        pytest.param(b'{"id": "\\ud83d"}', "ValueError", id="half a character"),
        pytest.param(b"[" * 100_000, "ValueError", id="nested without end"),
        pytest.param([1, 2], "it is not a JSON object", id="a list"),
        pytest.param("a letter", "it is not a JSON object", id="a text"),
        pytest.param({}, "KeyError: 'time'", id="an empty object"),
        pytest.param({"time": "2026-03-14T06:00:00Z"}, "KeyError: 'data'", id="no data"),
        pytest.param(body_of(None), "ValidationError", id="null for data"),
        pytest.param(body_of([]), "ValidationError", id="a list for data"),
        pytest.param(body_of({"text": "Ahoy."}), "role", id="a missing field"),
        pytest.param(body_of({"role": "assistant", "text": 7}), "text", id="a number for a text"),
        pytest.param(body_of({"role": "a", "text": "b"}, time="at dawn"), "at dawn", id="a time in words"),
        pytest.param(body_of({"role": "a", "text": "b"}, time=1773468000), "TypeError", id="a time in seconds"),
        pytest.param(body_of({"role": "a", "text": "b"}, time=None), "TypeError", id="no time"),
        pytest.param(body_of({"role": "a", "text": "b"}, attempt="the third"), "TypeError", id="an attempt in words"),
        pytest.param(body_of({"role": "a", "text": "b"}, attempt=1.5), "TypeError", id="half an attempt"),
        pytest.param(body_of({"role": "a", "text": "b"}, attempt=None), "TypeError", id="no attempt"),
        pytest.param(body_of({"role": "a", "text": "b"}, class_version="new"), "TypeError", id="a version in words"),
        pytest.param(body_of({"role": "a", "text": "b"}, class_version=0), "KeyError", id="a version before the first"),
    ],
)
def test_a_damaged_body_is_set_aside_and_says_why(body: Any, reason: str) -> None:
    event = unreadable("MessageAppended", body)
    assert "its body is damaged" in event.reason
    assert reason in event.reason
    assert len(event.reason) <= 500


def test_a_damaged_body_keeps_what_can_still_be_read_of_its_envelope() -> None:
    record = MAPPER.to_domain_event(stored("MessageAppended", body_of({"text": "no role"}, attempt=3)))
    assert (record.id, record.time, record.writer, record.attempt) == ("e1", DAWN, "client", 3)


@given(st.sampled_from([*EVENT_TYPES, "TideTurned", ""]), st.binary() | st.text().map(str.encode))
def test_no_bytes_are_too_damaged(name: str, state: bytes) -> None:
    record = MAPPER.to_domain_event(stored(name, state))
    assert evolve(None, record).model_dump_json()


@given(
    st.sampled_from([*EVENT_TYPES, "TideTurned"]),
    st.dictionaries(st.sampled_from(["id", "time", "writer", "attempt", "class_version"]), json_values),
    json_values | st.dictionaries(st.sampled_from(["agent", "text", "failure", "report", "kind"]), json_values),
)
def test_no_json_is_too_odd(name: str, envelope: dict[str, Any], data: Any) -> None:
    record = MAPPER.to_domain_event(stored(name, body_of(data) | envelope))
    assert isinstance(record.attempt, int)
    assert record.time.tzinfo is not None
    assert evolve(None, record).model_dump_json()


# --- what has changed its meaning ----------------------------------------------------------------------------------


class TideTurned(Event):
    """An event in its third version: first in feet, then in metres, then with the direction in words."""

    class_version: ClassVar[int] = 3
    metres: float
    direction: str


def to_metres(data: dict[str, Any]) -> dict[str, Any]:
    return {"metres": data["feet"] * 0.3048, "rising": data["rising"]}


def to_words(data: dict[str, Any]) -> dict[str, Any]:
    return {"metres": data["metres"], "direction": "flood" if data["rising"] else "ebb"}


CHAIN: dict[tuple[str, int], Upcaster] = {("TideTurned", 1): to_metres, ("TideTurned", 2): to_words}


@pytest.fixture
def tides(monkeypatch: pytest.MonkeyPatch) -> EventMapper:
    monkeypatch.setitem(EVENT_TYPES, "TideTurned", TideTurned)
    return EventMapper(upcasters=CHAIN)


@pytest.mark.parametrize(
    "body",
    [
        body_of({"feet": 10, "rising": False}),
        body_of({"metres": 3.048, "rising": False}, class_version=2),
        body_of({"metres": 3.048, "direction": "ebb"}, class_version=3),
    ],
)
def test_an_event_of_any_earlier_version_is_read_as_the_latest(tides: EventMapper, body: dict[str, Any]) -> None:
    event: Event = tides.to_domain_event(stored("TideTurned", body)).event
    assert event == TideTurned(metres=3.048, direction="ebb")


def test_a_later_version_is_written_with_its_number(tides: EventMapper) -> None:
    made = tides.to_stored_event(recorded(TideTurned(metres=3.048, direction="ebb")))  # type: ignore[arg-type]
    assert json.loads(made.state)["class_version"] == 3
    event: Event = tides.to_domain_event(made).event
    assert event == TideTurned(metres=3.048, direction="ebb")


@pytest.mark.parametrize("body", [body_of({"feet": "ten"}), body_of({"metres": 3.048}, class_version=2)])
def test_an_upcaster_that_fails_sets_the_event_aside(tides: EventMapper, body: dict[str, Any]) -> None:
    assert "its body is damaged" in unreadable("TideTurned", body, tides).reason


def test_a_gap_in_the_chain_sets_the_event_aside(tides: EventMapper) -> None:
    broken = EventMapper(upcasters={("TideTurned", 2): to_words})
    assert "('TideTurned', 1)" in unreadable("TideTurned", body_of({"feet": 10, "rising": True}), broken).reason


def test_every_event_above_its_first_version_has_a_whole_chain_of_upcasters() -> None:
    needed = {(name, version) for name, kind in EVENT_TYPES.items() for version in range(1, kind.class_version)}
    assert UPCASTERS.keys() == needed

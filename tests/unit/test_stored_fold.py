"""Folding stored events in bulk is the short cut to what `evolve` says, whatever the store holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from eventsourcing.compressor import ZlibCompressor
from hypothesis import given
from hypothesis import strategies as st

from projector.codec import EventMapper, JsonTranscoder
from projector.envelope import RecordedEvent
from projector.events import Unreadable
from projector.execution_status import ExecutionStatus, evolve
from projector.projecting.stored_fold import StatusFold, fold_stored
from projector.stored_row import StoredRow
from tests.histories import SURVEY
from tests.strategies import any_event, events, recorded_events

STEPS = ("MessageAppended", "ToolCallStarted", "ToolCallFinished", "ProgressReported", "HeartbeatRecorded")
PLAIN = EventMapper()

steps = st.one_of(*(events[name] for name in STEPS))
histories = st.lists(
    recorded_events((steps | any_event).filter(lambda event: not isinstance(event, Unreadable))), max_size=14
)


def rows(past: Iterable[RecordedEvent], mapper: EventMapper = PLAIN) -> list[StoredRow]:
    return [
        StoredRow(record.position, record.stream, record.version, stored.topic, stored.state)
        for record in past
        for stored in [mapper.to_stored_event(record)]
    ]


def the_long_way(stored: Iterable[StoredRow], mapper: EventMapper = PLAIN) -> ExecutionStatus | None:
    status: ExecutionStatus | None = None
    for row in stored:
        status = evolve(status, mapper.to_domain_event(row.notification()))
    return status


def text(status: ExecutionStatus | None) -> str:
    return status.model_dump_json() if status else ""


@given(histories)
def test_the_short_cut_and_the_long_way_end_at_the_same_status(past: list[RecordedEvent]) -> None:
    stored = rows(past)
    assert text(fold_stored(PLAIN, None, stored)) == text(the_long_way(stored))


@given(histories, st.integers(min_value=0, max_value=14))
def test_it_may_be_asked_for_the_status_at_any_time(past: list[RecordedEvent], cut: int) -> None:
    stored = rows(past)
    fold = StatusFold(PLAIN)
    for row in stored[:cut]:
        fold.take(row)
    assert text(fold.status()) == text(the_long_way(stored[:cut]))
    for row in stored[cut:]:
        fold.take(row)
    assert text(fold.status()) == text(the_long_way(stored))


@given(histories, st.data())
def test_a_damaged_body_is_as_unreadable_on_either_way(past: list[RecordedEvent], data: st.DataObject) -> None:
    stored = rows(past)
    if stored:
        place = data.draw(st.integers(min_value=0, max_value=len(stored) - 1))
        stored[place] = stored[place]._replace(state=data.draw(damaged(stored[place].state)))
    assert text(fold_stored(PLAIN, None, stored)) == text(the_long_way(stored))


def damaged(state: bytes) -> st.SearchStrategy[bytes]:
    def cut(at: int) -> bytes:
        return state[:at]

    def meddled(path: tuple[str, ...], value: Any) -> bytes:
        body = json.loads(state)
        inner = body
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        return json.dumps(body).encode()

    body = json.loads(state)
    paths = [(key,) for key in body] + [("data", key) for key in body["data"]] + [("class_version",), ("data", "new")]
    odd: st.SearchStrategy[object] = st.sampled_from(
        [None, 7, -1, True, 1.5, "", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00+02:00", [], {}, 2**70]
    )
    return st.builds(cut, st.integers(min_value=0, max_value=len(state))) | st.builds(
        meddled, st.sampled_from(paths), odd
    )


@pytest.mark.parametrize("topic", [*STEPS, "ExecutionFailed", "FromTheFuture"])
def test_an_event_this_version_does_not_know_is_counted_on_either_way(topic: str) -> None:
    stored = [
        StoredRow(1, f"execution/{SURVEY}", 1, topic, b"{}"),
        StoredRow(
            2,
            f"execution/{SURVEY}",
            2,
            topic,
            b'{"id":"x","time":"2026-01-01T00:00:00Z","writer":"w","attempt":1,"class_version":9,"data":{}}',
        ),
    ]
    status = fold_stored(PLAIN, None, stored)
    assert status is not None
    assert status.unreadable_events == 2
    assert text(status) == text(the_long_way(stored))


@given(histories)
def test_compressed_bodies_are_folded_too(past: list[RecordedEvent]) -> None:
    mapper = EventMapper(JsonTranscoder(), compressor=ZlibCompressor())
    stored = rows(past, mapper)
    assert text(fold_stored(mapper, None, stored)) == text(the_long_way(stored, mapper))

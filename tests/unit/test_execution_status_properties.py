"""The aggregate, whatever happens: total, absorbing, bounded, and the same however a history is cut."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.envelope import RecordedEvent
from projector.events import (
    EVENT_TYPES,
    AnyEvent,
    ConditionKind,
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRetried,
)
from projector.execution_status import NAME_PREVIEW, ExecutionStatus, Phase, evolve, fold
from projector.failures import ErrorReport
from tests.histories import SURVEY, recorded, verdict
from tests.strategies import any_event, events, recorded_events

histories = st.lists(recorded_events(), min_size=1, max_size=12)
ends = recorded_events(events["ExecutionCompleted"] | events["ExecutionFailed"] | events["ExecutionCancelled"])


@given(histories)
def test_any_events_in_any_order_give_a_status(past: list[RecordedEvent]) -> None:
    status = fold(None, past)
    assert status is not None
    assert (status.failure is not None) is (status.phase is Phase.FAILED)
    assert (status.finished_at is not None) is status.phase.is_terminal
    assert (status.version, status.position) == (past[-1].version, past[-1].position)


@given(histories)
def test_a_status_goes_through_json_unchanged(past: list[RecordedEvent]) -> None:
    status = fold(None, past)
    assert status is not None
    assert ExecutionStatus.model_validate_json(status.model_dump_json()) == status


@given(histories, st.integers(min_value=0, max_value=12))
def test_any_split_of_a_history_folds_to_the_same_status(past: list[RecordedEvent], cut: int) -> None:
    assert fold(fold(None, past[:cut]), past[cut:]) == fold(None, past)


@given(histories, st.integers(min_value=0, max_value=12))
def test_a_status_that_was_stored_between_goes_on_as_if_it_had_not_been(past: list[RecordedEvent], cut: int) -> None:
    half = fold(None, past[:cut])
    restored = ExecutionStatus.model_validate_json(half.model_dump_json()) if half else None
    assert fold(restored, past[cut:]) == fold(None, past)


@given(st.lists(recorded_events(), max_size=5), ends, st.lists(recorded_events(), min_size=1, max_size=5))
def test_the_end_absorbs_whatever_follows(
    past: list[RecordedEvent], end: RecordedEvent, late: list[RecordedEvent]
) -> None:
    ended = fold(None, [*past, end])
    after = fold(ended, late)
    assert ended is not None and after is not None
    assert ended.phase.is_terminal
    place = {"version": late[-1].version, "position": late[-1].position}
    # A retry is no word from a latecomer: it is linked, and is all that may still change.
    links = [record.event.retried_as for record in late if isinstance(record.event, ExecutionRetried)]
    linked = {"retried_as": links[-1][:NAME_PREVIEW]} if links else {}
    counted = {"late_events": ended.late_events + len(late) - len(links)}
    assert after == ended.model_copy(update={**place, **counted, **linked})


@given(histories)
def test_no_phase_ever_goes_back(past: list[RecordedEvent]) -> None:
    rank = {Phase.PENDING: 0, Phase.IN_PROGRESS: 1, Phase.COMPLETED: 2, Phase.FAILED: 2, Phase.CANCELLED: 2}
    status, phases = None, [Phase.PENDING]
    for record in past:
        status = evolve(status, record)
        phases.append(status.phase)
    for before, after in itertools.pairwise(phases):
        assert after is before or (rank[after] > rank[before])


@given(histories, recorded_events())
def test_folding_leaves_the_status_before_it_as_it_was(past: list[RecordedEvent], event: RecordedEvent) -> None:
    before = fold(None, past)
    assert before is not None
    copy = ExecutionStatus.model_validate_json(before.model_dump_json())
    evolve(before, event)
    assert before == copy


@given(recorded_events(stream="runner/polaris:4711") | recorded_events(stream="something/else"))
def test_even_an_event_of_a_stranger_gives_a_status(event: RecordedEvent) -> None:
    assert evolve(None, event).execution_id == event.stream


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
@given(data=st.data())
def test_every_kind_of_event_can_be_the_first(name: str, data: st.DataObject) -> None:
    event = data.draw(recorded_events(events[name]))
    status = evolve(None, event)
    assert status.execution_id == SURVEY
    assert status.last_event == name


@given(any_event)
def test_folding_an_event_is_pure(event: AnyEvent) -> None:
    one, two = (evolve(None, recorded(event)) for _ in range(2))
    assert one == two


# --- its size ------------------------------------------------------------------------------------------------------

LARGEST_STATUS = 256 * 1024
"""No status may be larger than this many bytes of JSON, whatever its history: a few events of 64 KiB at most."""


def _huge(kind: type[Event]) -> AnyEvent:
    """An event of this kind that is as large as its writer could make it."""
    text = '\N{WHALE} soundings \\" ' * 20_000
    heap = {f"cast {number}": text for number in range(40)}
    fields = {name: field.annotation for name, field in kind.model_fields.items() if name != "truncated"}
    filled: dict[str, Any] = {}
    for name, annotation in fields.items():
        if annotation in (str, str | None):
            filled[name] = text
        elif annotation is Any:
            filled[name] = heap
        elif annotation == tuple[str, ...]:
            filled[name] = (text,) * 50
        elif annotation is ErrorReport:
            filled[name] = ErrorReport(type=text, message=text, stack=text, notes=(text,) * 50)
        elif annotation == ConditionKind:
            filled[name] = ConditionKind.STALLED
        elif annotation is int:
            filled[name] = 2**63 - 1
    if kind is ExecutionFailed:
        filled["failure"] = verdict(message=text).model_copy(update={"evidence": (text,) * 50, "stack": text})
    made: AnyEvent = kind(**filled)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("left_out", [(), ("ToolCallFinished", "AttemptStarted", "ConditionCleared")])
def test_thousands_of_huge_events_leave_a_status_of_bounded_size(left_out: tuple[str, ...]) -> None:
    door = Hygiene(Redactor())
    admitted = [door.admit(_huge(kind)) for name, kind in EVENT_TYPES.items() if name not in left_out]
    ends = (ExecutionCompleted, ExecutionFailed, ExecutionCancelled)
    others = [event for event in admitted if not isinstance(event, ends)]
    status: ExecutionStatus | None = None
    sizes = []
    for version in range(1, 5001):
        status = evolve(status, recorded(others[version % len(others)], version))
        if version in (500, 5000):
            sizes.append(len(status.model_dump_json()))
    assert status is not None and status.version == 5000
    for end in admitted:
        if isinstance(end, ends):
            sizes.append(len(evolve(status, recorded(end, 5001)).model_dump_json()))
    assert max(sizes) <= LARGEST_STATUS
    assert sizes[1] <= sizes[0] + 100, "ten times as many events must not make it larger, but for a few digits"

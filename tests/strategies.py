"""Hypothesis strategies for whatever may happen to an execution, made from the events' own fields.

An event that is added to the union is generated here without anybody remembering it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from projector.catalogue import Code
from projector.envelope import RecordedEvent
from projector.events import EVENT_TYPES, AnyEvent, ConditionKind, Timeouts, Unreadable
from projector.failures import Cause, ErrorKind, ErrorReport, Failure, Truncation
from tests.histories import DAWN, SURVEY

texts = st.text(max_size=40) | st.sampled_from(["", " ", "call-1", "\x1b[2J", "NaN", "{cause}", "\N{WHALE}" * 300])
"""Texts as they are behind the door: bounded, without lone surrogates."""

numbers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
times = st.floats(0, 1e9).map(lambda seconds: DAWN + timedelta(seconds=seconds))

_BY_ANNOTATION: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: numbers,
    float: finite,
    bool: st.booleans(),
    Any: json_values,
    str | None: st.none() | texts,
    int | None: st.none() | numbers,
    float | None: st.none() | finite,
    tuple[str, ...]: st.lists(texts, max_size=3).map(tuple),
    ConditionKind: st.sampled_from(list(ConditionKind)),
    ErrorKind: st.sampled_from(["agent", "provider", "system", "result", "mismatch", "shutdown", "cancelled"]),
    Timeouts: st.just(Timeouts()),
}


def _of(kind: type[BaseModel], /, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A model with every field filled."""
    fields = {name: _BY_ANNOTATION[field.annotation] for name, field in kind.model_fields.items() if name not in fixed}
    return st.builds(kind, **fields, **fixed)


causes: st.SearchStrategy[Cause] = _of(Cause)
_BY_ANNOTATION[tuple[Truncation, ...]] = st.lists(_of(Truncation), max_size=1).map(tuple)
_BY_ANNOTATION[tuple[Cause, ...]] = st.lists(causes, max_size=3).map(tuple)
_BY_ANNOTATION[Cause | None] = st.none() | causes
reports: st.SearchStrategy[ErrorReport] = _of(ErrorReport)
_BY_ANNOTATION[ErrorReport] = reports
_BY_ANNOTATION[ErrorReport | None] = st.none() | reports
_BY_ANNOTATION[Failure] = _of(Failure, code=st.sampled_from([code.value for code in Code]))

_UNREADABLE: st.SearchStrategy[AnyEvent] = _of(Unreadable)

events: dict[str, st.SearchStrategy[Any]] = {name: _of(kind) for name, kind in EVENT_TYPES.items()}
"""For each name in storage, any event of it."""

any_event: st.SearchStrategy[AnyEvent] = st.one_of(*events.values()) | _UNREADABLE


def models(kind: type[BaseModel], /, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any instance of another model whose fields are of the kinds that events have."""
    return _of(kind, **fixed)


def recorded_events(
    event: st.SearchStrategy[AnyEvent] = any_event, stream: str = f"execution/{SURVEY}"
) -> st.SearchStrategy[RecordedEvent]:
    """Any event under any envelope: no version, position or attempt is too odd."""
    return st.builds(
        RecordedEvent,
        stream=st.just(stream),
        version=numbers,
        position=numbers,
        id=texts,
        time=times,
        writer=texts,
        attempt=numbers,
        event=event,
    )

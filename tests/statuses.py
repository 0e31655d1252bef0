"""Given a history, when one more event comes: words for the tests of the aggregate."""

from __future__ import annotations

from typing import Any

from projector.events import AnyEvent, ExecutionCancelled, Unreadable
from projector.execution_status import ExecutionStatus, evolve, fold
from tests.histories import REQUESTED, history, recorded

CANCELLED = ExecutionCancelled(reason="the weather turned")
UNREADABLE = Unreadable(name="TideTurned", stored_version=2, reason="this version does not know the event")
IDENTITY = {"version", "position", "last_event", "last_event_at"}


def given_history(*past: AnyEvent) -> ExecutionStatus:
    """What a history amounts to."""
    status = fold(None, history(*past))
    assert status is not None
    return status


def changed_by(event: AnyEvent, *past: AnyEvent) -> dict[str, Any]:
    """What one more event changes, its own place in the history left out."""
    before = given_history(*past)
    after = evolve(before, recorded(event, before.version + 1, attempt=1))
    return {
        name: getattr(after, name)
        for name in ExecutionStatus.model_fields
        if getattr(after, name) != getattr(before, name) and name not in IDENTITY
    }


def at(version: int) -> Any:
    """The time of an event of a history."""
    return recorded(REQUESTED, version).time

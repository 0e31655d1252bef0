"""What a decision needs of a history, however long that is: the status, what is no agent's step, and the latest events.

An agent may leave a hundred thousand messages; the few events around them are what a verdict rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from projector.engines.ports import StoreEngine
from projector.envelope import RecordedEvent, execution_stream
from projector.execution_status import ExecutionStatus, fold
from projector.repository import ExecutionRepository

LATEST: Final = 500
"""How many of the last events are read whatever they are; shorter histories are read whole."""


@dataclass(frozen=True, slots=True)
class Landmarks:
    """`records` are in order of version, and the last of them is the one that led to `status`."""

    status: ExecutionStatus | None
    records: tuple[RecordedEvent, ...]


def landmarks(store: StoreEngine, execution_id: str) -> Landmarks:
    """The landmarks of an execution as of now; nothing for one that is not there. Raises StoreError, InputRejected."""
    stream = execution_stream(execution_id)
    version = store.version(stream)
    if version <= LATEST:
        records = store.read(stream)
        return Landmarks(fold(None, records), tuple(records))
    status = ExecutionRepository(store).get(execution_id)
    first_of_latest = status.version - LATEST
    rows = [
        *store.read_landmarks(stream, upto=first_of_latest),
        *store.read_stored(stream, after=first_of_latest, upto=status.version, limit=LATEST),
    ]
    return Landmarks(status, tuple(store.mapper.to_domain_event(row.notification()) for row in rows))

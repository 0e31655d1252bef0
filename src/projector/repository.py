"""The aggregates by id: the eventsourcing library's repository over our store.

A status is immutable, so the repository's cache hands it out as it is and only folds what came since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.persistence import EventStore as LibraryEventStore

from projector.engines.sqlite import SqliteEventStore
from projector.envelope import RecordedEvent, execution_stream
from projector.errors import ExecutionNotFound
from projector.execution_status import ExecutionStatus, fold

CACHED: Final = 1000
"""How many statuses a process keeps at hand."""


class ExecutionRepository:
    """Statuses folded from the store itself, as of now or as of any version."""

    def __init__(self, store: SqliteEventStore) -> None:
        self._repository: Repository[str] = Repository(
            LibraryEventStore(store.mapper, store.recorder),
            cache_maxsize=CACHED,
            deepcopy_from_cache=False,
        )

    def get(self, execution_id: str, version: int | None = None) -> ExecutionStatus:
        """The status now, or as it was after the event of this version (the last one when it is beyond the end).

        Raises ExecutionNotFound, InputRejected for a malformed id, StoreError.
        """
        try:
            status: ExecutionStatus = self._repository.get(
                execution_stream(execution_id), version=version, projector_func=cast("Any", _project)
            )
            return status
        except AggregateNotFoundError:
            raise ExecutionNotFound(execution_id) from None

    def find(self, execution_id: str) -> ExecutionStatus | None:
        """The status now, or None."""
        try:
            return self.get(execution_id)
        except ExecutionNotFound:
            return None


def _project(status: ExecutionStatus | None, history: Iterable[RecordedEvent]) -> ExecutionStatus | None:
    return fold(status, history)

"""The aggregates by id, as of now or as of any version, at a cost that does not grow with their history.

A status is immutable, so the library's cache hands it out as it is, and only what came since is folded. A process that
sees a long execution for the first time begins with its row in the query tables: a snapshot, which is taken only if
this version of the fold has made it, and which may be missing at any time. History is read in pages, each in a short
transaction of its own. The library's own Repository is not used: it reads a history in one piece, and when aggregates
are immutable it folds what is new on top of a cached one without keeping what came of it.
"""

from __future__ import annotations

import threading
from typing import Final

from eventsourcing.application import LRUCache

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.errors import ExecutionNotFound
from projector.execution_status import FOLD_VERSION, ExecutionStatus
from projector.projecting.stored_fold import StatusFold
from projector.projections.executions import SELECT_SNAPSHOT, status_of

CACHED: Final = 1000
"""How many statuses a process keeps at hand."""
PAGE: Final = 2000
WORTH_A_SNAPSHOT: Final = 1000
"""Shorter histories are folded whole: it takes some 2 ms, and needs no trust in a row."""


class ExecutionRepository:
    """Statuses folded from the store itself. May be used from several threads."""

    def __init__(self, store: StoreEngine) -> None:
        self._store = store
        self._cache: LRUCache[str, ExecutionStatus] = LRUCache(maxsize=CACHED)
        self._lock = threading.Lock()

    def get(self, execution_id: str, version: int | None = None) -> ExecutionStatus:
        """The status now, or as it was after the event of this version (the last one when it is beyond the end).

        Raises ExecutionNotFound, InputRejected for a malformed id, StoreError.
        """
        stream = execution_stream(execution_id)
        status = self._folded(stream, self._beginning(execution_id, version), version)
        if status is None:
            raise ExecutionNotFound(execution_id)
        if version is None:
            with self._lock:
                self._cache.put(execution_id, status)
        return status

    def find(self, execution_id: str, version: int | None = None) -> ExecutionStatus | None:
        """The same, or None."""
        try:
            return self.get(execution_id, version)
        except ExecutionNotFound:
            return None

    def _beginning(self, execution_id: str, version: int | None) -> ExecutionStatus | None:
        """The newest status at hand that is not beyond the version."""
        with self._lock:
            try:
                held = self._cache.get(execution_id)
            except KeyError:
                held = None
        if held is not None and (version is None or held.version <= version):
            return held
        stream = execution_stream(execution_id)
        if self._store.version(stream) < WORTH_A_SNAPSHOT:
            return None
        with self._store.database.transaction(commit=False) as cursor:
            cursor.execute(SELECT_SNAPSHOT, (execution_id, FOLD_VERSION, stream))
            row = cursor.fetchone()
        held = status_of(row[0]) if row else None
        return held if held is not None and (version is None or held.version <= version) else None

    def _folded(self, stream: str, status: ExecutionStatus | None, upto: int | None) -> ExecutionStatus | None:
        fold = StatusFold(self._store.mapper, status)
        version = status.version if status else 0
        while rows := self._store.read_stored(stream, after=version, upto=upto, limit=PAGE):
            for row in rows:
                fold.take(row)
            version = rows[-1].version
            if len(rows) < PAGE:
                break
        return fold.status()

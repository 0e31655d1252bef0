"""The projector's loop: tail the store, fold a batch, write rows and position in one transaction.

Several projectors may run on one store: each batch checks, under the write lock, that the tables are where it thinks
they are, and otherwise starts again from where they really are. An event that breaks the fold of its stream parks that
stream, visibly, and nothing else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from eventsourcing.sqlite import SQLiteCursor

from projector.engines.sqlite_datastore import Datastore
from projector.envelope import RUNNER_STREAMS, RecordedEvent, execution_id_of
from projector.errors import StoreError
from projector.event_store import EventStore
from projector.events import ConditionKind
from projector.execution_status import Condition, ExecutionStatus, evolve
from projector.projections import failure_groups, runners
from projector.projections.tables import Changes, QueryTables

BATCH: Final = 500
CACHED: Final = 10_000
_LONGEST_PAUSE: Final = 5.0

log = structlog.get_logger("projector")


class ProjectionRunner:
    """Brings the query tables of one database up to the head of the store, and keeps them there."""

    def __init__(self, store: EventStore, datastore: Datastore, *, batch: int = BATCH) -> None:
        """`datastore` holds the query tables: the store's own file, or another for a rebuild."""
        self._store = store
        self._tables = QueryTables(datastore)
        self._batch = batch
        self._known: tuple[int, int] | None = None
        self._statuses: OrderedDict[str, ExecutionStatus] = OrderedDict()
        self._parked: set[str] = set()

    @property
    def position(self) -> int:
        """How far the tables are, as this runner last saw it."""
        return self._known[0] if self._known else 0

    def run(self, stopping: threading.Event, *, poll_interval: float = 0.05) -> None:
        """Project until `stopping` is set; look for new events every `poll_interval` seconds.

        A store that cannot serve, or any other trouble, is said once and tried again with growing pauses.
        """
        pause = poll_interval
        while not stopping.is_set():
            try:
                done = self.step()
            except Exception as error:  # whatever it is, a projector that has silently ended helps nobody
                if pause == poll_interval:
                    log.error("the projector waits and tries again", reason=f"{type(error).__name__}: {error}")
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._known = None
                stopping.wait(pause)
                continue
            pause = poll_interval
            if not done:
                stopping.wait(poll_interval)

    def catch_up(self, upto: int | None = None) -> int:
        """Project until there is nothing more, or until `upto`; returns the position reached."""
        while self.step(upto):
            pass
        return self.position

    def step(self, upto: int | None = None) -> int:
        """Project one batch; returns how many events it took. Raises StoreError."""
        if self._known is None:
            self._look()
        records = self._store.tail(after=self.position, limit=self._batch)
        if upto is not None:
            records = [record for record in records if record.position <= upto]
        if not records:
            return 0
        known = self._known
        try:
            self._project(records, self._fold_all)
        except StoreError:
            raise
        except Exception:  # one row that cannot be written must not stop the others: find it and park it
            self._known = known
            self._project(records, self._fold_one_by_one)
        return len(records)

    def _look(self) -> None:
        with self._tables.datastore.transaction(commit=False) as cursor:
            self._known = self._tables.progress(cursor)
            self._parked = self._tables.parked_streams(cursor)
        self._statuses.clear()

    def _project(
        self, records: Sequence[RecordedEvent], fold: Callable[[SQLiteCursor, Sequence[RecordedEvent]], Changes]
    ) -> None:
        known, self._known = self._known, None
        with self._tables.datastore.transaction(commit=True) as cursor:
            if self._tables.progress(cursor) != known:
                return  # another projector or a rebuild moved the tables; the next step looks again
            changes = fold(cursor, records)
            self._tables.advance(cursor, records[-1].position)
        self._known = (records[-1].position, known[1] if known else 0)
        self._parked |= changes.parked.keys()
        for execution_id, status in changes.statuses.items():
            self._statuses[execution_id] = status
            self._statuses.move_to_end(execution_id)
        while len(self._statuses) > CACHED:
            self._statuses.popitem(last=False)

    def _fold_all(self, cursor: SQLiteCursor, records: Sequence[RecordedEvent]) -> Changes:
        changes = Changes()
        for record in records:
            self._fold(cursor, record, changes)
        self._tables.write(cursor, changes)
        return changes

    def _fold_one_by_one(self, cursor: SQLiteCursor, records: Sequence[RecordedEvent]) -> Changes:
        """Each record folded and written on its own, so that one whose row is refused is found."""
        total = Changes()
        self._statuses.clear()  # within this transaction the table is what knows
        for record in records:
            changes = Changes(parked=dict(total.parked))
            cursor.execute("SAVEPOINT record")
            try:
                self._fold(cursor, record, changes)
                self._tables.write(cursor, changes)
            except Exception as error:
                cursor.execute("ROLLBACK TO record")
                changes = Changes()
                self._park(cursor, record, error, changes)
                self._tables.write(cursor, changes)
            cursor.execute("RELEASE record")
            total.statuses |= changes.statuses
            total.parked |= changes.parked
        return total

    def _fold(self, cursor: SQLiteCursor, record: RecordedEvent, changes: Changes) -> None:
        if record.stream in self._parked or record.stream in changes.parked:
            return
        try:
            if (execution_id := execution_id_of(record.stream)) is not None:
                self._fold_execution(cursor, execution_id, record, changes)
            elif record.stream.startswith(RUNNER_STREAMS):
                runner_id = record.stream.removeprefix(RUNNER_STREAMS)
                held = changes.runners.get(runner_id) or self._tables.runner(cursor, runner_id)
                if held is None or record.position > held.position:
                    changes.runners[runner_id] = runners.fold(held, record)
        except StoreError:
            raise
        except Exception as error:
            self._park(cursor, record, error, changes)

    def _fold_execution(self, cursor: SQLiteCursor, execution_id: str, record: RecordedEvent, changes: Changes) -> None:
        before = self._status(cursor, execution_id, changes)
        if before is not None and record.position <= before.position:
            return
        after = evolve(before, record)
        failure = failure_groups.failure_that_ended(before, after)
        if failure is not None:
            key = failure_groups.key(failure)
            group = changes.groups.get(key) or self._tables.group(cursor, key)
            changes.groups[key] = failure_groups.fold(group, after, failure)
        changes.statuses[execution_id] = after

    def _status(self, cursor: SQLiteCursor, execution_id: str, changes: Changes) -> ExecutionStatus | None:
        held = changes.statuses.get(execution_id) or self._statuses.get(execution_id)
        return held or self._tables.status(cursor, execution_id)

    def _park(self, cursor: SQLiteCursor, record: RecordedEvent, error: Exception, changes: Changes) -> None:
        reason = f"the projector could not take event {record.version} ({record.type}): {type(error).__name__}: {error}"
        log.error("stream parked", stream=record.stream, position=record.position, reason=reason)
        changes.parked[record.stream] = (record.position, reason)
        execution_id = execution_id_of(record.stream)
        status = self._status(cursor, execution_id, changes) if execution_id else None
        if execution_id and status is not None:
            parked = Condition(kind=ConditionKind.DEGRADED, reason=reason, since=record.time)
            changes.statuses[execution_id] = status.model_copy(update={"conditions": (*status.conditions, parked)})

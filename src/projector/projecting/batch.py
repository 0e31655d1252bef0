"""One batch of events on its way into the query tables: what it changes there, folded in memory.

An event that breaks the fold of its stream parks that stream, visibly, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from projector.codec import EventMapper
from projector.engines.ports import Cursor
from projector.envelope import RUNNER_STREAMS, RecordedEvent, execution_id_of
from projector.errors import StoreError
from projector.events import ConditionKind
from projector.execution_status import Condition, ExecutionStatus
from projector.projecting.stored_fold import StatusFold
from projector.projections import failure_groups, runners
from projector.projections.tables import Changes, QueryTables
from projector.stored_row import StoredRow

_FAILED = "ExecutionFailed"


class Batch:
    """Folds events on top of what the tables hold. Lives within one transaction, whose cursor it takes."""

    def __init__(
        self,
        cursor: Cursor,
        tables: QueryTables,
        mapper: EventMapper,
        *,
        at_hand: Mapping[str, ExecutionStatus],
        parked: Iterable[str],
    ) -> None:
        """`at_hand` are statuses that are known without asking the tables; `parked` streams are passed over."""
        self._cursor = cursor
        self._tables = tables
        self._mapper = mapper
        self._at_hand = at_hand
        self._skipped = set(parked)
        self._folds: dict[str, StatusFold] = {}
        self._changes = Changes()

    def take(self, row: StoredRow) -> None:
        """Fold one event. Raises StoreError; anything else that goes wrong parks the stream."""
        position, stream, _, topic, _ = row
        try:
            fold = self._folds.get(stream)
            if fold is None:
                fold = self._begun(row)
                if fold is None:
                    return
            if position <= fold.position:
                return
            if topic != _FAILED:
                fold.take(row)
            else:
                self._take_failure(fold, row)
        except StoreError:
            raise
        except Exception as error:
            self.park(row, error)

    def _begun(self, row: StoredRow) -> StatusFold | None:
        """The fold of an execution whose first event in this batch this is; None when it is nothing of the kind."""
        stream = row.stream
        if stream in self._skipped:
            return None
        if (execution_id := execution_id_of(stream)) is not None:
            fold = self._folds[stream] = StatusFold(self._mapper, self._held(execution_id))
            return fold
        if stream.startswith(RUNNER_STREAMS):
            self._take_of_runner(self._mapper.to_domain_event(row.notification()))
        return None

    def _take_failure(self, fold: StatusFold, row: StoredRow) -> None:
        before = fold.status()
        fold.take(row)
        after = fold.status()
        failure = failure_groups.failure_that_ended(before, after) if after else None
        if after and failure:
            key = failure_groups.key(failure)
            group = self._changes.groups.get(key) or self._tables.group(self._cursor, key)
            self._changes.groups[key] = failure_groups.fold(group, after, failure)

    def _take_of_runner(self, record: RecordedEvent) -> None:
        runner_id = record.stream.removeprefix(RUNNER_STREAMS)
        held = self._changes.runners.get(runner_id) or self._tables.runner(self._cursor, runner_id)
        if held is None or record.position > held.position:
            self._changes.runners[runner_id] = runners.fold(held, record)

    def _held(self, execution_id: str) -> ExecutionStatus | None:
        return self._at_hand.get(execution_id) or self._tables.status(self._cursor, execution_id)

    def park(self, row: StoredRow, error: Exception) -> None:
        """Let the stream of this event stand still from here on, and say so on its execution."""
        reason = f"the projector could not take event {row.version} ({row.topic}): {type(error).__name__}: {error}"
        self._skipped.add(row.stream)
        self._changes.parked[row.stream] = (row.position, reason)
        execution_id = execution_id_of(row.stream)
        if execution_id is None:
            return
        fold = self._folds.pop(row.stream, None)
        status = fold.status() if fold else self._held(execution_id)
        if status is not None:
            time = self._mapper.to_domain_event(row.notification()).time
            parked = Condition(kind=ConditionKind.DEGRADED, reason=reason, since=time)
            self._changes.statuses[execution_id] = status.model_copy(
                update={"conditions": (*status.conditions, parked)}
            )

    def changes(self) -> Changes:
        """What all that was taken changes."""
        for fold in self._folds.values():
            if (status := fold.status()) is not None:
                self._changes.statuses[status.execution_id] = status
        return self._changes

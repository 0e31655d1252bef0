"""The query tables of one database and how far they are: rows and position change in one transaction.

The position is kept by the eventsourcing library's tracking recorder. A second row of its table counts the rebuilds,
so that a running projector notices that the rows under it were exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from eventsourcing.persistence import Tracking
from eventsourcing.sqlite import SQLiteCursor, SQLiteTrackingRecorder

from projector.execution_status import ExecutionStatus
from projector.projections import executions, failure_groups, parked, runners
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner

PROJECTOR: Final = "projector"
REBUILDS: Final = "projector.rebuilds"
QUERY_TABLES: Final = ("executions", "failure_groups", "runners", "parked")


@dataclass(slots=True)
class Changes:
    """What a batch of events changes in the query tables."""

    statuses: dict[str, ExecutionStatus] = field(default_factory=dict)
    groups: dict[tuple[str, str], FailureGroup] = field(default_factory=dict)
    runners: dict[str, Runner] = field(default_factory=dict)
    parked: dict[str, tuple[int, str]] = field(default_factory=dict)


class QueryTables(SQLiteTrackingRecorder):
    """The tables of all projections. Methods take the cursor of a transaction that the caller holds."""

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            *executions.CREATE,
            *failure_groups.CREATE,
            *runners.CREATE,
            *parked.CREATE,
        ]

    def create_table(self) -> None:
        """Make the tables if they are missing; safe while other processes do the same."""
        with self.datastore.transaction(commit=True) as cursor:
            # The library's own way looks for the table first and migrates it later, which two processes at once
            # cannot survive.
            for statement in self.construct_create_table_statements():
                cursor.execute(statement)

    def progress(self, cursor: SQLiteCursor) -> tuple[int, int]:
        """(position, number of rebuilds)."""
        return self._max_tracking_id(PROJECTOR, cursor) or 0, self._max_tracking_id(REBUILDS, cursor) or 0

    def advance(self, cursor: SQLiteCursor, position: int) -> None:
        """Record that every event up to this position is in the tables."""
        self._insert_tracking(cursor, Tracking(PROJECTOR, position))

    def status(self, cursor: SQLiteCursor, execution_id: str) -> ExecutionStatus | None:
        """The status that the table holds."""
        state = _first(cursor, executions.SELECT_STATUS, (execution_id,))
        return executions.status_of(state) if state else None

    def group(self, cursor: SQLiteCursor, key: tuple[str, str]) -> FailureGroup | None:
        """The failure group that the table holds."""
        cursor.execute(failure_groups.SELECT, key)
        row = cursor.fetchone()
        return FailureGroup(**dict(row)) if row else None

    def runner(self, cursor: SQLiteCursor, runner_id: str) -> Runner | None:
        """The runner that the table holds."""
        state = _first(cursor, runners.SELECT, (runner_id,))
        return runners.runner_of(state) if state else None

    def parked_streams(self, cursor: SQLiteCursor) -> set[str]:
        """The streams that stand still."""
        cursor.execute(parked.SELECT)
        return {row[0] for row in cursor.fetchall()}

    def write(self, cursor: SQLiteCursor, changes: Changes) -> None:
        """Write the changed rows."""
        _write(cursor, executions.UPSERT, map(executions.row, changes.statuses.values()))
        _write(cursor, failure_groups.UPSERT, map(failure_groups.row, changes.groups.values()))
        _write(cursor, runners.UPSERT, map(runners.row, changes.runners.values()))
        _write(cursor, parked.INSERT, ((stream, *why) for stream, why in changes.parked.items()))


def _first(cursor: SQLiteCursor, statement: str, parameters: tuple[Any, ...]) -> Any:
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    return row[0] if row else None


def _write(cursor: SQLiteCursor, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    if made := list(rows):
        cursor.executemany(statement, made)

"""The query tables of one database and how far they are: rows and position change in one transaction.

The position stands in a table of the eventsourcing library's tracking recorder. A second row of it counts the rebuilds,
so that a running projector notices that the rows under it were exchanged. A third says which version of the fold made
the rows: those of another are not folded on, nor taken for snapshots, but made anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from projector.engines.ports import Cursor
from projector.execution_status import FOLD_VERSION, ExecutionStatus
from projector.projections import executions, failure_groups, parked, runners
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner
from projector.projections.statements import upsert

PROJECTOR: Final = "projector"
REBUILDS: Final = "projector.rebuilds"
FOLD: Final = "projector.fold"
QUERY_TABLES: Final = ("executions", "failure_groups", "runners", "parked")

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS tracking (
        application_name TEXT,
        notification_id BIGINT,
        PRIMARY KEY (application_name)
    ) WITHOUT ROWID
    """,
    *executions.CREATE,
    *failure_groups.CREATE,
    *runners.CREATE,
    *parked.CREATE,
)
"""All tables, in the words that the engines share."""

SELECT_PROGRESS: Final = "SELECT application_name, notification_id FROM tracking WHERE application_name IN (?, ?, ?)"
DROP: Final = "DROP TABLE IF EXISTS {table}"
SET_PROGRESS: Final = upsert("tracking", ("application_name",), ("application_name", "notification_id"))


class Progress(NamedTuple):
    """How far the tables are, how often they were rebuilt, and which version of the fold made their rows."""

    position: int
    rebuilds: int
    fold_version: int

    @property
    def is_outdated(self) -> bool:
        """Whether another version of the fold made the rows."""
        return self.position > 0 and self.fold_version != FOLD_VERSION

    @property
    def are_unmarked(self) -> bool:
        """Whether they hold nothing yet, so that nobody has noted who made them."""
        return self.position == 0 and self.fold_version != FOLD_VERSION


@dataclass(slots=True)
class Changes:
    """What a batch of events changes in the query tables."""

    statuses: dict[str, ExecutionStatus] = field(default_factory=dict)
    groups: dict[tuple[str, str], FailureGroup] = field(default_factory=dict)
    runners: dict[str, Runner] = field(default_factory=dict)
    parked: dict[str, tuple[int, str]] = field(default_factory=dict)


class QueryTables:
    """The tables of all projections. Methods take the cursor of a transaction that the caller holds."""

    def __init__(self, projector: str = PROJECTOR) -> None:
        """`projector` is whose position it is: the projector's, or that of a part of a rebuild."""
        self._projector = projector

    def progress(self, cursor: Cursor) -> Progress:
        """How far they are."""
        cursor.execute(SELECT_PROGRESS, (self._projector, REBUILDS, FOLD))
        known = {row[0]: int(row[1]) for row in cursor.fetchall()}
        return Progress(known.get(self._projector, 0), known.get(REBUILDS, 0), known.get(FOLD, 0))

    def advance(self, cursor: Cursor, known: Progress, position: int) -> Progress:
        """Record that every event up to this position is in the tables; `known` is how far they were."""
        cursor.execute(SET_PROGRESS, (self._projector, position))
        if known.fold_version != FOLD_VERSION:
            cursor.execute(SET_PROGRESS, (FOLD, FOLD_VERSION))
        return Progress(position, known.rebuilds, FOLD_VERSION)

    def make_anew(self, cursor: Cursor) -> None:
        """Exchange tables that hold nothing for ones with the columns of this version."""
        for table in QUERY_TABLES:
            cursor.execute(DROP.format(table=table))
        for statement in CREATE:
            cursor.execute(statement)
        cursor.execute(SET_PROGRESS, (FOLD, FOLD_VERSION))

    def status(self, cursor: Cursor, execution_id: str) -> ExecutionStatus | None:
        """The status that the table holds."""
        state = _first(cursor, executions.SELECT_STATUS, (execution_id,))
        return executions.status_of(state) if state else None

    def group(self, cursor: Cursor, key: tuple[str, str]) -> FailureGroup | None:
        """The failure group that the table holds."""
        cursor.execute(failure_groups.SELECT, key)
        row = cursor.fetchone()
        return failure_groups.group_of(row) if row else None

    def runner(self, cursor: Cursor, runner_id: str) -> Runner | None:
        """The runner that the table holds."""
        state = _first(cursor, runners.SELECT, (runner_id,))
        return runners.runner_of(state) if state else None

    def parked_streams(self, cursor: Cursor) -> set[str]:
        """The streams that stand still."""
        cursor.execute(parked.SELECT)
        return {row[0] for row in cursor.fetchall()}

    def write(self, cursor: Cursor, changes: Changes) -> None:
        """Write the changed rows."""
        _write(cursor, executions.UPSERT, map(executions.row, changes.statuses.values()))
        _write(cursor, failure_groups.UPSERT, map(failure_groups.row, changes.groups.values()))
        _write(cursor, runners.UPSERT, map(runners.row, changes.runners.values()))
        _write(cursor, parked.INSERT, ((stream, *why) for stream, why in changes.parked.items()))


def _first(cursor: Cursor, statement: str, parameters: tuple[Any, ...]) -> Any:
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    return row[0] if row else None


def _write(cursor: Cursor, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    if made := list(rows):
        cursor.executemany(statement, made)

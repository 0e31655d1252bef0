"""Rebuild: the query tables made anew from the store, beside the ones in use, then compared or exchanged.

The new rows are folded into tables of their own while the old ones go on serving; only the last step, which brings
the new rows to the old ones' position and compares or exchanges them, keeps everybody else from writing.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from projector.engines.ports import Beside, Cursor, StoreEngine
from projector.execution_status import FOLD_VERSION
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.resuming import Basis, ExecutionsTakenOut, resume_or_begin
from projector.projecting.sharding import BATCH, fold_in_processes, processes_for
from projector.projections.tables import CREATE, FOLD, PROJECTOR, QUERY_TABLES, REBUILDS, QueryTables

_DIFFERENCES: Final = {
    "executions": "SELECT execution_id FROM (SELECT * FROM {a}.executions EXCEPT SELECT * FROM {b}.executions) AS odd",
    "failure_groups": "SELECT code || ' ' || fingerprint FROM "
    "(SELECT * FROM {a}.failure_groups EXCEPT SELECT * FROM {b}.failure_groups) AS odd",
    "runners": "SELECT runner_id FROM (SELECT * FROM {a}.runners EXCEPT SELECT * FROM {b}.runners) AS odd",
    "parked": "SELECT stream FROM (SELECT * FROM {a}.parked EXCEPT SELECT * FROM {b}.parked) AS odd",
}
"""The keys of rows that one schema has and the other lacks or holds differently."""

DROP: Final = "DROP TABLE IF EXISTS {a}.{table}"
EMPTY: Final = "DELETE FROM {a}.{table}"
FILL: Final = "INSERT INTO {a}.{table} SELECT * FROM {b}.{table}"
SET_PROGRESS: Final = (
    "INSERT INTO {a}.tracking (application_name, notification_id) VALUES (?, ?) "
    "ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id"
)
READ_PROGRESS: Final = "SELECT COALESCE(MAX(notification_id), 0) FROM {a}.tracking WHERE application_name = ?"


OUTDATED: Final = "all tables: another version of this program has made them"


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did. `differences` names rows that were not as the store says, as `table: key`, or is OUTDATED."""

    position: int
    seconds: float
    differences: tuple[str, ...]


def rebuild(store: StoreEngine, *, verify_only: bool = False, processes: int | None = None) -> RebuildReport:
    """Fold every event into new tables; exchange them for those in use, or with `verify_only` compare and leave them.

    `processes` is how many of them fold: as many as are worth it when it is None. One that was killed or interrupted
    is gone on with by the next.
    Raises StoreError. Safe while a projector runs: it goes on from the exchanged rows.
    """
    began = time.monotonic()
    if not verify_only:
        _make_missing_tables(store)
    with store.beside() as beside:
        while True:
            basis = Basis.of(store)
            resume_or_begin(store, beside, basis)
            upto = min(_tables_position(store), store.head())  # those of another store may be ahead of it
            fold_in_processes(store, beside, upto, processes or processes_for(upto))
            runner = ProjectionRunner(store, beside.database, batch=BATCH)
            runner.catch_up(upto)
            with suppress(ExecutionsTakenOut):
                position, differences = _settle(beside, runner, basis, verify_only=verify_only)
                return RebuildReport(position, time.monotonic() - began, differences)


def _make_missing_tables(store: StoreEngine) -> None:
    """Should one have been dropped. Those of another version may lack the columns of an index."""
    store.database.create_tables([statement for statement in CREATE if "CREATE TABLE" in statement])
    with store.database.transaction(commit=False) as cursor:
        is_ours = QueryTables().progress(cursor).fold_version == FOLD_VERSION
    if is_ours:
        store.database.create_tables(CREATE)


def _settle(
    beside: Beside, runner: ProjectionRunner, basis: Basis, *, verify_only: bool
) -> tuple[int, tuple[str, ...]]:
    a, b = beside.in_use, beside.fresh
    with beside.standing_still() as cursor:
        basis.check(cursor, a)
        reached = runner.catch_up(_progress(cursor, a, PROJECTOR))
        is_outdated = _progress(cursor, a, FOLD) != FOLD_VERSION
        differences = _differences(cursor, a, b) if not is_outdated else (OUTDATED,) if reached else ()
    if verify_only:
        return reached, differences
    runner.catch_up()
    with beside.standing_still() as cursor:
        basis.check(cursor, a)
        reached = runner.catch_up()
        if is_outdated:  # their columns may be others, too
            for table in QUERY_TABLES:
                cursor.execute(DROP.format(a=a, table=table))
            for statement in CREATE:
                cursor.execute(statement)
        for table in QUERY_TABLES:
            cursor.execute(EMPTY.format(a=a, table=table))
            cursor.execute(FILL.format(a=a, b=b, table=table))
        rebuilds = _progress(cursor, a, REBUILDS)
        cursor.execute(SET_PROGRESS.format(a=a), (PROJECTOR, reached))
        cursor.execute(SET_PROGRESS.format(a=a), (REBUILDS, rebuilds + 1))
        cursor.execute(SET_PROGRESS.format(a=a), (FOLD, FOLD_VERSION))
    return reached, differences


def _tables_position(store: StoreEngine) -> int:
    with store.database.transaction(commit=False) as cursor:
        return QueryTables().progress(cursor).position


def _progress(cursor: Cursor, schema: str, name: str) -> int:
    cursor.execute(READ_PROGRESS.format(a=schema), (name,))
    return int(cursor.fetchone()[0])


def _differences(cursor: Cursor, in_use: str, fresh: str) -> tuple[str, ...]:
    found: list[str] = []
    for table, question in _DIFFERENCES.items():
        keys: set[str] = set()
        for a, b in ((in_use, fresh), (fresh, in_use)):
            cursor.execute(question.format(a=a, b=b))
            keys |= {row[0] for row in cursor.fetchall()}
        found += [f"{table}: {key}" for key in sorted(keys)]
    return tuple(found)

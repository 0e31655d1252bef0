"""Rebuild: the query tables made anew from the store, beside the ones in use, then compared or exchanged.

The new rows are folded into a temporary database while the old ones go on serving; only the last step, which brings
the new rows to the old ones' position and compares or exchanges them, holds the write lock.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from projector.engines.sqlite import SqliteEventStore
from projector.engines.sqlite_datastore import Datastore, translated
from projector.errors import StoreUnavailable
from projector.projection_runner import ProjectionRunner
from projector.projections.tables import PROJECTOR, QUERY_TABLES, REBUILDS, QueryTables

_DIFFERENCES: Final = {
    "executions": "SELECT execution_id FROM (SELECT * FROM {a}.executions EXCEPT SELECT * FROM {b}.executions)",
    "failure_groups": "SELECT code || ' ' || fingerprint FROM "
    "(SELECT * FROM {a}.failure_groups EXCEPT SELECT * FROM {b}.failure_groups)",
    "runners": "SELECT runner_id FROM (SELECT * FROM {a}.runners EXCEPT SELECT * FROM {b}.runners)",
    "parked": "SELECT stream FROM (SELECT * FROM {a}.parked EXCEPT SELECT * FROM {b}.parked)",
}
"""The keys of rows that one database has and the other lacks or holds differently."""

LOCK: Final = "DELETE FROM main.parked WHERE 0"
"""Takes the write lock of the main database and changes nothing."""
SET_PROGRESS: Final = "INSERT OR REPLACE INTO main.tracking VALUES (?, ?)"
READ_PROGRESS: Final = "SELECT COALESCE(MAX(notification_id), 0) FROM main.tracking WHERE application_name = ?"


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did. `differences` names rows that were not as the store says, as `table: key`."""

    position: int
    seconds: float
    differences: tuple[str, ...]


def rebuild(store: SqliteEventStore, *, verify_only: bool = False) -> RebuildReport:
    """Fold every event into new tables; exchange them for those in use, or with `verify_only` compare and leave them.

    Raises StoreError. Safe while a projector runs: it goes on from the exchanged rows.
    """
    began = time.monotonic()
    if not verify_only:
        QueryTables(store.datastore).create_table()  # should one have been dropped
    with _folder_beside(store.path) as folder:
        fresh = Path(folder) / "tables.db"
        datastore = Datastore(fresh)
        try:
            QueryTables(datastore).create_table()
            runner = ProjectionRunner(store, datastore, batch=5000)
            runner.catch_up(_tables_position(store))
            position, differences = _settle(store, runner, fresh, verify_only=verify_only)
        finally:
            datastore.close()
    return RebuildReport(position, time.monotonic() - began, differences)


def _folder_beside(path: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="rebuild-", dir=path.absolute().parent)
    except OSError as error:
        raise StoreUnavailable(
            f"the query tables of {path} could not be rebuilt, for new ones cannot be made beside it: {error.strerror}"
        ) from error


def _settle(
    store: SqliteEventStore, runner: ProjectionRunner, fresh: Path, *, verify_only: bool
) -> tuple[int, tuple[str, ...]]:
    connection = sqlite3.connect(store.path, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("ATTACH DATABASE ? AS fresh", (str(fresh),))
        # BEGIN IMMEDIATE would lock the new tables too, and their runner could not bring them up. From the first
        # write on, nothing is appended or projected: the old rows stand still and can be compared.
        connection.execute("BEGIN")
        connection.execute(LOCK)
        reached = runner.catch_up(connection.execute(READ_PROGRESS, (PROJECTOR,)).fetchone()[0])
        differences = _differences(connection)
        if not verify_only:
            connection.execute("COMMIT")
            runner.catch_up()
            connection.execute("BEGIN")
            connection.execute(LOCK)
            reached = runner.catch_up()
            for table in QUERY_TABLES:
                connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 - names from our own list
                connection.execute(f"INSERT INTO main.{table} SELECT * FROM fresh.{table}")  # noqa: S608
            rebuilds = connection.execute(READ_PROGRESS, (REBUILDS,)).fetchone()[0]
            connection.execute(SET_PROGRESS, (PROJECTOR, reached))
            connection.execute(SET_PROGRESS, (REBUILDS, rebuilds + 1))
        connection.execute("COMMIT")
        return reached, differences
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"the query tables of {store.path} could not be rebuilt: {error}; try again") from error
    except sqlite3.DatabaseError as error:
        raise translated(store.path, error) from error
    finally:
        connection.close()


def _tables_position(store: SqliteEventStore) -> int:
    tables = QueryTables(store.datastore)
    with store.datastore.transaction(commit=False) as cursor:
        return tables.progress(cursor)[0]


def _differences(connection: sqlite3.Connection) -> tuple[str, ...]:
    found: list[str] = []
    for table, question in _DIFFERENCES.items():
        keys: set[str] = set()
        for a, b in (("main", "fresh"), ("fresh", "main")):
            keys |= {row[0] for row in connection.execute(question.format(a=a, b=b))}
        found += [f"{table}: {key}" for key in sorted(keys)]
    return tuple(found)

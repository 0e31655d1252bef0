"""The query tables as tests look at them: every byte of every row, on any engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from eventsourcing.persistence import StoredEvent

from projector.engines.ports import StoreEngine
from projector.envelope import execution_id_of
from projector.event_store import EventStore
from projector.execution_status import ExecutionStatus, fold
from projector.projecting.projection_runner import ProjectionRunner
from projector.projections.tables import QUERY_TABLES

Rows = dict[str, list[tuple[Any, ...]]]


def rows(store: StoreEngine) -> Rows:
    """All rows of all query tables, in the order of their keys."""
    with store.database.transaction(commit=False) as cursor:
        found = {}
        for table in QUERY_TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            found[table] = [tuple(row) for row in cursor.fetchall()]
        return found


def change(store: StoreEngine, statement: str, *parameters: Any) -> None:
    """Meddle with the database, in the words that the engines share."""
    with store.database.transaction(commit=True) as cursor:
        cursor.execute(statement, parameters)


def rewrite(store: StoreEngine, stream: str, version: int, rewritten: Callable[[bytes], bytes]) -> None:
    """Change the body of an event that is stored."""
    (stored,) = store.read_stored(stream, after=version - 1, upto=version, limit=1)
    change(
        store,
        "UPDATE stored_events SET state = ? WHERE originator_id = ? AND originator_version = ?",
        rewritten(stored.state),
        stream,
        version,
    )


def insert_raw(store: StoreEngine, stream: str, topic: str, state: bytes) -> None:
    """Put an event into the store past its door, as a later version or a broken disk might."""
    stored = StoredEvent(stream, store.version(stream) + 1, topic, state)
    store.recorder.insert_events([stored])


def project(store: StoreEngine, *, batch: int = 500) -> ProjectionRunner:
    """Bring the query tables up to the head of the store."""
    runner = ProjectionRunner(store, store.database, batch=batch)
    assert runner.catch_up() == store.head()
    return runner


def statuses(store: StoreEngine) -> dict[str, ExecutionStatus]:
    """The statuses in the table, by id."""
    return {row[0]: ExecutionStatus.model_validate_json(row[-1]) for row in rows(store)["executions"]}


def folded(store: EventStore) -> dict[str, ExecutionStatus]:
    """The statuses as the store itself says they are, by id."""
    found: dict[str, ExecutionStatus] = {}
    for record in store.tail(after=0, limit=1_000_000):
        if (execution_id := execution_id_of(record.stream)) is not None:
            status = fold(found.get(execution_id), [record])
            assert status is not None
            found[execution_id] = status
    return found


def make_database(path: Path, *statements: str) -> None:
    """Make an SQLite database of somebody else's."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()

"""A projection made by hand on SQLite: json, a dict an execution, one transaction a batch of a thousand.

What somebody writes who wants it fast and knows what they need: the columns people filter by, and the state as JSON
from which the next event is folded. It knows only the events of the benchmark, and nothing of late or damaged ones.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.raw_sqlite import connected

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS hand_made (
        execution_id TEXT PRIMARY KEY, phase TEXT, agent TEXT, code TEXT, message TEXT,
        first_position INTEGER, version INTEGER, position INTEGER, state TEXT
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS hand_made_by_phase ON hand_made (phase, first_position)",
    "CREATE TABLE IF NOT EXISTS hand_made_progress (id INTEGER PRIMARY KEY, position INTEGER)",
)
BATCH: Final = 1000
_SELECT: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?
"""
_UPSERT: Final = "INSERT OR REPLACE INTO hand_made VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MESSAGES_KEPT: Final = 5


def project(path: Path, events: int) -> None:
    """Project the first `events` events of a store into tables in the same file."""
    with closing(connected(path)) as connection:
        for statement in CREATE:
            connection.execute(statement)
        held: dict[str, dict[str, Any]] = {}
        found = connection.execute("SELECT position FROM hand_made_progress WHERE id = 1").fetchone()
        position = found[0] if found else 0
        while position < events:
            position = _step(connection, held, position, min(BATCH, events - position))


def _step(connection: sqlite3.Connection, held: dict[str, dict[str, Any]], position: int, limit: int) -> int:
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute(_SELECT, (position, limit)).fetchall()
    if not rows:
        raise RuntimeError(f"the store ends at {position}")
    touched: dict[str, dict[str, Any]] = {}
    for at, stream, version, topic, state in rows:
        status = held.get(stream)
        if status is None:
            status = held[stream] = {"id": stream, "phase": "PENDING", "first": at, "events": 0, "messages": []}
        _fold(status, topic, json.loads(state))
        status["version"], status["position"] = version, at
        touched[stream] = status
    connection.executemany(
        _UPSERT,
        [
            (
                each["id"],
                each["phase"],
                each.get("agent"),
                each.get("code"),
                each.get("message"),
                each["first"],
                each["version"],
                each["position"],
                json.dumps(each),
            )
            for each in touched.values()
        ],
    )
    reached = int(rows[-1][0])
    connection.execute("INSERT OR REPLACE INTO hand_made_progress VALUES (1, ?)", (reached,))
    connection.execute("COMMIT")
    return reached


def _fold(status: dict[str, Any], topic: str, body: dict[str, Any]) -> None:
    data = body["data"]
    status["events"] += 1
    status["last_at"] = body["time"]
    match topic:
        case "ProgressReported":
            status["done"], status["total"], status["note"] = data["done"], data["total"], data["note"]
        case "MessageAppended":
            status["messages"] = [*status["messages"], data["text"]][-_MESSAGES_KEPT:]
        case "ToolCallStarted":
            status["tool"] = data["tool"]
        case "ToolCallFinished":
            status["tool"] = None
        case "ExecutionRequested":
            status["agent"] = data["agent"]
        case "AttemptStarted":
            status["phase"] = "IN_PROGRESS"
        case "ExecutionCompleted":
            status["phase"] = "COMPLETED"
        case "ExecutionFailed":
            status["phase"] = "FAILED"
            status["code"], status["message"] = data["failure"]["code"], data["failure"]["message"]
        case _:
            pass

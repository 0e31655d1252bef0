"""The floor on SQLite: sqlite3 itself, WAL and synchronous=FULL, the same bytes in large batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CREATE: Final = """
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB,
    PRIMARY KEY (originator_id, originator_version)
)
"""
INSERT: Final = "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)"
TOPIC: Final = "ProgressReported"

Row = tuple[str, int, str, bytes]


def connected(path: Path) -> sqlite3.Connection:
    """A durable connection, in charge of its own transactions."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def rows(bodies: Sequence[bytes], stream: str = "execution/survey") -> list[Row]:
    """The rows of one stream with these bodies."""
    return [(stream, version, TOPIC, state) for version, state in enumerate(bodies, start=1)]


def insert_in_batches(connection: sqlite3.Connection, made: Sequence[Row], batch: int = 1000) -> None:
    """Insert rows, one transaction a batch."""
    for start in range(0, len(made), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, made[start : start + batch])
        connection.execute("COMMIT")


def scan(path: Path) -> int:
    """Fetch every row of a store into Python; returns how many there were."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    count = 0
    try:
        cursor = connection.execute(
            "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events ORDER BY rowid"
        )
        while page := cursor.fetchmany(5000):
            count += len(page)
    finally:
        connection.close()
    return count

"""The floor on PostgreSQL: psycopg's COPY, with the server's default, durable settings, in large batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

CREATE: Final = """
CREATE TABLE IF NOT EXISTS raw_events (
    originator_id TEXT NOT NULL, originator_version BIGINT NOT NULL, topic TEXT, state BYTEA,
    notification_id BIGSERIAL UNIQUE, PRIMARY KEY (originator_id, originator_version)
)
"""
COPY: Final = "COPY raw_events (originator_id, originator_version, topic, state) FROM STDIN"

Connection = psycopg.Connection[tuple[Any, ...]]


def copy_in_batches(connection: Connection, made: Sequence[tuple[str, int, str, bytes]], batch: int = 1000) -> None:
    """Copy rows, one transaction a batch. The connection is not in autocommit mode."""
    for start in range(0, len(made), batch):
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in made[start : start + batch]:
                copy.write_row(row)
        connection.commit()

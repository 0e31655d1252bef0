"""The table `parked`: streams whose next event broke the projector. Their rows stand still; every other goes on."""

from __future__ import annotations

from typing import Final

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS parked (
        stream TEXT PRIMARY KEY,
        position BIGINT NOT NULL,
        reason TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)

INSERT: Final = "INSERT INTO parked (stream, position, reason) VALUES (?, ?, ?) ON CONFLICT (stream) DO NOTHING"

SELECT: Final = "SELECT stream FROM parked"

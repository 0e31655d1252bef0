"""The table `parked`: streams whose next event broke the projector. Their rows stand still; every other goes on."""

from __future__ import annotations

from typing import Final

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS parked (
        stream TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)

INSERT: Final = "INSERT OR IGNORE INTO parked VALUES (?,?,?)"

SELECT: Final = "SELECT stream FROM parked"

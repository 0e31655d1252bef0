"""Going on with a rebuild that was killed: when what it left may be gone on with, and when it is begun anew.

The new tables have their positions beside their rows, so they are right as far as they go, if they are of this
version's fold and of this store as it is: one that was put in the place of another has other events, and from one that
was archived from, executions are gone whose rows are in the tables.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple, Self

from projector.engines.ports import Beside, Cursor, StoreEngine
from projector.envelope import ARCHIVE_LOG
from projector.execution_status import FOLD_VERSION
from projector.projections.tables import CREATE, DROP, QUERY_TABLES

SELECT_ARCHIVES: Final = "SELECT COALESCE(MAX(originator_version), 0) FROM {a}.stored_events WHERE originator_id = ?"
SELECT_BASIS: Final = "SELECT application_name, notification_id FROM tracking WHERE application_name LIKE 'basis %'"
SET_BASIS: Final = "INSERT INTO tracking (application_name, notification_id) VALUES (?, ?)"


class ExecutionsTakenOut(Exception):
    """While the new tables were filled, executions of theirs were archived: they are made once more."""


class Basis(NamedTuple):
    """What the new tables are made of."""

    fold_version: int
    archives: int
    """How often executions were taken out of the store."""
    head: int
    """The position of the last event when they were begun."""
    last_event: int
    """A checksum of that event."""

    @classmethod
    def of(cls, store: StoreEngine) -> Self:
        """The store as it is now. Raises StoreError."""
        archives = store.version(ARCHIVE_LOG)  # first: what is archived after it is noticed
        head = store.head()
        return cls(FOLD_VERSION, archives, head, _checksum(store, head))

    def check(self, cursor: Cursor, schema: str) -> None:
        """Raise ExecutionsTakenOut when something was archived since."""
        cursor.execute(SELECT_ARCHIVES.format(a=schema), (ARCHIVE_LOG,))
        if int(cursor.fetchone()[0]) != self.archives:
            raise ExecutionsTakenOut

    def continues(self, begun: Basis, store: StoreEngine) -> bool:
        """Whether tables that were begun on that basis are right on this one, as far as they go. Raises StoreError."""
        return (
            (begun.fold_version, begun.archives) == (self.fold_version, self.archives)
            and begun.head <= self.head
            and begun.last_event == _checksum(store, begun.head)
        )


def resume_or_begin(store: StoreEngine, beside: Beside, basis: Basis) -> None:
    """Have new tables that can be gone on with, or else empty ones. Raises StoreError."""
    beside.database.create_tables(CREATE)
    with beside.database.transaction(commit=True) as cursor:
        cursor.execute(SELECT_BASIS)
        held = {name.removeprefix("basis "): int(value) for name, value in cursor.fetchall()}
        if held.keys() == set(Basis._fields) and basis.continues(Basis(**held), store):
            return
        for table in (*QUERY_TABLES, "tracking"):
            cursor.execute(DROP.format(table=table))
        for statement in CREATE:
            cursor.execute(statement)
        cursor.executemany(SET_BASIS, [(f"basis {name}", value) for name, value in basis._asdict().items()])


def _checksum(store: StoreEngine, position: int) -> int:
    """Of the event at a position; 0 when there is none."""
    rows = store.tail_stored(after=position - 1, limit=1) if position else []
    return zlib.crc32(bytes(rows[0].state)) if rows and rows[0].position == position else 0

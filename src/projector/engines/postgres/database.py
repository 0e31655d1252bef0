"""The query tables of one schema: the Database port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from psycopg.errors import InFailedSqlTransaction
from psycopg.sql import SQL

from projector.engines.postgres.connection import PgConnection, rows_of
from projector.engines.postgres.datastore import Datastore
from projector.engines.postgres.schema import advisory_key, create_tables
from projector.engines.postgres.statements import SharedCursor

_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE: Final = SQL("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({})")


class PostgresDatabase:
    """One writes at a time, over all processes: what a writing transaction read still holds when it writes."""

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SharedCursor]:
        """See Database.transaction. A transaction that only reads sees the tables as they were at one moment."""
        with self._datastore.started(self._begin_to_write if commit else self._begin_to_read) as (connection, _):
            yield SharedCursor(rows_of(connection), self._datastore.address)
            if commit and connection.execute("COMMIT").statusmessage != "COMMIT":
                raise InFailedSqlTransaction("a statement had failed before, so nothing was committed")

    def _begin_to_read(self, connection: PgConnection) -> None:
        connection.execute(_READ)

    def _begin_to_write(self, connection: PgConnection) -> None:
        connection.execute(_WRITE.format(projection_key(self._datastore.schema)))

    def create_tables(self, statements: Sequence[str]) -> None:
        """See Database.create_tables."""
        create_tables(self._datastore, statements)

    def close(self) -> None:
        """See Database.close."""
        self._datastore.close()


def projection_key(schema: str) -> int:
    """The advisory lock of whoever writes query tables in a schema."""
    return advisory_key("projection", schema)

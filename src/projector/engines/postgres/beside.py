"""New query tables beside those in use, in a schema of their own of the same database.

Whoever makes such a schema holds an advisory lock in its name for as long as it needs it. A schema whose lock can be
had belongs to a process that is gone, and the next rebuild drops it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier

from projector.engines.postgres.address import Address
from projector.engines.postgres.connection import PgConnection, rows_of
from projector.engines.postgres.database import PostgresDatabase, projection_key
from projector.engines.postgres.datastore import Datastore, quoted
from projector.engines.postgres.schema import LOCK, advisory_key
from projector.engines.postgres.statements import SharedCursor

PREFIX: Final = "execution_status_fresh_"
SELECT_LEFTOVERS: Final = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)"
TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
UNLOCK: Final = "SELECT pg_advisory_unlock(%s)"
CREATE: Final = SQL("CREATE SCHEMA {}")
DROP: Final = SQL("DROP SCHEMA IF EXISTS {} CASCADE")
LOCK_EVENTS: Final = SQL("LOCK TABLE {}.stored_events IN EXCLUSIVE MODE")

_PATIENCE: Final = {"idle_in_transaction_session_timeout": "60s", "enable_seqscan": "on"}
"""While all stand still, the last events are folded: a few seconds, unless this process is paused."""
_LONGEST_TURN: Final = 60.0
"""The processes of a rebuild take turns in the fresh tables, with batches of thousands of events; in seconds."""
_FRESH: Final = {**_PATIENCE, "synchronous_commit": "off"}
"""What a crash takes of the fresh tables is made again; they are copied in a transaction that waits for the disk."""


class PostgresBeside:
    """The Beside port: `database` is the fresh schema; one transaction sees it and the one in use."""

    def __init__(self, datastore: Datastore, schema: str) -> None:
        self._store = datastore
        self._schema = schema
        self.database = _open_tables(datastore.address, schema)
        self.in_use = quoted(datastore.schema)
        self.fresh = quoted(schema)

    def opener(self) -> Callable[[], PostgresDatabase]:
        """See Beside.opener."""
        return partial(_open_tables, self._store.address, self._schema)

    @contextmanager
    def standing_still(self) -> Iterator[SharedCursor]:
        """See Beside.standing_still."""
        with self._store.errors(), self._store.connect(_PATIENCE) as connection:
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            connection.execute(LOCK_EVENTS.format(Identifier(self._store.schema)))
            connection.execute(LOCK, (projection_key(self._store.schema),))
            yield SharedCursor(rows_of(connection), self._store.address)
            connection.execute("COMMIT")


def _open_tables(address: Address, schema: str) -> PostgresDatabase:
    return PostgresDatabase(Datastore(address, lock_timeout=_LONGEST_TURN, schema=schema, settings=_FRESH))


@contextmanager
def beside(datastore: Datastore) -> Iterator[PostgresBeside]:
    """A fresh schema, dropped at the end. Raises StoreError, for instance when no schema may be made."""
    schema = PREFIX + secrets.token_hex(8)
    with datastore.errors(), datastore.connect() as owner:
        _drop_leftovers(owner)
        owner.execute(TRY_LOCK, (advisory_key("beside", schema),))
        owner.execute(CREATE.format(Identifier(schema)))
        try:
            room = PostgresBeside(datastore, schema)
            try:
                yield room
            finally:
                room.database.close()
        finally:
            with suppress(psycopg.Error):  # if not now, the next rebuild drops it
                owner.execute(DROP.format(Identifier(schema)))


def _drop_leftovers(owner: PgConnection) -> None:
    cursor = rows_of(owner)
    for (schema,) in cursor.execute(SELECT_LEFTOVERS, (PREFIX,)).fetchall():
        key = advisory_key("beside", schema)
        (is_left,) = cursor.execute(TRY_LOCK, (key,)).fetchall()[0]
        if is_left:
            with suppress(psycopg.Error):  # another user's, perhaps; it costs room and does no harm
                cursor.execute(DROP.format(Identifier(schema)))
            cursor.execute(UNLOCK, (key,))

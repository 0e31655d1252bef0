"""New query tables beside those in use, in a schema of their own of the same database.

Such schemas are numbered, and whoever works in one holds an advisory lock in its name. A schema whose lock can be had
was left by a process that is gone, and is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from itertools import count
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
IS_OURS: Final = "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s"
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
    """A schema, dropped at the end unless that is an interruption. Raises StoreError, as when none may be made."""
    with datastore.errors(), datastore.connect() as owner:
        schema = _free_schema(owner, datastore.schema)
        is_interrupted = False
        try:
            room = PostgresBeside(datastore, schema)
            try:
                yield room
            finally:
                room.database.close()
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            is_interrupted = True  # it stays, to be gone on with
            raise
        finally:
            if not is_interrupted:
                with suppress(psycopg.Error):  # if not now, the next rebuild drops it
                    owner.execute(DROP.format(Identifier(schema)))


def _free_schema(owner: PgConnection, store: str) -> str:
    """A schema that nobody works in, made if it is absent, and its lock."""
    cursor = rows_of(owner)
    for number in count(1):
        # A database may hold several stores.
        schema = f"{PREFIX}{sha256(store.encode()).hexdigest()[:8]}_{number}"
        key = advisory_key("beside", schema)
        if not cursor.execute(TRY_LOCK, (key,)).fetchall()[0][0]:
            continue
        is_ours = cursor.execute(IS_OURS, (schema,)).fetchall()
        if not is_ours:
            cursor.execute(CREATE.format(Identifier(schema)))
        elif not is_ours[0][0]:
            cursor.execute(UNLOCK, (key,))
            continue
        return schema
    raise AssertionError("there is always another number")

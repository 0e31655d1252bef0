"""A PostgreSQL database as the eventsourcing library's datastore, on any address that libpq understands.

The library's own datastore takes five parameters of an address and connects in the background. This one takes all of
them, connects when it must, and raises StoreErrors that say what happened, why and what to look at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.utils import strtobool
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.types.composite import CompositeInfo, register_composite

from projector.engines.postgres.address import Address
from projector.engines.postgres.connection import (
    SETTINGS,
    AllInUse,
    Connections,
    PgConnection,
    Statement,
    connect,
    rows_of,
)
from projector.engines.postgres.errors import translated, unavailable
from projector.errors import StoreError

T = TypeVar("T")
DB_FUNCTIONS: Final = "POSTGRES_ENABLE_DB_FUNCTIONS"
CURRENT_SCHEMA: Final = "SELECT current_schema(), current_setting('search_path')"


class Datastore(PostgresDatastore):
    """The database of an event store, in the schema where its address leads."""

    def __init__(
        self,
        address: Address,
        *,
        lock_timeout: float = 5.0,
        schema: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Connect. `lock_timeout` is how long, in seconds, a statement waits for another process's lock.

        `schema` is where tables are, in place of the first schema of the address's search_path. `settings` are the
        server's, for each connection. Raises StoreUnavailable, StoreError.
        """
        super().__init__("", "", "", "", "", schema=schema, originator_id_type="text")  # its pool stays closed
        self.address = address
        self.patience = lock_timeout
        # SET LOCAL lock_timeout of the library's own statements takes fractions of a second too.
        self.lock_timeout = lock_timeout  # type: ignore[assignment]
        self._settings = {
            **SETTINGS,
            "lock_timeout": f"{max(1, round(lock_timeout * 1000))}ms",
            # All that is asked here is asked by a key. A plan that was made for an empty table and kept would go on
            # scanning it when it is large: 25 ms an append in place of 1.
            "enable_seqscan": "off",
            **(settings or {}),
        }
        if schema:
            self._settings["search_path"] = quoted(schema)
        self._connections = Connections(self.connect, patience=lock_timeout + 5, where=address.place)
        try:
            current, path = self.ask(CURRENT_SCHEMA)[0]
            if current is None:
                raise StoreError(
                    f"the event store {address.place} has no schema to be in: none of its search_path ({path}) exists; "
                    "make one with CREATE SCHEMA, or name another"
                )
        except BaseException:
            self.close()
            raise
        self.schema = current

    def connect(self, settings: Mapping[str, str] | None = None) -> PgConnection:
        """A connection that is the caller's own, with the settings of all and these. Raises psycopg.Error."""
        return connect(self.address, self._settings | dict(settings or {}))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise StoreErrors in place of psycopg's. Errors of our own statements stay what they are."""
        try:
            yield
        except psycopg.Error as error:
            meant = translated(self.address, error)
            if meant is error:
                raise
            raise meant from error
        except AllInUse as error:
            raise unavailable(self.address, str(error), "check that none of its threads is stuck") from error

    @contextmanager
    def started(self, begin: Callable[[PgConnection], T]) -> Iterator[tuple[PgConnection, T]]:
        """See Connections.started; raises StoreErrors."""
        with self.errors(), self._connections.started(begin) as started:
            yield started

    def ask(self, statement: Statement, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of one statement that only reads. Raises StoreErrors."""

        def answer(connection: PgConnection) -> list[tuple[Any, ...]]:
            return rows_of(connection).execute(statement, parameters).fetchall()

        with self.started(answer) as (_, rows):
            return rows

    # --- what the library's recorders use ---

    @contextmanager
    def get_connection(self) -> Iterator[PgConnection]:
        """A connection for the library's own statements."""
        with self.started(self._adapt) as (connection, _):
            yield connection

    def register_type_adapters(self) -> None:
        """Learn the library's composite types, in whatever schema they are."""
        for name in self.db_type_names - self.psycopg_type_adapters.keys():
            with self.get_connection() as connection:
                info = CompositeInfo.fetch(connection, f"{quoted(self.schema)}.{quoted(name)}")
                if info is not None:
                    register_composite(info, connection)
                    self.psycopg_type_adapters[name] = info
                    self.psycopg_python_types[name] = info.python_type

    def _adapt(self, connection: PgConnection) -> None:
        for info in self.psycopg_type_adapters.values():
            if not connection.adapters.types.get(info.oid):
                register_composite(info, connection)

    @contextmanager
    def transaction(self, *, commit: bool = False) -> Iterator[Cursor[DictRow]]:
        """A transaction for the library's own statements."""
        with self.get_connection() as connection, connection.transaction(force_rollback=not commit):
            yield connection.cursor()

    def close(self) -> None:
        """Release the connections. Calling it twice does no harm."""
        if hasattr(self, "_connections"):  # the library closes what could not be made, too
            self._connections.close()


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def refuse_db_functions(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to work where the library is told to insert by its database functions. Raises StoreError.

    They do not take the lock that keeps positions in the order of commits, so a reader that follows the store passes
    over events: 1,159 of 102,000 when it was measured with eventsourcing 9.5.6. This project's processes would not use
    them, but others on the same tables would.
    """
    try:
        is_on = strtobool(environment.get(DB_FUNCTIONS) or "no")
    except (ValueError, TypeError):
        is_on = True  # the library refuses it too
    if is_on:
        raise StoreError(
            f"{DB_FUNCTIONS} is set: with it the eventsourcing library drops the lock that keeps positions in the "
            "order of commits, so that readers miss events; unset it"
        )

"""The tables of a PostgreSQL store: made once, in one transaction, by whoever comes first; and whose they are.

The mark is a table of its own that holds the schema's version. A database, or a schema of it, that holds one of our
names without the mark belongs to something else, and is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.sql import SQL, Identifier

from projector.engines.postgres.connection import PgConnection, rows_of
from projector.engines.postgres.datastore import Datastore
from projector.engines.postgres.statements import query
from projector.errors import StoreError, StoreForeign, StoreMissing, StoreTooNew
from projector.projections import tables

SCHEMA_VERSION: Final = 1
MARK: Final = "execution_status_schema"
TABLES: Final = ("stored_events", "event_ids", MARK, "tracking", *tables.QUERY_TABLES)

LOOK: Final = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relname = ANY (%s)
"""
"""Which of these names a schema holds."""
READ_VERSION: Final = SQL("SELECT max(version) FROM {}.execution_status_schema")
TYPE_IS_THERE: Final = "SELECT to_regtype(%s) IS NOT NULL"
LOCK: Final = "SELECT pg_advisory_xact_lock(%s)"
BEGIN: Final = SQL("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({})")

CREATE_MARK: Final = "CREATE TABLE execution_status_schema (version INTEGER NOT NULL)"
SET_VERSION: Final = "INSERT INTO execution_status_schema VALUES (%s)"
CREATE_EVENT_IDS: Final = """
CREATE TABLE event_ids (
    originator_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    originator_version BIGINT NOT NULL,
    PRIMARY KEY (originator_id, event_id)
)
"""


def advisory_key(*words: str) -> int:
    """A number for an advisory lock that others are unlikely to use; such locks are per database."""
    digest = hashlib.sha256("/".join(("execution-status", *words)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def is_made(datastore: Datastore, *, create: bool) -> bool:
    """Whether the tables are there. Raises StoreForeign, StoreTooNew, and StoreMissing unless `create` is set."""
    held = [row[0] for row in datastore.ask(LOOK, (datastore.schema, list(TABLES)))]
    version = None
    if MARK in held:
        version = datastore.ask(READ_VERSION.format(Identifier(datastore.schema)))[0][0]
    return check(datastore.address.place, held, version, create=create)


def check(place: str, held: Iterable[str], version: int | None, *, create: bool) -> bool:
    """Whether a store is there that we can use, by the names that the schema holds and what its mark says."""
    foreign = sorted(held)
    if version is not None:
        if version > SCHEMA_VERSION:
            raise StoreTooNew(
                f"{place} has schema {version}, and this version reads up to {SCHEMA_VERSION}: "
                "install the newer version"
            )
        return True
    if foreign:
        raise StoreForeign(
            f"{place} has tables of something else, such as '{foreign[0]}': name another database, or another schema "
            "(?options=-csearch_path%3D…), with EXECUTION_STATUS_STORE"
        )
    if not create:
        raise StoreMissing(
            f"there is no event store at {place} yet: `execution-status up` makes one, "
            "or name another with EXECUTION_STATUS_STORE"
        )
    return False


def make(datastore: Datastore, recorder: PostgresApplicationRecorder) -> None:
    """Make all tables and the mark in one transaction: another process sees all of it or nothing. Raises StoreError."""
    with datastore.started(lambda connection: _begin(connection, datastore.schema)) as (connection, _):
        cursor = rows_of(connection)
        held = [row[0] for row in cursor.execute(LOOK, (datastore.schema, list(TABLES)))]
        if MARK in held:
            return  # another process was first
        check(datastore.address.place, held, None, create=True)
        (encoding,) = cursor.execute("SELECT current_setting('server_encoding')").fetchall()[0]
        if encoding != "UTF8":
            raise StoreError(
                f"the database of the event store {datastore.address.place} has the encoding {encoding}, which cannot "
                "hold all texts: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        for statement in _library_statements(cursor, datastore, recorder):
            cursor.execute(statement)
        for ours in (CREATE_EVENT_IDS, CREATE_MARK, *tables.CREATE):
            cursor.execute(query(ours))
        cursor.execute(SET_VERSION, (SCHEMA_VERSION,))
        cursor.execute("COMMIT")


def _library_statements(cursor: Any, datastore: Datastore, recorder: PostgresApplicationRecorder) -> list[Any]:
    """What the library makes, without the function that inserts and does not lock, which nobody must use."""
    dropped = [recorder.sql_create_pg_function_insert_events]
    name = f"{Identifier(datastore.schema).as_string()}.{recorder.stored_event_type_name}"
    if cursor.execute(TYPE_IS_THERE, (name,)).fetchone()[0]:  # left over where only tables were dropped
        dropped += [one for one in recorder.sql_create_statements if "CREATE TYPE" in one.as_string()]
    return [statement for statement in recorder.sql_create_statements if statement not in dropped]


def create_tables(datastore: Datastore, statements: Sequence[str]) -> None:
    """Make tables that are missing, one process at a time. Raises StoreError."""
    with datastore.started(lambda connection: _begin(connection, datastore.schema)) as (connection, _):
        for statement in statements:
            connection.execute(query(statement))
        connection.execute("COMMIT")


def _begin(connection: PgConnection, schema: str) -> None:
    connection.execute(BEGIN.format(advisory_key("schema", schema)))

"""Reads of a PostgreSQL store for an event loop, on one asynchronous connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import psycopg
from eventsourcing.persistence import Notification
from psycopg.rows import TupleRow, tuple_row
from psycopg.sql import Identifier

from projector.engines.ports import Parameters
from projector.engines.postgres import schema as postgres_schema
from projector.engines.postgres.address import Address
from projector.engines.postgres.connection import PREPARE_SELDOM, SET, SETTINGS, Statement, words_of
from projector.engines.postgres.datastore import CURRENT_SCHEMA
from projector.engines.postgres.errors import translated
from projector.engines.postgres.forked import keep_from_children
from projector.engines.postgres.recorder import bounded, stored
from projector.engines.postgres.statements import query
from projector.envelope import execution_stream
from projector.errors import InputRejected, StoreClosed

SELECT_CURRENT: Final = """
WITH held AS (
    SELECT version, status FROM executions WHERE execution_id = %(execution)s
    AND EXISTS (SELECT 1 FROM tracking WHERE application_name = 'projector.fold' AND notification_id = %(fold)s)
)
SELECT 0::bigint AS position, '', version, '', ''::bytea, status FROM held
UNION ALL
SELECT notification_id, originator_id, originator_version, topic, state, '' FROM stored_events
WHERE originator_id = %(stream)s AND originator_version > COALESCE((SELECT version FROM held), 0)
ORDER BY position
"""
"""An execution's row and what the store holds beyond it, at one moment."""

SELECT_REST_OF_STREAM: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version
"""
"""What the store holds of one stream beyond a version."""

SELECT_REST_OF_STREAMS: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
WHERE notification_id > %s AND starts_with(originator_id, %s) ORDER BY notification_id
"""
"""What the store holds of some streams beyond a position."""

SELECT_HEAD: Final = "SELECT COALESCE(MAX(notification_id), 0) FROM stored_events"
"""Where the store is."""

SELECT_OLDEST: Final = "SELECT state FROM stored_events ORDER BY notification_id LIMIT %s"

_SETTINGS: Final = {**SETTINGS, "default_transaction_read_only": "on"}

_AsyncConnection = psycopg.AsyncConnection[TupleRow]


class PostgresReader:
    """The Reader port on one connection, which is made anew when it was lost: a read of a server that was restarted
    meanwhile succeeds."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: _AsyncConnection | None = None
        self._connecting = asyncio.Lock()
        self._open = False

    @property
    def place(self) -> str:
        """See Reader.place."""
        return self._address.place

    async def open(self) -> None:
        """See Reader.open."""
        self._open = True
        try:
            connection = await self._connected()
            await self._check(connection)
        except psycopg.Error as error:
            await self.close()
            self._raise(error)
        except BaseException:
            await self.close()
            raise

    async def _check(self, connection: _AsyncConnection) -> None:
        schema = (await _rows(connection, CURRENT_SCHEMA))[0][0]
        names = (schema or "", list(postgres_schema.TABLES))
        held = [row[0] for row in await _rows(connection, postgres_schema.LOOK, names)]
        version = None
        if postgres_schema.MARK in held:
            version = (await _rows(connection, postgres_schema.READ_VERSION.format(Identifier(schema))))[0][0]
        postgres_schema.check(self._address.place, held, version, create=False)

    async def close(self) -> None:
        """See Reader.close."""
        self._open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def fetch(self, statement: str, parameters: Parameters = ()) -> list[Any]:
        """See Reader.fetch. Raises InputRejected for a text that no row of a database can hold."""
        return await self._ask(query(statement), parameters)

    async def current(self, execution_id: str, fold_version: int) -> tuple[str | None, list[Notification]]:
        """See Reader.current."""
        asked = {"execution": execution_id, "stream": execution_stream(execution_id), "fold": fold_version}
        rows = await self._ask(SELECT_CURRENT, asked)
        status = rows[0][5] if rows and rows[0][0] == 0 else None
        return status, _notifications(row[:5] for row in rows if row[0])

    async def stream(self, stream: str, after: int) -> list[Notification]:
        """See Reader.stream."""
        return _notifications(await self._ask(SELECT_REST_OF_STREAM, (stream, bounded(after))))

    async def streams(self, prefix: str, after: int) -> list[Notification]:
        """See Reader.streams."""
        return _notifications(await self._ask(SELECT_REST_OF_STREAMS, (bounded(after), prefix)))

    async def head(self) -> int:
        """See Reader.head."""
        return int((await self._ask(SELECT_HEAD, ()))[0][0])

    async def oldest(self, limit: int) -> list[bytes]:
        """See Reader.oldest."""
        return [bytes(row[0]) for row in await self._ask(SELECT_OLDEST, (limit,))]

    async def _ask(self, statement: Statement, parameters: Parameters) -> list[TupleRow]:
        try:
            connection = await self._connected()
            try:
                return await _rows(connection, statement, parameters)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
            return await _rows(await self._connected(), statement, parameters)  # it had died while it lay idle
        except psycopg.Error as error:
            self._raise(error)
        except UnicodeEncodeError as error:
            raise InputRejected(f"a text with half a character in it cannot be looked for: {error.reason}") from error

    async def _connected(self) -> _AsyncConnection:
        async with self._connecting:
            if not self._open:
                raise StoreClosed(f"this reader of the event store {self._address.place} is not open")
            if self._connection is None or self._connection.closed:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> _AsyncConnection:
        connection = await psycopg.AsyncConnection[TupleRow].connect(
            **dict(self._address.parameters), autocommit=True, row_factory=tuple_row, prepare_threshold=PREPARE_SELDOM
        )
        try:
            await connection.execute(SET, words_of(_SETTINGS), prepare=False)
        except BaseException:
            await connection.close()
            raise
        keep_from_children(connection)
        return connection

    def _raise(self, error: psycopg.Error) -> NoReturn:
        if isinstance(error, psycopg.DataError) and "NUL" in str(error):
            raise InputRejected("a text with a NUL character in it cannot be looked for") from error
        meant = translated(self._address, error)
        if meant is error:
            raise error
        raise meant from error


async def _rows(connection: _AsyncConnection, statement: Statement, parameters: Any = None) -> list[TupleRow]:
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchall()


def _notifications(rows: Iterable[tuple[Any, ...]]) -> list[Notification]:
    return [row.notification() for row in stored(rows)]

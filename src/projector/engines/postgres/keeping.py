"""Events put into a PostgreSQL database with their positions, and whole streams taken out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg.errors import UniqueViolation
from psycopg.sql import SQL, Identifier

from projector.codec import EventMapper
from projector.door.hygiene import Hygiene
from projector.engines.postgres.connection import PgConnection, rows_of
from projector.engines.postgres.database import projection_key
from projector.engines.postgres.datastore import Datastore
from projector.engines.postgres.schema import LOCK as ADVISORY_LOCK
from projector.engines.postgres.statements import SharedCursor
from projector.envelope import NewEvent
from projector.errors import EventFileError, StoreHasEvents
from projector.keeping.event_line import FiledEvent
from projector.projections.forgetting import forget
from projector.stored_row import StoredRow

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
LOCK: Final = "LOCK TABLE {schema}.stored_events IN EXCLUSIVE MODE"
SELECT_ANY: Final = "SELECT 1 FROM {schema}.stored_events LIMIT 1"

PUT: Final = """
WITH
    given AS (
        SELECT * FROM unnest(%b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::bytea[])
        AS given (position, stream, version, topic, id, state)
    ),
    ids AS (
        INSERT INTO {schema}.event_ids (originator_id, event_id, originator_version)
        SELECT stream, id, version FROM given WHERE id IS NOT NULL
    )
INSERT INTO {schema}.stored_events (notification_id, originator_id, originator_version, topic, state)
SELECT position, stream, version, topic, state FROM given
"""

SET_SEQUENCE: Final = "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)"
"""The next position is the one after this."""
NEXT_POSITION: Final = "SELECT nextval(pg_get_serial_sequence(%s, 'notification_id'))"
SELECT_HEAD: Final = "SELECT COALESCE(MAX(notification_id), 0) FROM {schema}.stored_events"
RING: Final = "SELECT pg_notify('stored_events', '')"
"""What the library's recorder says to its listeners, which they hear when the transaction is committed."""

SELECT_VERSIONS: Final = """
SELECT stream, (SELECT MAX(originator_version) FROM {schema}.stored_events WHERE originator_id = stream)
FROM unnest(%b::text[]) AS asked (stream)
"""
TAKE_OUT_EVENTS: Final = "DELETE FROM {schema}.stored_events WHERE originator_id = ANY (%b::text[])"
TAKE_OUT_EVENT_IDS: Final = """
DELETE FROM {schema}.event_ids USING unnest(%b::text[], %b::text[]) AS gone (id, stream)
WHERE event_id = id AND originator_id = stream
"""

SELECT_STREAMS: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM {schema}.stored_events
WHERE originator_id = ANY (%b::text[])
"""

TAKE_TIME: Final = "SET LOCAL idle_in_transaction_session_timeout = '60s'"
"""The file that is restored may be on a slow disk."""
_AT_ONCE: Final = 500


class PostgresKeeper:
    """The Keeper port."""

    def __init__(self, datastore: Datastore, mapper: EventMapper, hygiene: Hygiene) -> None:
        self._datastore = datastore
        self._mapper = mapper
        self._hygiene = hygiene

    def put_all(self, events: Iterable[FiledEvent]) -> None:
        """See Keeper.put_all."""
        with _each_once(), self._datastore.started(self._begin) as (connection, _):
            cursor = rows_of(connection)
            if cursor.execute(self._formed(SELECT_ANY)).fetchone() is not None:
                raise StoreHasEvents(self._datastore.address.place)
            cursor.execute(TAKE_TIME)
            rows, last = iter(events), 0
            while part := list(islice(rows, _AT_ONCE)):
                self._put(cursor, part)
                last = max(last, *(event.position for event in part))
            if last:
                cursor.execute(SET_SEQUENCE, (self._table, last))
            cursor.execute(RING)
            cursor.execute("COMMIT")

    def read_streams(self, streams: Sequence[str]) -> list[StoredRow]:
        """See Keeper.read_streams."""
        rows = self._datastore.ask(self._formed(SELECT_STREAMS), (list(streams),))
        return [StoredRow(row[0], row[1], row[2], row[3], bytes(row[4])) for row in rows]

    def take_out(
        self, streams: Mapping[str, int], ids: Sequence[tuple[str, str]], stream: str, note: NewEvent
    ) -> list[str]:
        """See Keeper.take_out."""
        event = self._hygiene.admit(note.event)
        state = self._mapper.state(note.id, note.time, note.writer, note.attempt, event)
        names = list(streams)
        with self._datastore.started(self._begin) as (connection, _):
            cursor = rows_of(connection)
            held = dict(cursor.execute(self._formed(SELECT_VERSIONS), ([stream, *names],)).fetchall())
            if changed := [each for each, version in streams.items() if held[each] != version]:
                return changed
            # In the order in which a rebuild takes them: two that waited for each other would both be ended.
            cursor.execute(ADVISORY_LOCK, (projection_key(self._datastore.schema),))
            place = (self._next_position(cursor), stream, (held[stream] or 0) + 1)
            self._put(cursor, [FiledEvent(*place, type(event).__name__, note.id, state)])
            cursor.execute(self._formed(TAKE_OUT_EVENTS), (names,))
            cursor.execute(self._formed(TAKE_OUT_EVENT_IDS), [list(column) for column in zip(*ids, strict=True)])
            forget(SharedCursor(rows_of(connection), self._datastore.address), streams)
            cursor.execute(RING)
            cursor.execute("COMMIT")
        return []

    def _put(self, cursor: psycopg.Cursor[tuple[Any, ...]], events: Sequence[FiledEvent]) -> None:
        cursor.execute(self._formed(PUT), [list(column) for column in zip(*events, strict=True)])

    def _next_position(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> int:
        head = _number(cursor.execute(self._formed(SELECT_HEAD)))
        position = _number(cursor.execute(NEXT_POSITION, (self._table,)))
        if position <= head:  # replicas that are fed logically hold a sequence that is behind its table
            cursor.execute(SET_SEQUENCE, (self._table, head))
            position = _number(cursor.execute(NEXT_POSITION, (self._table,)))
        return position

    @property
    def _table(self) -> str:
        return f"{Identifier(self._datastore.schema).as_string()}.stored_events"

    def _begin(self, connection: PgConnection) -> None:
        connection.execute(BEGIN)
        connection.execute(self._formed(LOCK))

    def _formed(self, statement: Any) -> bytes:
        return SQL(statement).format(schema=Identifier(self._datastore.schema)).as_bytes()


def _number(cursor: psycopg.Cursor[tuple[Any, ...]]) -> int:
    return int(cursor.fetchall()[0][0])


@contextmanager
def _each_once() -> Iterator[None]:
    try:
        yield
    except UniqueViolation as error:
        raise EventFileError(f"the file tells of one event twice ({error}): nothing was restored") from error

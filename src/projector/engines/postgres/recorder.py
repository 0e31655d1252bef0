"""The eventsourcing library's recorder on PostgreSQL, with appends of many streams in two round trips.

The first takes the library's lock and asks what an append must know; the second inserts and commits. From the lock to
the end nobody else inserts, so what was read still holds, and positions are in the order of commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from projector.engines.postgres.connection import PgConnection, limit_time_to_send, rows_of
from projector.engines.postgres.datastore import Datastore
from projector.stored_row import STEP_TOPICS, Shard, StoredRow

COMMIT: Final = "COMMIT"

BEGIN: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
LOCK TABLE {schema}.stored_events IN EXCLUSIVE MODE;
SELECT
    (SELECT COALESCE(MAX(notification_id), 0) FROM {schema}.stored_events),
    (
        SELECT array_agg(nextval(name))
        FROM (SELECT pg_get_serial_sequence(%s, 'notification_id')::regclass AS name OFFSET 0) AS sequence,
        generate_series(1, %s)
    ),
    (
        SELECT array_agg(
            (SELECT MAX(originator_version) FROM {schema}.stored_events WHERE originator_id = stream) ORDER BY place
        )
        FROM unnest(%s::text[]) WITH ORDINALITY AS asked (stream, place)
    ),
    (
        SELECT array_agg(
            (SELECT originator_version FROM {schema}.event_ids WHERE originator_id = stream AND event_id = id)
            ORDER BY place
        )
        FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (stream, id, place)
    ),
    pg_notify('stored_events', '')
"""
"""Keeps all others from inserting until the transaction ends. Then: the head; positions for so many events; the last
version of each stream; the version of each event that is held; and the library's word to its listeners, which they
hear when the transaction is committed."""

RAISE_SEQUENCE: Final = "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)"
TAKE_POSITIONS: Final = """
SELECT array_agg(nextval(name))
FROM (SELECT pg_get_serial_sequence(%s, 'notification_id')::regclass AS name OFFSET 0) AS sequence,
generate_series(1, %s)
"""

SELECT_LAST: Final = "SELECT COALESCE(MAX(originator_version), 0) FROM {schema}.stored_events WHERE originator_id = %s"

INSERT: Final = """
WITH
    given AS (
        SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[], %b::text[])
        AS given (stream, version, topic, state, position, id)
    ),
    ids AS (
        INSERT INTO {schema}.event_ids (originator_id, event_id, originator_version)
        SELECT stream, id, version FROM given
    )
INSERT INTO {schema}.stored_events (originator_id, originator_version, topic, state, notification_id)
SELECT stream, version, topic, state, position FROM given
"""
"""Events with their ids. With binary arrays this is as fast as COPY twice, and for a few events faster."""

SELECT_AT: Final = """
SELECT notification_id, originator_id, originator_version, topic, state
FROM unnest(%b::text[], %b::bigint[]) AS asked (stream, version)
JOIN {schema}.stored_events ON originator_id = stream AND originator_version = version
"""
"""The events at these versions of their streams."""

SELECT_STREAM: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM {schema}.stored_events
WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s
ORDER BY originator_version {order} LIMIT %s
"""

SELECT_LANDMARKS: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM {schema}.stored_events
WHERE originator_id = %s AND originator_version <= %s AND topic <> ALL(%b::text[])
ORDER BY originator_version
"""

SELECT_TAIL: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM {schema}.stored_events
WHERE notification_id > %s ORDER BY notification_id LIMIT %s
"""

SELECT_SHARD: Final = """
SELECT notification_id, originator_id, originator_version, topic, state FROM {schema}.stored_events
WHERE notification_id > %s AND mod(abs(hashtext(originator_id)::bigint), %s) = %s
ORDER BY notification_id LIMIT %s
"""
"""The events of those streams whose hash has this remainder."""

SELECT_HEAD: Final = "SELECT COALESCE(MAX(notification_id), 0) FROM {schema}.stored_events"

_NO_END: Final = 2**62
_MOST_ROWS: Final = 2000
_MOST_BYTES: Final = 16 * 2**20
"""What one INSERT may hold: a value of the protocol ends at 1 GiB, and both ends keep several copies in memory."""


class NewRow(NamedTuple):
    """An event to be inserted."""

    stream: str
    version: int
    topic: str
    state: bytes
    position: int
    id: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the store holds of the streams of an append, under the lock."""

    held: dict[tuple[str, str], int]
    """(stream, event id) → version."""
    last: dict[str, int]
    """Stream → its last version, 0 when it does not exist."""
    positions: Iterator[int]
    """Positions for new events, above all that there are."""


class EventRecorder(PostgresApplicationRecorder):
    """The library's recorder, with idempotent appends and with positions in what it reads from a stream."""

    datastore: Datastore

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore)
        self._table = f"{Identifier(datastore.schema).as_string()}.stored_events"
        self._begin = self._formed(BEGIN)
        self._select_last = self._formed(SELECT_LAST)
        self._insert = self._formed(INSERT)
        self._select_at = self._formed(SELECT_AT)
        self._select_stream = {
            order: self._formed(SELECT_STREAM, order=SQL(word)) for order, word in ((False, "ASC"), (True, "DESC"))
        }
        self._select_tail = self._formed(SELECT_TAIL)
        self._select_shard = self._formed(SELECT_SHARD)
        self._select_landmarks = self._formed(SELECT_LANDMARKS)
        self._select_head = self._formed(SELECT_HEAD)

    def _formed(self, statement: Any, **more: SQL) -> bytes:
        return SQL(statement).format(schema=Identifier(self.datastore.schema), **more).as_bytes()

    def begin(self, connection: PgConnection, streams: Sequence[str], asked: Sequence[tuple[str, str]]) -> Found:
        """Begin a transaction in which nobody else appends, and look at streams and at (stream, event id)s."""
        streams_asked, ids_asked = [stream for stream, _ in asked], [event_id for _, event_id in asked]
        # One message with the values within it: a pipeline is as quick, but libpq ends one with a word that makes the
        # server forget idle_in_transaction_session_timeout, and a process that is paused here would hold the lock for
        # as long as it is paused.
        cursor = psycopg.ClientCursor(connection, row_factory=tuple_row)
        cursor.execute(self._begin, (self._table, len(asked), streams, streams_asked, ids_asked))
        while cursor.nextset():
            pass
        head, positions, last, held, _ = cursor.fetchall()[0]
        if positions and positions[0] <= head:
            # Replicas that are fed logically, and some backups, hold a sequence that is behind its table.
            asking = rows_of(connection)
            asking.execute(RAISE_SEQUENCE, (self._table, head))
            positions = asking.execute(TAKE_POSITIONS, (self._table, len(asked))).fetchall()[0][0]
        return Found(
            held={key: version for key, version in zip(asked, held or (), strict=True) if version is not None},
            last={stream: version or 0 for stream, version in zip(streams, last, strict=True)},
            positions=iter(positions or ()),
        )

    def insert_and_commit(self, connection: PgConnection, rows: Sequence[NewRow]) -> None:
        """Insert events with their ids, and end the transaction."""
        with connection.pipeline():
            cursor = rows_of(connection)
            limit_time_to_send(cursor, sum(len(row.state) for row in rows))
            for part in _parts(rows):
                columns = [list(column) for column in zip(*part, strict=True)]
                cursor.execute(self._insert, columns, prepare=True)
            cursor.execute(COMMIT)

    def at(self, connection: PgConnection, places: Sequence[tuple[str, int]]) -> list[StoredRow]:
        """The events at these versions of their streams, in any order."""
        streams, versions = [stream for stream, _ in places], [version for _, version in places]
        return stored(rows_of(connection).execute(self._select_at, (streams, versions)).fetchall())

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of a stream, as notifications: they know their position."""
        rows = self._stream(str(originator_id), gt or 0, lte, limit, desc=desc)
        return [row.notification() for row in rows]

    def stream(self, stream: str, after: int, upto: int | None, limit: int | None) -> list[StoredRow]:
        """Events of a stream above a version and up to another."""
        return self._stream(stream, after, upto, limit, desc=False)

    def _stream(self, stream: str, after: int, upto: int | None, limit: int | None, *, desc: bool) -> list[StoredRow]:
        parameters = (stream, bounded(after), bounded(upto, _NO_END), bounded(limit, _NO_END))
        return stored(self.datastore.ask(self._select_stream[desc], parameters))

    def landmarks(self, stream: str, upto: int) -> list[StoredRow]:
        """The events of a stream up to a version that are neither an agent's steps nor heartbeats."""
        return stored(self.datastore.ask(self._select_landmarks, (stream, bounded(upto), list(STEP_TOPICS))))

    def tail(self, after: int, limit: int, shard: Shard | None = None) -> list[StoredRow]:
        """Events of all streams, or of a part of them, above a position."""
        if shard is None:
            return stored(self.datastore.ask(self._select_tail, (bounded(after), bounded(limit))))
        parameters = (bounded(after), shard.parts, shard.place, bounded(limit))
        return stored(self.datastore.ask(self._select_shard, parameters))

    def head(self) -> int:
        """The last position, 0 for an empty store."""
        return int(self.datastore.ask(self._select_head)[0][0])

    def last_version(self, stream: str) -> int:
        """The last version of a stream, 0 when it does not exist."""
        return int(self.datastore.ask(self._select_last, (stream,))[0][0])


def _parts(rows: Sequence[NewRow]) -> Iterator[list[NewRow]]:
    part: list[NewRow] = []
    size = 0
    for row in rows:
        if part and (len(part) == _MOST_ROWS or size + len(row.state) > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.state)
    if part:
        yield part


def stored(rows: Iterable[tuple[Any, ...]]) -> list[StoredRow]:
    """Rows of the columns notification_id, originator_id, originator_version, topic and state."""
    return [tuple.__new__(StoredRow, row) for row in rows]  # a third faster than by name, and there are millions


def bounded(number: int | None, otherwise: int = 0) -> int:
    """What people type as a version or a position may be more than a bigint holds."""
    return otherwise if number is None else min(number, _NO_END)

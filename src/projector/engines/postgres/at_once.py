"""A batch of appends stored by one message to the server and its answer.

Almost always every event of a batch is new and every expectation holds. So one statement looks whether that is so,
under the lock, and only then inserts; the lock is held for no longer than the server needs. A batch of which it is not
so is left to the recorder's two round trips, and so is one that is too large or contradicts itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg.sql import SQL, Identifier

from projector.engines.postgres.appends import Entry
from projector.engines.postgres.connection import PgConnection, limit_time_to_send, rows_of
from projector.envelope import RecordedEvent
from projector.event_store import STORED_UNTOLD, Appended

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
LOCK: Final = "LOCK TABLE {schema}.stored_events IN EXCLUSIVE MODE"
COMMIT: Final = "COMMIT"

STORE: Final = """
WITH
    asked AS MATERIALIZED (
        SELECT stream, expected, COALESCE(
            (SELECT MAX(originator_version) FROM {schema}.stored_events WHERE originator_id = stream), 0
        ) AS version
        FROM unnest(%b::text[], %b::bigint[]) AS asked (stream, expected)
    ),
    given AS MATERIALIZED (
        SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::text[]) WITH ORDINALITY
        AS given (stream, nth, topic, state, id, place)
    ),
    fine AS MATERIALIZED (
        SELECT pg_notify('stored_events', '')
        WHERE NOT EXISTS (SELECT 1 FROM asked WHERE expected >= 0 AND expected <> version)
        AND NOT EXISTS (
            SELECT 1 FROM given WHERE (
                SELECT originator_version FROM {schema}.event_ids WHERE originator_id = stream AND event_id = id
            ) IS NOT NULL
        )
        AND COALESCE(pg_sequence_last_value(pg_get_serial_sequence(%s, 'notification_id')::regclass), 0)
            >= (SELECT COALESCE(MAX(notification_id), 0) FROM {schema}.stored_events)
    ),
    new_rows AS MATERIALIZED (
        SELECT given.stream, asked.version + nth AS version, topic, state, id, place
        FROM fine, given JOIN asked ON asked.stream = given.stream
    ),
    ids AS (
        INSERT INTO {schema}.event_ids (originator_id, event_id, originator_version)
        SELECT stream, id, version FROM new_rows
    ),
    stored AS (
        INSERT INTO {schema}.stored_events (originator_id, originator_version, topic, state)
        SELECT stream, version, topic, state FROM new_rows ORDER BY place
        RETURNING notification_id, originator_version
    )
SELECT
    array_agg(notification_id ORDER BY notification_id), array_agg(originator_version ORDER BY notification_id)
FROM stored
"""
"""Positions and versions of new events in their order, or NULLs when one is held already, an expectation fails, or the
sequence of positions is behind its table. The listeners are told when it was fine."""

_ANYTHING: Final = -1
_MOST_ROWS: Final = 2000
_MOST_BYTES: Final = 16 * 2**20
"""What one statement may hold: a value of the protocol ends at 1 GiB, and both ends keep several copies in memory."""


class AtOnce:
    """The statements for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        self._table = f"{Identifier(schema).as_string()}.stored_events"
        self._lock = _formed(LOCK, schema)
        self._store = _formed(STORE, schema)

    def store(self, connection: PgConnection, entries: Sequence[Entry]) -> list[Appended] | None:
        """Store a batch and commit it, or change nothing and return None."""
        columns = _columns(entries)
        if columns is None:
            return None
        with connection.pipeline():
            cursor = rows_of(connection)
            cursor.execute(BEGIN, prepare=True)
            limit_time_to_send(cursor, sum(len(state) for entry in entries for state in entry.states))
            cursor.execute(self._lock, prepare=True)
            # Its plan may be kept, as sequential scans are switched off and there is nothing else to choose.
            stored = rows_of(connection).execute(self._store, (*columns, self._table), prepare=True)
            cursor.execute(COMMIT, prepare=True)
        positions, versions = stored.fetchall()[0]
        return _outcomes(entries, positions, versions) if positions else None


def _formed(statement: Any, schema: str) -> bytes:
    return SQL(statement).format(schema=Identifier(schema)).as_bytes()


def _columns(entries: Sequence[Entry]) -> tuple[list[Any], ...] | None:
    """Streams, with what is expected of each before the batch; and of each event its stream, how many of the batch it
    has come to there, topic, body and id. None for a batch that cannot be stored so."""
    expected: dict[str, int] = {}
    come_to: dict[str, int] = {}
    ids: set[tuple[str, str]] = set()
    rows: list[tuple[str, int, str, bytes, str]] = []
    size = 0
    for append, events, states in entries:
        stream, nth = append.stream, come_to.get(append.stream, 0)
        if append.expect.version is not None:
            before = append.expect.version - nth
            if before < 0 or expected.setdefault(stream, before) != before:
                return None
        for new, event, state in zip(append.events, events, states, strict=True):
            nth += 1
            size += len(state)
            ids.add((stream, new.id))
            rows.append((stream, nth, type(event).__name__, state, new.id))
        come_to[stream] = nth
    if not 0 < len(rows) <= _MOST_ROWS or size > _MOST_BYTES or len(ids) < len(rows):
        return None
    asked = list(come_to)
    return (asked, [expected.get(stream, _ANYTHING) for stream in asked], *map(list, zip(*rows, strict=True)))


def _outcomes(entries: Sequence[Entry], positions: Sequence[int], versions: Sequence[int]) -> list[Appended]:
    outcomes = []
    at = 0
    for append, events, _ in entries:
        end = at + len(events)
        if append.is_told:
            records = [
                RecordedEvent(append.stream, version, position, new.id, new.time, new.writer, new.attempt, event)
                for new, event, position, version in zip(
                    append.events, events, positions[at:end], versions[at:end], strict=True
                )
            ]
            outcomes.append(Appended(tuple(records)))
        else:
            outcomes.append(STORED_UNTOLD)
        at = end
    return outcomes

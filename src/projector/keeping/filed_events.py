"""Events of a store as they go into a file: their bodies opened, and with the ids that make an append idempotent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

import msgspec

from projector.codec import EventMapper
from projector.engines.ports import Cursor, StoreEngine
from projector.keeping.event_line import FiledEvent
from projector.stored_row import StoredRow

PAGE: Final = 500
"""Rows are read so many at a time, each time in a short transaction: whoever writes is never held up."""

SELECT_VERSIONS_OF_IDS: Final = (
    "WITH asked (stream, id) AS (VALUES {}) SELECT originator_id, event_id, originator_version "
    "FROM asked CROSS JOIN event_ids WHERE originator_id = stream AND event_id = id"
)
SELECT_IDS: Final = "SELECT originator_id, originator_version, event_id FROM event_ids WHERE originator_id IN ({})"
"""Looks through all ids that there are, so it is only asked for events that do not tell theirs."""

_AT_ONCE: Final = 250
"""Two parameters each: some builds of SQLite refuse more than 999."""


class _Body(msgspec.Struct):
    id: str


_ID: Final = msgspec.json.Decoder(_Body)


class Filing:
    """How the events of one store are filed: encrypted as the store holds them, or with their bodies opened."""

    def __init__(self, store: StoreEngine, *, decrypt: bool = False) -> None:
        """With `decrypt` the bodies of an encrypted store are opened too."""
        self._store = store
        self._mapper = store.mapper
        self.keeps_encryption = self._mapper.cipher is not None and not decrypt

    def whole_store(self, upto: int) -> Iterator[FiledEvent]:
        """All events up to a position, in the order of their positions. Raises StoreError."""
        position = 0
        while rows := self._store.tail_stored(after=position, limit=PAGE):
            wanted = [row for row in rows if row.position <= upto]
            yield from self._filed(wanted)
            if len(wanted) < len(rows):
                return
            position = rows[-1].position

    def stream(self, stream: str, *, upto: int | None = None) -> Iterator[FiledEvent]:
        """The events of one stream, up to a version if one is given. Raises StoreError."""
        version = 0
        while rows := self._store.read_stored(stream, after=version, upto=upto, limit=PAGE):
            yield from self._filed(rows)
            if len(rows) < PAGE:
                return
            version = rows[-1].version

    def streams(self, sizes: Mapping[str, int]) -> Iterator[FiledEvent]:
        """The events of several streams, one stream after the other.

        `sizes` is about how many events each has: short ones are read many at a time. Raises StoreError.
        """
        for some in _together(sizes):
            if len(some) == 1:
                yield from self.stream(some[0])
            else:
                order = {stream: place for place, stream in enumerate(some)}
                rows = self._store.keeper().read_streams(some)
                yield from self._filed(sorted(rows, key=lambda row: (order[row.stream], row.version)))

    def _filed(self, rows: Sequence[StoredRow]) -> list[FiledEvent]:
        bodies = [_opened(self._mapper, row.state) for row in rows]
        told = [_id_in(body) for body in bodies]
        with self._store.database.transaction(commit=False) as cursor:
            ids = _held_ids(cursor, rows, told)
        kept = [row.state for row in rows] if self.keeps_encryption else bodies
        return [
            FiledEvent(position, stream, version, topic, event_id, body)
            for (position, stream, version, topic, _), event_id, body in zip(rows, ids, kept, strict=True)
        ]


def _opened(mapper: EventMapper, state: bytes) -> bytes:
    try:
        return mapper.opened(state)
    except Exception:  # damaged in any way: it is filed as it is
        return state


def _id_in(body: bytes) -> str | None:
    try:
        return _ID.decode(body).id
    except (ValueError, RecursionError):
        return None


def _held_ids(cursor: Cursor, rows: Sequence[StoredRow], told: Sequence[str | None]) -> list[str | None]:
    """The id under which the store holds each event. What its body tells is nearly always right, and checked."""
    asked = [(row.stream, event_id) for row, event_id in zip(rows, told, strict=True) if event_id is not None]
    held = {(stream, version): event_id for stream, event_id, version in _versions_of(cursor, asked)}
    untold = {row.stream for row in rows if (row.stream, row.version) not in held}
    if untold:
        held |= {(stream, version): event_id for stream, version, event_id in _ids_of(cursor, sorted(untold))}
    return [held.get((row.stream, row.version)) for row in rows]


def _versions_of(cursor: Cursor, asked: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str, int]]:
    for at in range(0, len(asked), _AT_ONCE):
        part = asked[at : at + _AT_ONCE]
        cursor.execute(SELECT_VERSIONS_OF_IDS.format(", ".join(["(?, ?)"] * len(part))), tuple(chain(*part)))
        yield from (tuple(row) for row in cursor.fetchall())


def _ids_of(cursor: Cursor, streams: Sequence[str]) -> Iterable[tuple[str, int, str]]:
    cursor.execute(SELECT_IDS.format(", ".join("?" * len(streams))), tuple(streams))
    return [tuple(row) for row in cursor.fetchall()]


def _together(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Streams that are read at once: as many as have a page of events together."""
    some: list[str] = []
    count = 0
    for stream, size in sizes.items():
        if some and count + size > PAGE:
            yield some
            some, count = [], 0
        some.append(stream)
        count += size
    if some:
        yield some

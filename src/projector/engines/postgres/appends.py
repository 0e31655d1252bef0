"""What becomes of each append of a batch, decided from what the store holds and from the appends before it.

Pure: what is read before and written after is the recorder's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from projector.engines.postgres.recorder import Found, NewRow
from projector.envelope import RecordedEvent
from projector.errors import VersionConflict
from projector.event_store import STORED_UNTOLD, Append, Appended


class Entry(NamedTuple):
    """An append with its events behind the door, and their bodies."""

    append: Append
    events: Sequence[Any]
    states: Sequence[bytes]


class _Held(NamedTuple):
    """The answer to an append that is there already, still to be read."""

    stream: str
    versions: list[int]


class Decisions:
    """Takes the appends of a batch in their order. `found` is used up."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._outcomes: list[Appended | VersionConflict | _Held] = []
        self._untold: list[tuple[Entry, int]] = []
        self._read: dict[tuple[str, int], RecordedEvent] = {}
        self.rows: list[NewRow] = []
        """What is to be inserted."""

    def take(self, entry: Entry) -> None:
        """Decide about one append."""
        append, held = entry.append, self._found.held
        stream, last = append.stream, self._found.last[append.stream]
        versions = [held[key] for new in append.events if (key := (stream, new.id)) in held] if held else []
        if versions and len(versions) == len(append.events):
            self._outcomes.append(_Held(stream, versions))
        elif versions:
            self._outcomes.append(VersionConflict(stream, versions[0] - 1, last))
        elif append.expect.version is not None and append.expect.version != last:
            self._outcomes.append(VersionConflict(stream, append.expect.version, last))
        else:
            self._outcomes.append(self._add(entry, last))

    def _add(self, entry: Entry, version: int) -> Appended:
        stream, at = entry.append.stream, len(self.rows)
        for new, event, state in zip(entry.append.events, entry.events, entry.states, strict=True):
            version += 1
            position = next(self._found.positions)
            self.rows.append(NewRow(stream, version, type(event).__name__, state, position, new.id))
            self._found.held[stream, new.id] = version
        self._found.last[stream] = version
        if entry.append.is_told:
            return Appended(self._records(entry, at))
        self._untold.append((entry, at))
        return STORED_UNTOLD

    def _records(self, entry: Entry, at: int) -> tuple[RecordedEvent, ...]:
        rows = self.rows[at : at + len(entry.events)]
        return tuple(
            [
                RecordedEvent(r.stream, r.version, r.position, new.id, new.time, new.writer, new.attempt, event)
                for r, new, event in zip(rows, entry.append.events, entry.events, strict=True)
            ]
        )

    def missing(self) -> list[tuple[str, int]]:
        """(stream, version) of events that the store held before and that are to be answered with."""
        asked = [(one.stream, version) for one in self._outcomes if isinstance(one, _Held) for version in one.versions]
        if asked:  # of events of this batch, perhaps
            made = [record for one in self._outcomes if isinstance(one, Appended) for record in one.records]
            made += [record for entry, at in self._untold for record in self._records(entry, at)]
            self._read = {(record.stream, record.version): record for record in made}
        return [place for place in dict.fromkeys(asked) if place not in self._read]

    def found(self, record: RecordedEvent) -> None:
        """What the store holds at one of the places that were missing."""
        self._read[record.stream, record.version] = record

    def outcomes(self) -> list[Appended | VersionConflict]:
        """An answer for each append, in their order."""
        return [
            Appended(tuple(self._read[one.stream, version] for version in one.versions), is_new=False)
            if isinstance(one, _Held)
            else one
            for one in self._outcomes
        ]

"""The event store's port: append, read, tail. Engines stand behind it; callers know only this file.

Every call blocks on the disk, so none belongs on an event loop: asynchronous code goes through `projector.event_writer`
to append and through `asyncio.to_thread` to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from projector.envelope import NewEvent, RecordedEvent
from projector.errors import VersionConflict


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an append expects of its stream: a version, or anything when it is None."""

    version: int | None


ANY: Final = Expectation(None)
"""Append after whatever is there."""
NO_STREAM: Final = Expectation(0)
"""Append only if the stream does not exist."""


def exactly(version: int) -> Expectation:
    """Append only if the stream is at this version."""
    return Expectation(version)


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream, stored together or not at all.

    `is_told` is False when nobody asks what was stored: an engine may then answer without records, which are costly
    to make.
    """

    stream: str
    events: tuple[NewEvent, ...]
    expect: Expectation = ANY
    is_told: bool = True


@dataclass(frozen=True, slots=True)
class Appended:
    """What the store holds for the events of an append, in their order.

    `is_new` is False when their ids were in the stream already: a retried append, or a second verdict. The records
    are then those that stand, which for a shared id such as END_EVENT_ID may say something else than the append did.
    """

    records: tuple[RecordedEvent, ...]
    is_new: bool = True


STORED_UNTOLD: Final = Appended(())
"""The answer to an append that nobody is told of."""

OnAppend = Callable[[int, float], None]
"""Told of each transaction that appended: of how many events, and how many seconds it took with all its waiting."""


class EventStore(Protocol):
    """An append-only store of events. Safe to use from several threads and several processes."""

    def append(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Appended:
        """Store events at the end of a stream; when it returns they are on disk.

        Events whose ids the stream holds already are not stored again, whatever was expected.
        Raises VersionConflict when the expectation does not hold, StoreError when the store cannot serve, ValueError
        when two of the events have the same id.
        """
        ...

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | VersionConflict]:
        """Store several appends in one transaction; one that conflicts leaves the others alone. Raises StoreError."""
        ...

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Events of a stream in order of version, those above `after` and up to `upto`. Raises StoreError."""
        ...

    def tail(self, *, after: int, limit: int = 500) -> list[RecordedEvent]:
        """Events of all streams in order of position, those above `after`. Raises StoreError."""
        ...

    def head(self) -> int:
        """The last position, 0 for an empty store. Raises StoreError."""
        ...

    def version(self, stream: str) -> int:
        """The last version of a stream, 0 when it does not exist. Raises StoreError."""
        ...

    def close(self) -> None:
        """Release the connections. Calling it twice does no harm."""
        ...

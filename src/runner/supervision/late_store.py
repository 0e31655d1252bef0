"""An event store that is opened when it is first used, and tried again while it cannot be opened for now.

A supervisor must watch its runner also while the store is locked or its disk is full.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from projector.envelope import NewEvent, RecordedEvent
from projector.errors import StoreClosed, VersionConflict
from projector.event_store import ANY, Append, Appended, EventStore, Expectation


class LateStore:
    """The store that `opener` opens. Every call may raise what opening raises (StoreError)."""

    def __init__(self, opener: Callable[[], EventStore]) -> None:
        self._opener = opener
        self._store: EventStore | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def append(self, stream: str, events: Sequence[NewEvent], expect: Expectation = ANY) -> Appended:
        """See `EventStore`."""
        return self._opened().append(stream, events, expect)

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | VersionConflict]:
        """See `EventStore`."""
        return self._opened().append_batch(appends)

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> list[RecordedEvent]:
        """See `EventStore`."""
        return self._opened().read(stream, after=after, upto=upto, limit=limit)

    def tail(self, *, after: int, limit: int = 500) -> list[RecordedEvent]:
        """See `EventStore`."""
        return self._opened().tail(after=after, limit=limit)

    def head(self) -> int:
        """See `EventStore`."""
        return self._opened().head()

    def version(self, stream: str) -> int:
        """See `EventStore`."""
        return self._opened().version(stream)

    def close(self) -> None:
        """Close it if it was opened. Calling it twice does no harm."""
        with self._lock:
            self._is_closed = True
            if self._store is not None:
                self._store.close()

    def _opened(self) -> EventStore:
        with self._lock:
            if self._is_closed:
                raise StoreClosed("this program has closed the event store")
            if self._store is None:
                self._store = self._opener()
            return self._store

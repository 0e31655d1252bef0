"""LISTEN and NOTIFY: every append rings, and one connection of a process hears it for all who wait there.

The ring is in the transaction of the append, so nothing need be done beside it. PostgreSQL's channels are those of a
database: stores in several of its schemas ring for each other, which costs a look and does no harm.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from projector.engines.forked import let_go_in_children
from projector.engines.postgres.connection import PgConnection
from projector.engines.postgres.datastore import Datastore

LISTEN: Final = "LISTEN stored_events"
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_LONGEST_END: Final = 1.0

log = structlog.get_logger("postgres_bell")


class PostgresBell:
    """The Bell port. Its thread and its connection are there while somebody listens."""

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore
        self._door = threading.Lock()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._ear: _Ear | None = None
        let_go_in_children(self)

    def let_go_in_child(self) -> None:
        """Begin anew in a forked child, in which nobody listens yet."""
        self._door = threading.Lock()
        self._listeners = {}
        self._ear = None

    def ring(self) -> None:
        """See Bell.ring. Nothing is left to do: an append rings when it commits."""

    @contextmanager
    def listen(self, wake: Callable[[], None]) -> Iterator[None]:
        """See Bell.listen."""
        mine = object()
        with self._door:
            self._listeners[mine] = wake
            if self._ear is None:
                self._ear = _Ear(self._datastore, self._wake_all)
        try:
            yield
        finally:
            ended = None
            with self._door:
                self._listeners.pop(mine, None)
                if not self._listeners:
                    ended, self._ear = self._ear, None
            if ended is not None:
                ended.end()

    def _wake_all(self) -> None:
        with self._door:
            listeners = list(self._listeners.values())
        for wake in listeners:
            try:
                wake()
            except Exception as error:  # one listener's fault is not the others'
                log.error("a listener could not be woken", reason=f"{type(error).__name__}: {error}")


class _Ear:
    """One thread that listens on one connection, and makes it anew when it is lost."""

    def __init__(self, datastore: Datastore, heard: Callable[[], None]) -> None:
        self._datastore = datastore
        self._heard = heard
        self._ending = threading.Event()
        self._inner, self._outer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="postgres-bell", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop listening; a thread that is just connecting ends a little later by itself."""
        self._ending.set()
        self._outer.close()
        self._thread.join(_LONGEST_END)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        with self._inner:
            while not self._ending.is_set():
                try:
                    with self._datastore.connect() as connection:
                        connection.execute(LISTEN)
                        pause = _FIRST_PAUSE
                        self._heard()  # what was appended while nobody listened
                        self._hear(connection)
                except Exception as error:  # whatever it is, who listens would hear nothing any more
                    if pause == _FIRST_PAUSE and not self._ending.is_set():
                        reason = self._datastore.address.shown(error)
                        log.warning("the bell of the event store was lost; it is looked at anew", reason=reason)
                    self._ending.wait(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)

    def _hear(self, connection: PgConnection) -> None:
        while True:
            ready, _, _ = select.select([connection.fileno(), self._inner.fileno()], [], [])
            if self._inner.fileno() in ready:
                return
            if any(True for _ in list(connection.notifies(timeout=0))):
                self._heard()

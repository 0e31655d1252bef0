"""The bell of an SQLite store, between all processes of one user on one machine, without polling.

    bell = SqliteBell(path)          # opens nothing yet; close it with the store
    bell.ring()                      # after each commit that appended
    with bell.listen(event.set): …   # called from the bell's thread after a ring

Who listens has a datagram socket in a folder that belongs to the user and the store, and one thread that waits on it.
To ring is to send a byte to each socket of the folder. A reader of another user, in another container or on a system
where this cannot be, hears nothing and looks again after a while, as the port says.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from projector.engines.forked import let_go_in_children
from projector.engines.sqlite.bell_folder import BellFolder
from projector.engines.sqlite.listening_socket import ListeningSocket

_TRUSTED_FOR: Final = 1.0
"""How long a listing of the folder is used without a change being seen, in seconds."""
_TICK: Final = 100_000_000
"""A folder that changed within this many ns may change again unseen, as a filesystem's clock ticks slowly."""

log = structlog.get_logger("projector")


class SqliteBell:
    """The Bell port. All methods may be called from any thread; a forked child begins anew."""

    def __init__(self, path: Path) -> None:
        """`path` is the store's file, which need not be there yet."""
        self._folder = BellFolder(path)
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._ear: ListeningSocket | None = None
        self._sender: socket.socket | None = None
        self._sockets: tuple[str, ...] = ()
        self._changed = -1
        self._listed_until = 0.0
        let_go_in_children(self)

    def ring(self) -> None:
        """See Bell.ring."""
        with contextlib.suppress(OSError):  # no socket can be had, or the folder is not ours
            for address in self._addresses():
                self._send(address)

    @contextmanager
    def listen(self, wake: Callable[[], None]) -> Iterator[None]:
        """See Bell.listen. `wake` may be called once more while the context ends."""
        key = object()
        with self._lock:
            self._listeners = {**self._listeners, key: wake}
            if self._ear is None:
                self._ear = self._open_ear()
        try:
            yield
        finally:
            ear = None
            with self._lock:
                self._listeners = {one: each for one, each in self._listeners.items() if one is not key}
                if not self._listeners:
                    ear, self._ear = self._ear, None
            if ear is not None:
                ear.close()

    def close(self) -> None:
        """Hear and ring no more; who still listens must look by himself. Calling it twice does no harm."""
        with self._lock:
            ear, self._ear = self._ear, None
            sender, self._sender = self._sender, None
            self._listed_until = 0.0
        if ear is not None:
            ear.close()
        if sender is not None:
            sender.close()

    def let_go_in_child(self) -> None:
        """See Inherited."""
        self._lock = threading.Lock()  # another thread of the parent's may have held it
        self._listeners = {}
        ear, self._ear = self._ear, None
        sender, self._sender = self._sender, None
        if ear is not None:
            ear.abandon()
        if sender is not None:
            sender.close()

    def __del__(self) -> None:
        if self._sender is not None:
            self._sender.close()

    def _open_ear(self) -> ListeningSocket | None:
        try:
            return ListeningSocket(self._folder, self._wake_all)
        except (OSError, RuntimeError) as error:  # the latter: the system has no thread left
            log.warning("the store's bell cannot be heard here, news come by looking for them", reason=str(error))
            return None

    def _wake_all(self) -> None:
        for wake in self._listeners.values():
            try:
                wake()
            except Exception as error:  # one listener's fault must not leave the others asleep
                log.error("a listener could not be woken", reason=f"{type(error).__name__}: {error}")

    def _addresses(self) -> tuple[str, ...]:
        changed = self._folder.changed()
        if changed is None:
            return ()
        now = time.monotonic()
        if changed != self._changed or now >= self._listed_until:
            is_settled = time.time_ns() - changed > _TICK
            self._sockets = ()
            self._sockets = self._folder.sockets()
            self._changed = changed
            self._listed_until = now + _TRUSTED_FOR if is_settled else 0.0
        return self._sockets

    def _send(self, address: str) -> None:
        sender = self._sender or self._open_sender()
        try:
            sender.sendto(b"!", address)
        except (ConnectionRefusedError, FileNotFoundError):
            self._folder.remove(address)  # of a process that died
            self._listed_until = 0.0
        except OSError:
            pass  # most of all BlockingIOError: it has been rung often enough, and will hear that

    def _open_sender(self) -> socket.socket:
        with self._lock:
            if self._sender is None:
                sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                sender.setblocking(False)
                self._sender = sender
            return self._sender

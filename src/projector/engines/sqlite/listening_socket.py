"""A socket that is rung, and the thread that waits on it. Idle, it costs nothing."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable
from typing import Final

from projector.engines.sqlite.bell_folder import BellFolder

_REST: Final = 0.002
"""After a ring the thread rests for so many seconds: of a thousand rings a second, half a thousand are enough."""
_LOOK_AFTER: Final = 10.0
"""How often it is seen that the socket's file is still there, in seconds: folders for temporary files get cleaned."""
_PATIENCE: Final = 1.0
"""How long it waits for its thread to end, in seconds."""


class ListeningSocket:
    """Calls back once for each burst of rings, until it is closed."""

    def __init__(self, folder: BellFolder, heard: Callable[[], None]) -> None:
        """Raises OSError where there can be no socket, and RuntimeError when there can be no thread."""
        self._folder = folder
        self._heard = heard
        self._is_over = self._ends_itself = False
        self._socket, self._address = folder.add()
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="store bell", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Be rung no more. It returns when the thread has ended, unless it is called from that thread."""
        self._is_over = True
        if threading.current_thread() is self._thread:
            self._ends_itself = True
        else:
            os.write(self._stop_writer, b"!")
            self._thread.join(_PATIENCE)  # while the interpreter ends, threads may not even get to their end
            if not self._thread.is_alive():
                self._end()

    def abandon(self) -> None:
        """Close the descriptors and leave the rest to the process that listens."""
        self._socket.close()
        os.close(self._stop_reader)
        os.close(self._stop_writer)

    def _end(self) -> None:
        self._folder.remove(self._address)
        self.abandon()

    def _listen(self) -> None:
        # These two have no descriptors of their own, which a forked child could not close.
        with selectors.PollSelector() as news, selectors.PollSelector() as stop:
            for one in (news, stop):
                one.register(self._stop_reader, selectors.EVENT_READ)
            news.register(self._socket, selectors.EVENT_READ)
            while not self._is_over:
                ready = [key.fd for key, _ in news.select(_LOOK_AFTER)]
                if not ready:
                    self._look_after(news)
                elif self._stop_reader not in ready:
                    self._drain()
                    self._heard()
                    if not self._is_over:
                        stop.select(_REST)
        if self._ends_itself:
            self._end()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)

    def _look_after(self, news: selectors.BaseSelector) -> None:
        if os.path.lexists(self._address):
            return
        with contextlib.suppress(OSError):  # then it is tried again in a while
            fresh, address = self._folder.add()
            news.unregister(self._socket)
            self._socket.close()
            self._socket, self._address = fresh, address
            news.register(self._socket, selectors.EVENT_READ)

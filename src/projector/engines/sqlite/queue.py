"""The queue in front of SQLite's write lock, which SQLite itself gives to whoever asks at the right moment.

Its own way of waiting is to look again after pauses of up to a tenth of a second: among processes that write without a
pause, the one that has just released the lock takes it again, and another may wait for seconds. Here one lock says who
is next and a second whose turn it is: who has had the turn must be next again before it has another, and one that
waited is next by then.

The queue is a courtesy and no lock: what may be written when is SQLite's to say. So where no queue can be, because its
files cannot be made or locked, or when it does not move because somebody in it stands still, one goes on without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from projector.engines.forked import let_go_in_children
from projector.engines.sqlite.file_lock import FileLock

_PATIENCE: Final = 2.0
"""How long one waits in a queue at most, in seconds: more than hundreds of turns take."""
_LITTLE_PATIENCE: Final = 0.05
"""How long one waits in a queue that did not move the last time, in seconds."""


class WriteQueue:
    """One place in the queue, for one thread at a time. It has a thread of its own from when it first has to wait.

    The kernel keeps the queue, and wakes the one who is next at once. But a wait for a lock of its cannot be ended, so
    the thread does the waiting, and is waited for.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the store's file. Nothing is opened before the first turn."""
        self._next = FileLock(path, "next")
        self._turn = FileLock(path, "turn")
        self._begin()
        let_go_in_children(self)

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._errand = threading.Semaphore(0)
        self._answer = threading.Semaphore(0)
        self._has_turn = False
        self._is_out = False
        """Whether the thread is waiting, and has the locks to itself."""
        self._is_wanted = False
        """Whether anybody is waiting for the thread."""
        self._is_over = False
        self._stands_still = False

    @contextmanager
    def turn(self, patience: float) -> Iterator[None]:
        """Wait for one's turn, for half of `patience` seconds at most, and have it as long as the context lasts.

        The other half is left for SQLite's lock, which may not be free: of those who write past the queue, and after
        the wait was in vain.
        """
        has_turn = self._wait(min(patience / 2, _LITTLE_PATIENCE if self._stands_still else _PATIENCE))
        try:
            yield
        finally:
            if has_turn:
                self._turn.let_go()

    def close(self) -> None:
        """Leave the queue; its files go away when nobody is in it. Calling it twice does no harm."""
        with self._guard:
            self._is_over = True
            thread, is_out = self._thread, self._is_out
            if thread is None:
                self._remove()
            else:
                self._errand.release()
        if thread is not None and not is_out:
            thread.join(_PATIENCE)

    def let_go_in_child(self) -> None:
        """See Inherited."""
        self._begin()

    def _wait(self, patience: float) -> bool:
        with self._guard:
            self._is_over = False
            if not self._is_out:
                try:
                    if self._next.take() and self._turn.take():
                        self._next.let_go()
                        self._stands_still = False
                        return True
                    self._send()
                except (OSError, RuntimeError):  # the latter: there is no thread to be had
                    self._next.let_go()
                    return False
            self._is_wanted = True
        if not self._answer.acquire(timeout=patience):
            with self._guard:
                if self._is_wanted:
                    self._is_wanted, self._stands_still = False, True
                    return False
            self._answer.acquire()  # it came at the last moment
        self._stands_still = False
        return self._has_turn

    def _send(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="store queue", daemon=True)
            thread.start()
            self._thread = thread
        self._is_out = True
        self._errand.release()

    def _run(self) -> None:
        while True:
            self._errand.acquire()
            if self._is_out:
                has_turn = self._take_turn()
                with self._guard:
                    self._is_out = False
                    if self._is_wanted:
                        self._is_wanted, self._has_turn = False, has_turn
                        self._answer.release()
                    else:
                        self._turn.let_go()
            with self._guard:
                if self._is_over:
                    self._remove()
                    self._thread = None
                    return

    def _take_turn(self) -> bool:
        try:
            self._next.wait()
            self._turn.wait()
        except OSError:
            return False
        finally:
            self._next.let_go()
        return True

    def _remove(self) -> None:
        self._next.remove()
        self._turn.remove()

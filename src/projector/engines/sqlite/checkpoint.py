"""Copies the write-ahead log into the database in the background, so that it stays short and no commit waits for it.

Left to itself SQLite does so within the commit that finds the log too long, and never begins the log anew while others
keep writing. Here each process looks at the log when it has committed. When it has grown by a step, one process of
them all copies it (PASSIVE, which nobody has to wait for). When it has grown to its bound nonetheless, the same process
takes a turn in the queue of those who write, copies the little that came in between, and lets the next commit begin the
log anew (RESTART); a file that has become much longer than that, because somebody read one snapshot for long, is cut.

A copy is begun by one process at a time, and only when there is something to copy: which also keeps away from the
moment in which SQLite before 3.51.3 may take a log for copied that was begun anew, and so lose what is in it
(https://sqlite.org/wal.html#walresetbug). Should no process get to it, SQLite's own way is left on as a net, for a log
of twice the bound.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from projector.engines.forked import let_go_in_children
from projector.engines.sqlite.file_lock import FileLock
from projector.engines.sqlite.log import NOTE_SIZE, WriteAheadLog
from projector.engines.sqlite.queue import WriteQueue

LOG_BOUND: Final = 16 * 2**20
"""How long the log may become before it is begun anew, in bytes of pages."""
_STEPS: Final = 4
"""In how many steps it is copied until then."""
_LOOK_EVERY: Final = 0.01
"""A process that commits looks at the log so often at most, in seconds. A look takes some twenty microseconds."""
_STALL: Final = 0.05
"""How long those who write may have to wait for readers of an older state when the log is begun anew, in seconds."""
_PATIENCE: Final = 10.0
"""How long the end of a copy is waited for when the store is closed, in seconds."""


class Checkpointer:
    """Looks after the log of one store. It has a thread from when it is first needed."""

    def __init__(self, path: Path, *, bound: int = LOG_BOUND) -> None:
        """`path` is the store's file; `bound` is in bytes. Nothing is opened before it is needed."""
        self._path = path.absolute()
        self._bound = bound
        self._queue = WriteQueue(path)
        self._lock = FileLock(path, "checkpoint")
        self._tried: WriteAheadLog | None = None
        self._look_at = 0.0
        self._begin()
        let_go_in_children(self)

    def _begin(self) -> None:
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_over = False

    @property
    def net(self) -> int:
        """From which length on, in bytes, a commit may copy the log itself."""
        return 2 * self._bound

    def committed(self) -> None:
        """To be called after each commit, by its thread. Quick, and never raises."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        with contextlib.suppress(OSError, RuntimeError):  # there is no log any more, or no thread can be had
            step = self._bound // _STEPS
            if self._file_size() >= step and WriteAheadLog.at(self._path).beyond(self._tried) >= step:
                self._start()
                self._wake.set()

    def close(self) -> None:
        """End the thread, when it has done what it is doing. Calling it twice does no harm."""
        with self._starting:
            self._is_over = True
            thread, self._thread = self._thread, None
        self._wake.set()
        if thread is not None:
            thread.join(_PATIENCE)

    def let_go_in_child(self) -> None:
        """See Inherited."""
        self._begin()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._is_over:
                self._thread = threading.Thread(target=self._run, name="store checkpoint", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait()
                if self._is_over:
                    return
                self._wake.clear()
                # What cannot be done now, on a full disk or in a folder that is away, is tried after more commits.
                with contextlib.suppress(OSError, sqlite3.Error):
                    self._copy_if_first()
        finally:
            self._lock.remove()
            self._queue.close()

    def _copy_if_first(self) -> None:
        if not self._lock.take():
            return
        try:
            log = WriteAheadLog.at(self._path)
            self._tried = WriteAheadLog.from_note(self._lock.note(NOTE_SIZE))
            if log.beyond(self._tried) >= self._bound // _STEPS:
                self._copy(log)
        finally:
            self._lock.let_go()

    def _copy(self, log: WriteAheadLog) -> None:
        address = self._path.as_uri() + "?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=_STALL, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            frames, copied = _checkpoint(connection, "PASSIVE")
            self._note(WriteAheadLog(log.salts, frames))
            # While a reader keeps it from being copied, waiting for him would only hold up those who write.
            if frames * log.page >= self._bound and (frames - copied) * log.page < self._bound // _STEPS:
                is_too_long = self._file_size() > self.net
                with self._queue.turn(_PATIENCE):
                    frames, _ = _checkpoint(connection, "TRUNCATE" if is_too_long else "RESTART")
                self._note(WriteAheadLog(log.salts, frames))

    def _note(self, tried: WriteAheadLog) -> None:
        self._tried = tried
        self._lock.set_note(tried.to_note())

    def _file_size(self) -> int:
        return Path(f"{self._path}-wal").stat().st_size


def _checkpoint(connection: sqlite3.Connection, mode: str) -> tuple[int, int]:
    """How many frames the log has, and how many of them are copied. Raises sqlite3.Error."""
    _, frames, copied = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    if frames < 0:
        raise sqlite3.OperationalError("somebody else copies the log at this moment")
    return frames, copied

"""Which of the processes that share an SQLite store leads in a role: the one that holds a lock beside it.

Use it as the Leadership port: `FileLeadership(store.path, "projector")`, `hold()` before each piece of work and
`release()` at the end. Two objects of one process are rivals like two processes.
"""

from __future__ import annotations

from pathlib import Path

from projector.engines.sqlite.file_lock import FileLock


class FileLeadership:
    """The Leadership port, by a file lock that the kernel takes from a leader who dies.

    The lead only saves work. So where there can be no lock, because the folder is closed to us or its filesystem knows
    none, all lead; and for a moment two do when the lock's file is deleted under the leader, until it asks again.
    """

    def __init__(self, store: Path, role: str) -> None:
        """`role` is a word that can be part of a file's name."""
        self._lock = FileLock(store, role)

    def hold(self) -> bool:
        """See Leadership.hold."""
        try:
            return self._lock.take()
        except OSError:
            return True

    def release(self) -> None:
        """See Leadership.release."""
        self._lock.remove()

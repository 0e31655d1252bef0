"""A lock between processes: flock on an empty file of its own beside a store, `<store>-<role>.lock`.

The kernel releases it when its holder dies. It never is the store's own file, for a process that closes that by itself
loses SQLite's locks on it. The file goes away again when it is no longer needed, as SQLite's own do, and may be deleted
or replaced at any time: a lock counts only if its file is the one that others find, so nobody is left with a lock of
his own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from projector.engines.forked import let_go_in_children

_TRIES: Final = 3
"""How often the file may be replaced while one call takes the lock."""


class FileLock:
    """One lock, held by this object or not. To be used by one thread at a time; two objects exclude each other."""

    def __init__(self, store: Path, role: str) -> None:
        """`role` is what the lock is for, in a word. Nothing is opened before the lock is wanted."""
        self._store = store.absolute()
        self._path = Path(f"{self._store}-{role}.lock")
        self._name = str(self._path)  # looked at so often that it counts
        self._file = -1
        self._identity = (0, 0)
        let_go_in_children(self)

    def take(self) -> bool:
        """Take the lock if it is free or held by this object already; never waits.

        Raises OSError where there can be no lock: a folder that is away or closed to us, a filesystem without locks.
        """
        for _ in range(_TRIES):
            if self._file < 0 and not self._open():
                continue
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_taken = True
            except BlockingIOError:
                is_taken = False
            if self._is_the_one_others_find():
                return is_taken
            self.close()
        return False

    def wait(self) -> None:
        """Take the lock as soon as it is free, however long that takes; nothing but that ends the wait.

        Those who wait are served in the order in which they came. Raises OSError like `take`.
        """
        while not self.take():
            if self._file >= 0:
                fcntl.flock(self._file, fcntl.LOCK_EX)

    def let_go(self) -> None:
        """Let go of the lock, if it is held."""
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def note(self, size: int) -> bytes:
        """What the last holder noted, at most `size` bytes; empty at first. The lock must be held."""
        return os.pread(self._file, size, 0)

    def set_note(self, note: bytes) -> None:
        """Leave a note for the next holder. The lock must be held. Raises OSError, as when the disk is full."""
        os.pwrite(self._file, note, 0)

    def remove(self) -> None:
        """Close it, and remove its file unless somebody else holds the lock."""
        try:
            if self._file >= 0 and self.take():
                self._path.unlink()  # by its holder only: who has waited for this file finds that it is gone
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Let go of the lock and of the file. Calling it twice does no harm."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def let_go_in_child(self) -> None:
        """See Inherited: the lock stays the parent's, who has the file open still."""
        self.close()

    def __del__(self) -> None:
        self.close()

    def _open(self) -> bool:
        """Whether it could be opened; not if it was removed just now, when it is to be tried again."""
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o600)
            self._share()
        except FileExistsError:
            try:
                self._file = os.open(self._path, os.O_RDWR | flags)
            except PermissionError:
                self._file = os.open(self._path, os.O_RDONLY | flags)  # it can be locked all the same
            except FileNotFoundError:
                return False
        found = os.fstat(self._file)
        self._identity = (found.st_dev, found.st_ino)
        return True

    def _share(self) -> None:
        """Let the same people use it as the store, as SQLite does with its own files."""
        with contextlib.suppress(OSError):
            store = self._store.stat()
            os.fchmod(self._file, store.st_mode & 0o666)
            if os.geteuid() == 0:
                os.fchown(self._file, store.st_uid, store.st_gid)

    def _is_the_one_others_find(self) -> bool:
        try:
            found = os.lstat(self._name)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

"""New query tables in a file beside the store, which sees both by ATTACH.

The file is in a folder `<store>-rebuild-<number>`, and whoever works in that holds a lock in its name. A folder whose
lock can be had was left by a process that is gone, and is gone on with.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from projector.engines.ports import Cursor
from projector.engines.sqlite.datastore import Datastore, translated
from projector.engines.sqlite.file_lock import FileLock
from projector.engines.sqlite.queue import WriteQueue
from projector.errors import StoreError, StoreUnavailable

LOCK: Final = "DELETE FROM main.parked WHERE 0"
"""Takes the write lock of the main database and changes nothing."""


class SqliteBeside:
    """The Beside port: `database` is a file of its own, and the store's connection attaches it as `fresh`."""

    in_use: Final = "main"
    fresh: Final = "fresh"

    def __init__(self, path: Path, fresh: Path, lock_timeout: float) -> None:
        self.database = _open_tables(fresh)
        with self.database.transaction(commit=True) as cursor:
            self.database.mark(cursor)  # as ours, for the other processes that open it
        self._path = path
        self._fresh = fresh
        self._lock_timeout = lock_timeout

    def opener(self) -> Callable[[], Datastore]:
        """See Beside.opener."""
        return partial(_open_tables, self._fresh)

    @contextmanager
    def standing_still(self) -> Iterator[Cursor]:
        """See Beside.standing_still."""
        with closing(WriteQueue(self._path)) as queue, queue.turn(self._lock_timeout), self._both() as cursor:
            yield cursor

    @contextmanager
    def _both(self) -> Iterator[sqlite3.Cursor]:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=self._lock_timeout)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("ATTACH DATABASE ? AS fresh", (str(self._fresh),))
            # BEGIN IMMEDIATE would lock the new tables too, and nobody could bring them up. From the first write on,
            # nothing is appended or projected: the tables in use stand still and can be compared.
            connection.execute("BEGIN")
            connection.execute(LOCK)
            yield connection.cursor()
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(
                f"the query tables of {self._path} could not be rebuilt: {error}; try again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise translated(self._path, error) from error
        finally:
            connection.close()


def _open_tables(fresh: Path) -> Datastore:
    # What a loss of power takes of them is made again; they are copied in a transaction that waits for the disk.
    return Datastore(fresh, is_durable=False)


@contextmanager
def beside(path: Path, lock_timeout: float) -> Iterator[SqliteBeside]:
    """Room for new tables beside a store's file. Raises StoreUnavailable when nothing can be made there."""
    try:
        lock, folder = _free_place(path.absolute())
    except OSError as error:
        raise StoreUnavailable(
            f"the query tables of {path} could not be rebuilt, for new ones cannot be made beside it: {error.strerror}"
        ) from error
    is_interrupted = False
    try:
        room = _room(path, folder, lock_timeout)
        with closing(room.database):
            yield room
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        is_interrupted = True  # it stays, to be gone on with
        raise
    finally:
        if not is_interrupted:
            shutil.rmtree(folder, ignore_errors=True)
        lock.remove()


def _free_place(store: Path) -> tuple[FileLock, Path]:
    for number in count(1):
        lock = FileLock(store, f"rebuild-{number}")
        if lock.take():
            folder = Path(f"{store}-rebuild-{number}")
            folder.mkdir(exist_ok=True)
            return lock, folder
        lock.close()
    raise AssertionError("there is always another number")


def _room(path: Path, folder: Path, lock_timeout: float) -> SqliteBeside:
    try:
        return SqliteBeside(path, folder / "tables.db", lock_timeout)
    except StoreError:  # what was left there cannot be used
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        return SqliteBeside(path, folder / "tables.db", lock_timeout)

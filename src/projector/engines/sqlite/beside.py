"""New query tables in a file beside the store, which sees both by ATTACH."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from projector.engines.ports import Cursor
from projector.engines.sqlite.datastore import Datastore, translated
from projector.engines.sqlite.queue import WriteQueue
from projector.errors import StoreUnavailable

LOCK: Final = "DELETE FROM main.parked WHERE 0"
"""Takes the write lock of the main database and changes nothing."""


class SqliteBeside:
    """The Beside port: `database` is a file of its own, and the store's connection attaches it as `fresh`."""

    in_use: Final = "main"
    fresh: Final = "fresh"

    def __init__(self, path: Path, fresh: Path, lock_timeout: float) -> None:
        self.database = Datastore(fresh)
        with self.database.transaction(commit=True) as cursor:
            self.database.mark(cursor)  # as ours, for the other processes that open it
        self._path = path
        self._fresh = fresh
        self._lock_timeout = lock_timeout

    def opener(self) -> Callable[[], Datastore]:
        """See Beside.opener."""
        return partial(Datastore, self._fresh)

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


@contextmanager
def beside(path: Path, lock_timeout: float) -> Iterator[SqliteBeside]:
    """Room for new tables beside a store's file. Raises StoreUnavailable when nothing can be made there."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="rebuild-", dir=path.absolute().parent)
    except OSError as error:
        raise StoreUnavailable(
            f"the query tables of {path} could not be rebuilt, for new ones cannot be made beside it: {error.strerror}"
        ) from error
    with folder as name:
        room = SqliteBeside(path, Path(name) / "tables.db", lock_timeout)
        try:
            yield room
        finally:
            room.database.close()

"""One SQLite file as the eventsourcing library's datastore, made safe for several processes.

Every connection is in WAL mode with synchronous=FULL, so that a commit that returned is on disk. A write takes the
lock when it begins (BEGIN IMMEDIATE): a deferred transaction that reads and then writes is refused at once when
another process committed in between, whatever the timeout says. It waits for it in a queue of our own, which is fair,
and what it wrote is copied from the log into the database by a thread, which holds up nobody. A connection on which a
write failed is closed, since one that was opened while the file was read-only stays read-only for ever.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from eventsourcing import persistence
from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteCursor,
    SQLiteDatastore,
)

from projector.engines.sqlite.checkpoint import LOG_BOUND, Checkpointer
from projector.engines.sqlite.connections import Pool, Transaction
from projector.engines.sqlite.lock_holder import lock_holder
from projector.engines.sqlite.queue import WriteQueue
from projector.errors import (
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreMissing,
    StoreTooNew,
    StoreUnavailable,
)

APPLICATION_ID: Final = 0x45535450
"""SQLite's own mark of whose file it is: "ESTP" in ASCII."""
SCHEMA_VERSION: Final = 1
_POOL_SIZE: Final = 5
_NOTEWORTHY: Final = 0.05
"""A shorter wait, as a part of the whole, does not make the rest of it shorter."""
_PROGRAMMING_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    persistence.IntegrityError,
    persistence.DataError,
    persistence.ProgrammingError,
)
"""What a statement of ours did wrong: trying it again cannot help."""


class Datastore(SQLiteDatastore):
    """The file of an event store. Raises our StoreErrors in place of the engine's."""

    def __init__(
        self,
        path: Path,
        *,
        lock_timeout: float = 30.0,
        create: bool = True,
        log_bound: int = LOG_BOUND,
        is_durable: bool = True,
    ) -> None:
        """Open the file, and make it when it is absent and `create` is set.

        `lock_timeout` is how long, in seconds, a write waits for another process's; `log_bound` how much, in bytes,
        may be written before the log is begun anew. What is not `is_durable` may be some commits behind after a loss
        of power.
        Raises StoreMissing, StoreForeign, StoreTooNew, StoreDamaged or StoreUnavailable.
        """
        super().__init__(str(path), originator_id_type="text")  # first: its __del__ wants what it makes
        self.path = path
        self._writing = threading.Lock()
        self._lock_timeout = lock_timeout
        self._queue = WriteQueue(path)
        self._checkpointer = Checkpointer(path, bound=log_bound)
        check_place(path, create=create)
        _refuse_foreign(path, create=create)
        self.pool = Pool(
            db_name=path.absolute().as_uri() + "?mode=" + ("rwc" if create else "rw"),
            # The library passes the value on to sqlite3, which takes fractions of a second.
            lock_timeout=lock_timeout,  # type: ignore[arg-type]
            pool_size=_POOL_SIZE,
            max_overflow=10,
            pool_timeout=lock_timeout + 5,
        )
        self.pool.net = self._checkpointer.net
        self.pool.is_durable = is_durable
        deadline = time.monotonic() + lock_timeout
        while True:
            try:
                with self.transaction(commit=False) as cursor:
                    found = _marks(cursor)
                break
            except StoreUnavailable as error:
                # Switching a new file to WAL is refused at once while another process does the same.
                if "locked" not in str(error.__cause__) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        check_marks(path, *found, create=create)
        self.is_made = found[0] == APPLICATION_ID

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        """A connection of the pool; one thread at a time may write."""
        # The pool's own lock for writers is left alone: it is kept for ever when no connection can be made, and a
        # thread that waits for it holds up those that only read.
        if commit and not self._writing.acquire(timeout=self.pool.pool_timeout):
            raise persistence.OperationalError("another thread of this process has been writing all the time")
        try:
            connection = self.pool.get_connection()
            try:
                yield connection
            finally:
                self.pool.put_connection(connection)
        finally:
            if commit:
                self._writing.release()
                if self.pool.closed:
                    self._leave_queue()

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        """One transaction; all its changes are on disk when it ends without an error."""
        try:
            with self.get_connection(commit=commit) as connection:
                try:
                    with self._turn(commit) as left, Transaction(connection, commit, left) as cursor, cursor:
                        yield cursor
                except (sqlite3.Error, persistence.PersistenceError):
                    connection.close()
                    raise
        except persistence.ConnectionPoolClosedError:
            raise StoreClosed(f"the event store {self.path} was closed by this program") from None
        except (sqlite3.Error, persistence.PersistenceError) as error:
            if isinstance(error, _PROGRAMMING_ERRORS):
                raise
            raise translated(self.path, error) from error
        if commit:
            self._checkpointer.committed()

    def close(self) -> None:
        """Close it; what is under way is brought to its end. Calling it twice does no harm."""
        self.pool.close()
        self._checkpointer.close()
        self._leave_queue()

    @contextmanager
    def _turn(self, commit: bool) -> Iterator[float | None]:
        """Where nobody else of ours writes, if this one will; and how long SQLite's lock may yet be waited for."""
        if not commit:
            yield None
            return
        began = time.monotonic()
        with self._queue.turn(self._lock_timeout):
            waited = time.monotonic() - began
            yield self._lock_timeout - waited if waited > _NOTEWORTHY * self._lock_timeout else None

    def _leave_queue(self) -> None:
        # A thread that writes is in the queue, and leaves it when it is done.
        if self._writing.acquire(blocking=False):
            try:
                self._queue.close()
            finally:
                self._writing.release()

    def create_tables(self, statements: Sequence[str]) -> None:
        """Make tables that are missing; safe while other processes do the same."""
        with self.transaction(commit=True) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def mark(self, cursor: SQLiteCursor) -> None:
        """Write into the file whose it is and which schema it has."""
        cursor.execute(f"PRAGMA application_id={APPLICATION_ID}")
        cursor.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def check_place(path: Path, *, create: bool) -> None:
    """Refuse a path that cannot hold an event store; make its folder when `create` is set."""
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        raise StoreError(
            f"the event store {path} cannot be reached: {error.strerror}; "
            "name another place with EXECUTION_STATUS_STORE"
        ) from error
    if is_folder:
        raise StoreError(f"the event store {path} is a folder: name a file in it, such as {path / 'store.db'}")
    if is_there:
        return
    if not create:
        raise StoreMissing(
            f"there is no event store at {path} yet: `execution-status up` makes one, "
            "or name another with EXECUTION_STATUS_STORE"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the folder of the event store {path}: {error.strerror}; "
            "name another place with EXECUTION_STATUS_STORE"
        ) from error


def _refuse_foreign(path: Path, *, create: bool) -> None:
    """Refuse what is not ours while it is as we found it: opening it as ours would switch it to WAL."""
    # `immutable` makes no files beside it. And never read the file past SQLite: a process that closes it by itself
    # loses SQLite's locks on it, and another that closes the store then takes the log away under its writers.
    try:
        if not create and path.stat().st_size == 0:
            check_marks(path, 0, 0, 0, create=False)
        address = path.absolute().as_uri() + "?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            check_marks(path, *_marks(connection.cursor()))
    except (OSError, sqlite3.Error):
        return  # absent, unreadable, or just being written: opening it will say what it is


def _marks(cursor: SQLiteCursor | sqlite3.Cursor) -> tuple[int, int, int]:
    values = []
    for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master"):
        cursor.execute(question)
        values.append(int(cursor.fetchone()[0]))
    return values[0], values[1], values[2]


def check_marks(path: Path, application: int, schema: int, tables: int, *, create: bool = True) -> None:
    """Refuse a database that is not ours or too new, by its application id, schema version and number of tables.

    One that holds nothing at all is refused too, unless `create` is set.
    """
    if not (create or application or tables):
        raise StoreForeign(f"{path} is an empty file, not an event store; `execution-status up` fills it")
    if application != APPLICATION_ID and (application or tables):
        raise StoreForeign(
            f"{path} is a database of something else; name an event store, or a new file, with EXECUTION_STATUS_STORE"
        )
    if application == APPLICATION_ID and schema > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{path} has schema {schema}, and this version reads up to {SCHEMA_VERSION}: install the newer version"
        )


def translated(path: Path, error: Exception) -> StoreError:
    """What an error of SQLite's or of the library's means for the person who named the file."""
    text = str(error)
    if "no such table" in text or "no such column" in text:
        return StoreError(
            f"the query tables of {path} are missing, or were made by another version ({text}): "
            "`execution-status rebuild` makes them anew"
        )
    if "not a database" in text:
        return StoreForeign(f"{path} is not an SQLite database; name another file with EXECUTION_STATUS_STORE")
    if "malformed" in text or "disk image" in text:
        return StoreDamaged(f"the event store {path} is damaged ({text}): restore it from a backup")
    holder = lock_holder(path) if "locked" in text else None
    if holder is not None and holder.pid != os.getpid():
        return StoreUnavailable(f"the event store {path} cannot be used at this moment: {text}; {holder}")
    return StoreUnavailable(
        f"the event store {path} cannot be used at this moment: {text}; "
        "check that the file and its folder are writable, the disk has room and no other program holds a lock"
    )

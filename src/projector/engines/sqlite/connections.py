"""Connections to one SQLite file, and transactions on them: durable, in WAL mode, locked at once if they write."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Final

from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteCursor, SQLiteTransaction

from projector.errors import StoreUnavailable

_PAGE: Final = 4096
"""The size of SQLite's pages, in bytes, unless a file was made with another."""


class Transaction(SQLiteTransaction):
    """A transaction that writes if `commit` is set, and waits so long for the lock, in seconds, if not as usual."""

    def __init__(self, connection: SQLiteConnection, commit: bool, lock_timeout: float | None) -> None:
        super().__init__(connection, commit=commit)
        self._lock_timeout = lock_timeout

    def __enter__(self) -> SQLiteCursor:
        cursor = self.connection.cursor()
        if not self.commit:
            cursor.execute("BEGIN")
        elif self._lock_timeout is None:
            cursor.execute("BEGIN IMMEDIATE")
        else:
            cursor.execute("PRAGMA busy_timeout")
            usual = cursor.fetchone()[0]
            cursor.execute(f"PRAGMA busy_timeout={max(1, round(self._lock_timeout * 1000))}")
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(f"PRAGMA busy_timeout={usual}")
        return cursor

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)


class Pool(SQLiteConnectionPool):
    """The library's pool, which can be closed while its connections are in use."""

    net = 0
    """From how many bytes in the log on a commit takes it over itself."""
    is_durable = True
    """Whether a commit that returned survives a loss of power; if not, the file is whole and some commits behind."""

    def _create_connection(self) -> SQLiteConnection:
        # The library's own way leaves a connection open that fails after it was made, and keeps one statement cached.
        raw = sqlite3.connect(
            self.db_name, uri=True, timeout=self.lock_timeout or 0, isolation_level=None, check_same_thread=False
        )
        try:
            raw.row_factory = sqlite3.Row
            # Asked first: to set what is set already fails where the file may not be written.
            if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                raw.execute("PRAGMA journal_mode=WAL")
            raw.execute(f"PRAGMA synchronous={'FULL' if self.is_durable else 'NORMAL'}")
            if raw.execute("PRAGMA synchronous").fetchone()[0] != (2 if self.is_durable else 1):
                raise StoreUnavailable("SQLite did not accept synchronous=FULL, without which a commit may be lost")
            raw.execute(f"PRAGMA wal_autocheckpoint={self.net // _PAGE}")
        except BaseException:
            raw.close()
            raise
        return SQLiteConnection(sqlite_conn=raw, max_age=self.max_age)

    def put_connection(self, conn: SQLiteConnection) -> None:
        with self._put_condition:
            if not self._closed:
                super().put_connection(conn)
                return
            del self._in_use[id(conn)]
            conn.close()
            conn.in_use.release()

    def close(self) -> None:
        """Close the connections; those in use when they come back, for SQLite does not survive it under a statement."""
        with self._put_condition:
            self._closed = True
            while self._pool:
                self._pool.popleft().close()

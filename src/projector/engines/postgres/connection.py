"""Connections to PostgreSQL: how each is set up, and the few that a process keeps for reuse.

The connections are made in the thread that wants one, not in the background: a server that is back is used at once,
and a connection that cannot be made says why. One that died while it lay idle is noticed before it is used, mostly
without asking the server.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString, NamedTuple, TypeVar

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row
from psycopg.sql import SQL, Composed

from projector.engines.forked import let_go_in_children
from projector.engines.postgres.address import Address
from projector.engines.postgres.forked import keep_from_children
from projector.errors import StoreClosed

T = TypeVar("T")
PgConnection = psycopg.Connection[DictRow]
Statement = LiteralString | bytes | SQL | Composed

SETTINGS: Final[Mapping[str, str]] = {
    # A process that is paused in the middle of a write holds up all others for so long.
    "idle_in_transaction_session_timeout": "5s",
    # A machine that is gone without a word keeps its locks for so long; the kernel's default is two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""What is set on every connection."""

IS_THERE: Final = "SELECT 1"
SET: Final = """
SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS given (name, value)
WHERE current_setting(name, true) IS NOT NULL
UNION ALL
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off' AND 'synchronous_commit' <> ALL (%s::text[])
"""
"""Sets what the server knows. A commit that returned is on disk, whatever the default is, unless asked otherwise."""


class AllInUse(Exception):
    """Every connection that this process may have is in use, and stays so."""


_IDLE: Final = 5
_MOST: Final = 15
_LONGEST_LIFE: Final = 3600.0
_SENT_AT_ONCE: Final = 65_536
"""What the kernel takes in any case, in bytes."""
_TRUSTED_FOR: Final = 5.0
"""How long a connection may lie idle before the server is asked whether it is still there, in seconds."""


PREPARE_SELDOM: Final = 2**31
"""Statements are prepared only where it is asked for: a plan that is kept may be one for tables that were small."""


def connect(address: Address, settings: Mapping[str, str]) -> PgConnection:
    """A connection of its own, in autocommit mode. Raises psycopg.Error."""
    connection = psycopg.Connection[DictRow].connect(
        **dict(address.parameters), autocommit=True, row_factory=dict_row, prepare_threshold=PREPARE_SELDOM
    )
    try:
        connection.execute(SET, words_of(settings), prepare=False)
    except BaseException:
        connection.close()
        raise
    keep_from_children(connection)
    return connection


def words_of(settings: Mapping[str, str]) -> tuple[list[str], list[str], list[str]]:
    """The parameters of SET."""
    return list(settings), list(settings.values()), list(settings)


class _Idle(NamedTuple):
    """A connection that lies idle, when it was made and since when."""

    connection: PgConnection
    born: float
    since: float


class Connections:
    """Connections of one process to one database, for its threads to take turns."""

    def __init__(self, make: Callable[[], PgConnection], *, patience: float, where: str) -> None:
        """`patience` is how long, in seconds, a thread waits while all connections are in use."""
        self._make = make
        self._patience = patience
        self._where = where
        self._room = threading.BoundedSemaphore(_MOST)
        self._door = threading.Lock()
        self._idle: deque[_Idle] = deque()
        self._closed = False
        let_go_in_children(self)

    def let_go_in_child(self) -> None:
        """Begin anew in a forked child."""
        self._room = threading.BoundedSemaphore(_MOST)
        self._door = threading.Lock()
        self._idle = deque()

    @contextmanager
    def started(self, begin: Callable[[PgConnection], T]) -> Iterator[tuple[PgConnection, T]]:
        """A connection on which `begin` went well, and what it gave.

        `begin` must change nothing unless it is followed up: on a connection that turns out to be dead it is done once
        more, on another. What is open when the block ends is rolled back.
        Raises StoreClosed, psycopg.Error, AllInUse.
        """
        if not self._room.acquire(timeout=self._patience):
            raise AllInUse(f"all {_MOST} connections of this process have been in use for {self._patience:g} s")
        try:
            connection, born, result = self._start(begin)
            try:
                yield connection, result
            finally:
                self._put_back(connection, born)
        finally:
            self._room.release()

    def _start(self, begin: Callable[[PgConnection], T]) -> tuple[PgConnection, float, T]:
        while (held := self._take()) is not None:
            connection, born = held
            try:
                return connection, born, begin(connection)
            except psycopg.OperationalError:
                self._put_back(connection, born)
                if not connection.closed:
                    raise
                self._drop_idle()  # what ended this one has most likely ended all
            except BaseException:
                self._put_back(connection, born)
                raise
        connection, born = self._make(), time.monotonic()
        try:
            return connection, born, begin(connection)
        except BaseException:
            self._put_back(connection, born)
            raise

    def _take(self) -> tuple[PgConnection, float] | None:
        while True:
            with self._door:
                if self._closed:
                    raise StoreClosed(f"the event store {self._where} was closed by this program")
                if not self._idle:
                    return None
                connection, born, since = self._idle.pop()
            if is_alive(connection, ask=time.monotonic() - since > _TRUSTED_FOR):
                return connection, born
            connection.close()

    def _put_back(self, connection: PgConnection, born: float) -> None:
        if _is_clean(connection) and time.monotonic() - born < _LONGEST_LIFE:
            with self._door:
                if not self._closed and len(self._idle) < _IDLE:
                    self._idle.append(_Idle(connection, born, time.monotonic()))
                    return
        connection.close()

    def _drop_idle(self) -> None:
        with self._door:
            dropped = list(self._idle)
            self._idle.clear()
        for idle in dropped:
            idle.connection.close()

    def close(self) -> None:
        """Close the connections; those in use when they come back."""
        with self._door:
            self._closed = True
        self._drop_idle()


def is_alive(connection: PgConnection, *, ask: bool = False) -> bool:
    """Whether a connection that nobody uses is alive: what can be seen here, and if `ask` is set, what the server says.

    To look is so quick that it can be done each time; but a connection that was cut without a word looks alive.
    """
    if connection.closed:
        return False
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        for _ in range(3):  # what a server says before it hangs up, and then the end
            if not poll.poll(0):
                break
            connection.pgconn.consume_input()
        if ask:
            connection.execute(IS_THERE)
    except (psycopg.Error, OSError):
        return False
    return connection.pgconn.status == ConnStatus.OK


def _is_clean(connection: PgConnection) -> bool:
    """Whether a connection can be used again; rolls back what is open."""
    status = connection.info.transaction_status
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        try:
            connection.rollback()
        except psycopg.Error:
            return False
        status = connection.info.transaction_status
    return status == TransactionStatus.IDLE and not connection.closed


def limit_time_to_send(cursor: psycopg.Cursor[Any], size: int) -> None:
    """Have the server end the transaction if what follows, of so many bytes, is not there in a minute.

    A process that is paused while it sends is not idle, and would hold up all others for as long as it is paused.
    Servers before PostgreSQL 17 know no such limit.
    """
    if size > _SENT_AT_ONCE and cursor.connection.info.server_version >= 170_000:
        cursor.execute("SET LOCAL transaction_timeout = '60s'")


def rows_of(connection: psycopg.Connection[Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    """A cursor that gives tuples, which cost less than dictionaries."""
    return connection.cursor(row_factory=tuple_row)

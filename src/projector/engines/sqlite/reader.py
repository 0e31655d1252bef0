"""Reads of one SQLite file for an event loop, through aiosqlite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiosqlite
from eventsourcing.persistence import Notification

from projector.engines.ports import Parameters
from projector.engines.sqlite.datastore import check_marks, check_place, translated
from projector.envelope import execution_stream

SELECT_ROW: Final = """
SELECT version, status FROM executions WHERE execution_id = ?
  AND EXISTS (SELECT 1 FROM tracking WHERE application_name = 'projector.fold' AND notification_id = ?)
"""
"""An execution's row, unless another version of the fold made it."""

SELECT_REST_OF_STREAM: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version
"""
"""What the store holds of one stream beyond a version."""

SELECT_REST_OF_STREAMS: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE rowid > ? AND originator_id >= ? AND originator_id < ? ORDER BY rowid
"""
"""What the store holds of some streams beyond a position."""

SELECT_HEAD: Final = "SELECT COALESCE(MAX(rowid), 0) FROM stored_events"
"""Where the store is."""

SELECT_OLDEST: Final = "SELECT state FROM stored_events ORDER BY rowid LIMIT ?"

_MARKS: Final = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")


_Question = Callable[[sqlite3.Connection], Any]
_Asked = tuple[_Question, "asyncio.Future[Any]"]


class _Connection(aiosqlite.Connection):
    """Answers what was asked meanwhile in one visit to its thread: the way there costs ten times a small answer."""

    async def answer(self, questions: Sequence[_Question]) -> list[Any | sqlite3.Error]:
        answers: list[Any | sqlite3.Error] = await self._execute(self._answer_all, questions)  # type: ignore[no-untyped-call]
        return answers

    def _answer_all(self, questions: Sequence[_Question]) -> list[Any | sqlite3.Error]:
        connection, answers = self._conn, []
        for question in questions:
            try:
                answers.append(question(connection))
            except sqlite3.Error as error:
                answers.append(error)
        return answers


class SqliteReader:
    """The Reader port on one file. Its connection has a thread, which keeps the process alive until it is closed."""

    def __init__(self, path: Path, *, lock_timeout: float = 30.0) -> None:
        """`lock_timeout` is in seconds."""
        self._path = path
        self._lock_timeout = lock_timeout
        self._connection: _Connection | None = None
        self._asked: list[_Asked] = []
        self._is_asking = False
        self._answering: asyncio.Task[None] | None = None

    @property
    def place(self) -> str:
        """See Reader.place."""
        return str(self._path)

    async def open(self) -> None:
        """See Reader.open."""
        await asyncio.to_thread(check_place, self._path, create=False)
        address = self._path.absolute().as_uri() + "?mode=rw"
        try:
            connection = _Connection(self._connector(address), iter_chunk_size=64)
            await connection
        except sqlite3.Error as error:
            raise translated(self._path, error) from error
        self._connection = connection
        try:
            await connection.execute("PRAGMA query_only=1")
            marks = [(await connection.execute_fetchall(question)) for question in _MARKS]
            application, schema, tables = (next(iter(rows))[0] for rows in marks)
            check_marks(self._path, application, schema, tables, create=False)
        except sqlite3.Error as error:
            await self.close()
            raise translated(self._path, error) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See Reader.close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def fetch(self, statement: str, parameters: Parameters = ()) -> list[Any]:
        """See Reader.fetch."""
        rows: list[Any] = await self._ask(lambda connection: connection.execute(statement, parameters).fetchall())
        return rows

    async def _ask(self, question: _Question) -> Any:
        assert self._connection is not None, "open it first"
        try:
            if self._is_asking:
                answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._asked.append((question, answer))
                return await answer
            return await self._ask_now(self._connection, question)
        except sqlite3.DatabaseError as error:
            raise translated(self._path, error) from error

    async def _ask_now(self, connection: _Connection, question: _Question) -> Any:
        self._is_asking = True
        try:
            (answer,) = await connection.answer([question])
        finally:
            if self._asked:
                self._answering = asyncio.create_task(self._answer_others(connection))
            else:
                self._is_asking = False
        if isinstance(answer, sqlite3.Error):
            raise answer
        return answer

    async def _answer_others(self, connection: _Connection) -> None:
        """What was asked while another question was on its way."""
        while asked := self._asked:
            self._asked = []
            try:
                answers: Sequence[Any | Exception] = await connection.answer([question for question, _ in asked])
            except Exception as error:  # it was closed meanwhile
                answers = [error] * len(asked)
            for (_, future), answer in zip(asked, answers, strict=True):
                if future.done():  # who asked does not wait any more
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._is_asking = False

    def _connector(self, address: str) -> Callable[[], sqlite3.Connection]:
        return partial(sqlite3.connect, address, uri=True, timeout=self._lock_timeout, isolation_level=None)

    async def current(self, execution_id: str, fold_version: int) -> tuple[str | None, list[Notification]]:
        """See Reader.current."""
        # Two questions in one visit, and no transaction: what comes between them is only more events of the stream.
        row, rest = await self._ask(partial(_current, execution_id, execution_stream(execution_id), fold_version))
        return row, _notifications(rest)

    async def stream(self, stream: str, after: int) -> list[Notification]:
        """See Reader.stream."""
        return _notifications(await self.fetch(SELECT_REST_OF_STREAM, (stream, after)))

    async def streams(self, prefix: str, after: int) -> list[Notification]:
        """See Reader.streams."""
        end_of_prefix = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return _notifications(await self.fetch(SELECT_REST_OF_STREAMS, (after, prefix, end_of_prefix)))

    async def head(self) -> int:
        """See Reader.head."""
        return int((await self.fetch(SELECT_HEAD))[0][0])

    async def oldest(self, limit: int) -> list[bytes]:
        """See Reader.oldest."""
        return [bytes(row[0]) for row in await self.fetch(SELECT_OLDEST, (limit,))]


def _current(execution_id: str, stream: str, fold_version: int, connection: sqlite3.Connection) -> tuple[Any, Any]:
    row = connection.execute(SELECT_ROW, (execution_id, fold_version)).fetchone()
    version, status = row or (0, None)
    return status, connection.execute(SELECT_REST_OF_STREAM, (stream, version)).fetchall()


def _notifications(rows: Iterable[Any]) -> list[Notification]:
    return [
        Notification(id=position, originator_id=stream, originator_version=version, topic=topic, state=state)
        for position, stream, version, topic, state in rows
    ]

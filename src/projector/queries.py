"""The read side: what the query tables say, through aiosqlite, SELECT only.

One execution and the runners are never stale: a row is the status up to its version, and what the store holds beyond
it is folded on top, so they are right also while no projector runs. Lists are as fresh as the projector; `lag` tells
how fresh.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiosqlite
from eventsourcing.persistence import Notification

from projector.catalogue import CATALOGUE
from projector.codec import EventMapper
from projector.engines.sqlite_datastore import check_marks, check_place, translated
from projector.envelope import RUNNER_STREAMS, RecordedEvent, execution_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.execution_status import ExecutionStatus, Phase, fold
from projector.projections import runners as runner_rows
from projector.projections.executions import SELECT_STATUS, status_of
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner, runner_of

MOST_ROWS: Final = 500

SELECT_EXECUTIONS: Final = """
SELECT status FROM executions
WHERE (:phase IS NULL OR phase = :phase) AND (:code IS NULL OR code = :code)
  AND (:category IS NULL OR category = :category) AND (:session IS NULL OR session_id = :session)
  AND first_position < :before
ORDER BY first_position DESC LIMIT :limit
"""
"""A page of executions, newest first."""

SELECT_GROUPS: Final = "SELECT * FROM failure_groups ORDER BY last_position DESC LIMIT ?"
"""Failure groups, the latest first."""

SELECT_RUNNERS: Final = "SELECT row FROM runners"
"""All runners; which queue one serves may have changed since its row was written."""

SELECT_REST_OF_STREAM: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version
"""
"""What the store holds of one execution beyond its row."""

SELECT_REST_OF_RUNNERS: Final = """
SELECT rowid, originator_id, originator_version, topic, state FROM stored_events
WHERE rowid > ? AND originator_id >= ? AND originator_id < ? ORDER BY rowid
"""
"""What the store holds of all runners beyond the tables' position."""

SELECT_LAG: Final = """
SELECT COALESCE((SELECT notification_id FROM tracking WHERE application_name = 'projector'), 0),
       COALESCE((SELECT MAX(rowid) FROM stored_events), 0)
"""
"""Where the tables are and where the store is."""

_BEYOND_ALL: Final = 2**62


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions to list. `after` is a cursor from an earlier page."""

    phase: Phase | None = None
    code: str | None = None
    category: str | None = None
    session: str | None = None
    limit: int = 50
    after: str | None = None

    @classmethod
    def parse(
        cls,
        *,
        phase: str | None = None,
        code: str | None = None,
        category: str | None = None,
        session: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ExecutionFilter:
        """Check what a person typed. Raises InputRejected, which names what is allowed."""
        known_codes = [entry.code.value for entry in CATALOGUE.values()]
        categories = [entry.category for entry in CATALOGUE.values()]
        if phase is not None and phase.upper() not in set(Phase):
            raise InputRejected(f"'{phase}' is not a phase: choose one of {', '.join(Phase)}")
        if code is not None and code.upper() not in known_codes:
            raise InputRejected(f"'{code}' is not a failure code: `execution-status codes` lists them")
        if category is not None and category not in categories:
            raise InputRejected(f"'{category}' is not a failure category: `execution-status codes` lists them")
        if session is not None and not session.isprintable():
            raise InputRejected(f"{session!r} cannot be a session")  # among others what the terminal sent is not UTF-8
        check_limit(limit)
        if after is not None and not (re.fullmatch("[0-9]{1,18}", after) and int(after)):
            raise InputRejected(f"'{after}' is not a cursor: take the one that the page before it ended with")
        return cls(
            phase=Phase(phase.upper()) if phase else None,
            code=code.upper() if code else None,
            category=category,
            session=session,
            limit=limit,
            after=after,
        )


def check_limit(limit: int) -> None:
    """Refuse a number of rows that is none, or too many. Raises InputRejected."""
    if not 1 <= limit <= MOST_ROWS:
        raise InputRejected(f"{limit} is not a limit: choose a number from 1 to {MOST_ROWS}")


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """Executions, newest first, and the cursor of the next page if there is one."""

    items: tuple[ExecutionStatus, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the query tables are behind the store, in events."""

    position: int
    head: int

    @property
    def events(self) -> int:
        """Events that are stored and not yet in the tables."""
        return max(0, self.head - self.position)


class Queries:
    """Reads of one store. Use it as an asynchronous context manager: its connection must be closed."""

    def __init__(self, path: Path, *, mapper: EventMapper | None = None, lock_timeout: float = 30.0) -> None:
        """`lock_timeout` is in seconds."""
        self._path = path
        self._mapper = mapper or EventMapper()
        self._lock_timeout = lock_timeout
        self._connection: aiosqlite.Connection | None = None

    async def __aenter__(self) -> Queries:
        """Open the store for reading. Raises StoreMissing, StoreForeign, StoreTooNew, StoreUnavailable."""
        await asyncio.to_thread(check_place, self._path, create=False)
        address = self._path.absolute().as_uri() + "?mode=rw"
        try:
            connection = await aiosqlite.connect(address, uri=True, timeout=self._lock_timeout, isolation_level=None)
        except sqlite3.Error as error:
            raise translated(self._path, error) from error
        self._connection = connection
        try:
            await connection.execute("PRAGMA query_only=1")
            marks = [
                (await self._all(question))[0][0]
                for question in (
                    "PRAGMA application_id",
                    "PRAGMA user_version",
                    "SELECT count(*) FROM sqlite_master",
                )
            ]
            check_marks(self._path, *marks, create=False)
        except sqlite3.Error as error:
            await self.close()
            raise translated(self._path, error) from error
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; without this its thread keeps the process alive."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def execution(self, execution_id: str) -> ExecutionStatus:
        """One execution, as of now. Raises ExecutionNotFound, InputRejected for a malformed id, StoreUnavailable."""
        stream = execution_stream(execution_id)
        rows = await self._all(SELECT_STATUS, (execution_id,))
        status = status_of(rows[0][0]) if rows else None
        rest = await self._all(SELECT_REST_OF_STREAM, (stream, status.version if status else 0))
        status = fold(status, self._records(rest))
        if status is None:
            raise ExecutionNotFound(execution_id)
        return status

    async def executions(self, chosen: ExecutionFilter = ExecutionFilter()) -> ExecutionPage:
        """A page of executions, newest first, as of the projector's position. Raises StoreUnavailable."""
        rows = await self._all(
            SELECT_EXECUTIONS,
            {
                "phase": chosen.phase.value if chosen.phase else None,
                "code": chosen.code,
                "category": chosen.category,
                "session": chosen.session,
                "before": int(chosen.after) if chosen.after else _BEYOND_ALL,
                "limit": chosen.limit + 1,
            },
        )
        items = tuple(status_of(row[0]) for row in rows[: chosen.limit])
        more = len(rows) > chosen.limit
        return ExecutionPage(items, str(items[-1].first_position) if more else None)

    async def failure_groups(self, limit: int = MOST_ROWS) -> tuple[FailureGroup, ...]:
        """Failures by cause, the latest first, as of the projector's position. Raises StoreUnavailable."""
        return tuple(FailureGroup(**dict(row)) for row in await self._all(SELECT_GROUPS, (limit,)))

    async def runners(self, task_queue: str | None = None) -> tuple[Runner, ...]:
        """Runners, of one queue or of all, the latest to change first, as of now. Raises StoreUnavailable."""
        position = (await self.lag()).position
        held = {runner.runner_id: runner for row in await self._all(SELECT_RUNNERS) for runner in [runner_of(row[0])]}
        end_of_prefix = RUNNER_STREAMS[:-1] + chr(ord(RUNNER_STREAMS[-1]) + 1)
        rest = await self._all(SELECT_REST_OF_RUNNERS, (position, RUNNER_STREAMS, end_of_prefix))
        for record in self._records(rest):
            runner_id = record.stream.removeprefix(RUNNER_STREAMS)
            held[runner_id] = runner_rows.fold(held.get(runner_id), record)
        chosen = [runner for runner in held.values() if task_queue in (None, runner.task_queue)]
        return tuple(sorted(chosen, key=lambda runner: runner.position, reverse=True))

    async def lag(self) -> Lag:
        """How far the query tables are behind the store. Raises StoreUnavailable."""
        (row,) = await self._all(SELECT_LAG)
        return Lag(position=row[0], head=row[1])

    async def _all(self, statement: str, parameters: Any = ()) -> list[Any]:
        assert self._connection is not None, "open it with `async with`"
        try:
            self._connection.row_factory = sqlite3.Row
            return list(await self._connection.execute_fetchall(statement, parameters))
        except sqlite3.DatabaseError as error:
            raise translated(self._path, error) from error

    def _records(self, rows: Iterable[Any]) -> list[RecordedEvent]:
        return [
            self._mapper.to_domain_event(
                Notification(
                    id=row["rowid"],
                    originator_id=row["originator_id"],
                    originator_version=row["originator_version"],
                    topic=row["topic"],
                    state=row["state"],
                )
            )
            for row in rows
        ]

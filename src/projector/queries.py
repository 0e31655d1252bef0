"""The read side: what the query tables say, through aiosqlite, SELECT only.

One execution and the runners are never stale: a row is the status up to its version, and what the store holds beyond
it is folded on top, so they are right also while no projector runs. Lists are as fresh as the projector; `lag` tells
how fresh.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiosqlite
from eventsourcing.persistence import Notification

from projector.codec import EventMapper
from projector.engines.sqlite_datastore import check_marks, check_place, translated
from projector.envelope import END_EVENT_ID, RUNNER_STREAMS, RecordedEvent, execution_stream
from projector.errors import ExecutionNotFound
from projector.execution_filter import MOST_ROWS, ExecutionFilter
from projector.execution_status import ExecutionStatus, fold
from projector.projections import runners as runner_rows
from projector.projections.executions import SELECT_STATUS, status_of
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner, runner_of

SELECT_EXECUTIONS: Final = """
SELECT status FROM executions
WHERE (:phase IS NULL OR phase = :phase) AND (:code IS NULL OR code = :code)
  AND (:category IS NULL OR category = :category) AND (:session IS NULL OR session_id = :session)
  AND (:until IS NULL OR finished_at < :until) AND first_position < :before
ORDER BY first_position DESC LIMIT :limit
"""
"""A page of executions, newest first."""

SELECT_ENDED_SINCE: Final = """
SELECT status FROM executions
WHERE finished_at >= :since AND (:until IS NULL OR finished_at < :until)
  AND (:phase IS NULL OR phase = :phase) AND (:code IS NULL OR code = :code)
  AND (:category IS NULL OR category = :category) AND (:session IS NULL OR session_id = :session)
  AND +first_position < :before
ORDER BY +first_position DESC LIMIT :limit
"""
"""The same of those that ended at some time or later; the plus signs make SQLite seek them by their end."""

SELECT_OPEN: Final = """
SELECT status FROM executions
WHERE phase IN ('PENDING', 'IN_PROGRESS') AND NOT EXISTS (
    SELECT 1 FROM event_ids WHERE originator_id = 'execution/' || execution_id AND event_id = :end
)
ORDER BY first_position
"""
"""Executions that have not ended, the oldest first; the store itself says so, whatever their rows do."""

SELECT_PARKED_OPEN: Final = """
SELECT stream FROM parked
WHERE NOT EXISTS (SELECT 1 FROM event_ids WHERE originator_id = stream AND event_id = :end)
"""
"""Streams without an end whose rows stand still, or were never written."""

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
_ALL: Final = ExecutionFilter()


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


@dataclass(frozen=True, slots=True)
class OpenWork:
    """Executions that have not ended, and all runners, as the tables hold them at `position`.

    `parked` are streams without an end whose rows stand still: only the store knows how they are.
    """

    position: int
    executions: tuple[ExecutionStatus, ...]
    parked: tuple[str, ...]
    runners: tuple[Runner, ...]


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

    async def executions(self, chosen: ExecutionFilter = _ALL) -> ExecutionPage:
        """A page of executions, newest first, as of the projector's position. Raises StoreUnavailable."""
        rows = await self._all(
            SELECT_ENDED_SINCE if chosen.finished_since else SELECT_EXECUTIONS,
            {
                "phase": chosen.phase.value if chosen.phase else None,
                "code": chosen.code,
                "category": chosen.category,
                "session": chosen.session,
                "since": _column(chosen.finished_since),
                "until": _column(chosen.finished_until),
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

    async def open_work(self) -> OpenWork:
        """What has not ended, and the runners, as of the tables' position; a row may be newer than that.

        Raises StoreUnavailable.
        """
        position = (await self.lag()).position
        return OpenWork(
            position=position,
            executions=tuple(status_of(row[0]) for row in await self._all(SELECT_OPEN, {"end": END_EVENT_ID})),
            parked=tuple(row[0] for row in await self._all(SELECT_PARKED_OPEN, {"end": END_EVENT_ID})),
            runners=tuple(runner_of(row[0]) for row in await self._all(SELECT_RUNNERS)),
        )

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


def _column(time: datetime | None) -> str | None:
    """A time as the tables hold it. All are in UTC, so that the order of the texts is that of the times."""
    return time.astimezone(UTC).isoformat() if time else None

"""The read side: what the query tables say, through an engine's reader, SELECT only.

One execution and the runners are never stale: a row is the status up to its version, and what the store holds beyond
it is folded on top, so they are right also while no projector runs. Lists are as fresh as the projector; `lag` tells
how fresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final

from projector.codec import EventMapper
from projector.engines.ports import Reader
from projector.envelope import END_EVENT_ID, RUNNER_STREAMS, execution_stream
from projector.errors import ExecutionNotFound
from projector.execution_filter import MOST_ROWS, ExecutionFilter
from projector.execution_selection import selection
from projector.execution_status import FOLD_VERSION, ExecutionStatus, fold
from projector.figures import Ending, Figures, read_endings, read_figures
from projector.keeping.at_rest import LOOKED_AT, check_key
from projector.projections import failure_groups
from projector.projections import runners as runner_rows
from projector.projections.executions import status_of
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner, runner_of

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

SELECT_GROUPS: Final = (
    f"SELECT {', '.join(failure_groups.COLUMNS)} FROM failure_groups ORDER BY last_position DESC LIMIT ?"  # noqa: S608
)
"""Failure groups, the latest first."""

SELECT_RUNNERS: Final = 'SELECT "row" FROM runners'
"""All runners; which queue one serves may have changed since its row was written."""

SELECT_POSITION: Final = "SELECT notification_id FROM tracking WHERE application_name = 'projector'"
"""Where the tables are."""

_ALL: Final = ExecutionFilter()


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """Executions, newest first, as their rows have them, and the cursor of the next page if there is one."""

    rows: tuple[str, ...]
    next_cursor: str | None

    @property
    def items(self) -> tuple[ExecutionStatus, ...]:
        """The executions."""
        return tuple(map(status_of, self.rows))


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

    def __init__(self, reader: Reader, *, mapper: EventMapper | None = None) -> None:
        self._reader = reader
        self._mapper = mapper or EventMapper()

    async def __aenter__(self) -> Queries:
        """Open the store for reading.

        Raises StoreMissing, StoreForeign, StoreTooNew, StoreUnavailable, StoreError when its events need another key.
        """
        await self._reader.open()
        try:
            check_key(self._reader.place, await self._reader.oldest(LOOKED_AT), self._mapper)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; without this the process may not end."""
        await self._reader.close()

    async def execution(self, execution_id: str) -> ExecutionStatus:
        """One execution, as of now. Raises ExecutionNotFound, InputRejected for a malformed id, StoreUnavailable."""
        execution_stream(execution_id)
        row, rest = await self._reader.current(execution_id, FOLD_VERSION)
        status = fold(status_of(row) if row else None, map(self._mapper.to_domain_event, rest))
        if status is None:
            raise ExecutionNotFound(execution_id)
        return status

    async def executions(self, chosen: ExecutionFilter = _ALL) -> ExecutionPage:
        """A page of executions, newest first, as of the projector's position. Raises StoreUnavailable."""
        rows = await self._reader.fetch(*selection(chosen))
        more = len(rows) > chosen.limit
        page = rows[: chosen.limit]
        return ExecutionPage(tuple(row[0] for row in page), str(page[-1][1]) if more else None)

    async def failure_groups(self, limit: int = MOST_ROWS) -> tuple[FailureGroup, ...]:
        """Failures by cause, the latest first, as of the projector's position. Raises StoreUnavailable."""
        return tuple(failure_groups.group_of(row) for row in await self._reader.fetch(SELECT_GROUPS, (limit,)))

    async def runners(self, task_queue: str | None = None) -> tuple[Runner, ...]:
        """Runners, of one queue or of all, the latest to change first, as of now. Raises StoreUnavailable."""
        position = (await self.lag()).position
        rows = await self._reader.fetch(SELECT_RUNNERS)
        held = {runner.runner_id: runner for row in rows for runner in [runner_of(row[0])]}
        rest = await self._reader.streams(RUNNER_STREAMS, position)
        for record in map(self._mapper.to_domain_event, rest):
            runner_id = record.stream.removeprefix(RUNNER_STREAMS)
            known = held.get(runner_id)
            if known is None or record.position > known.position:
                held[runner_id] = runner_rows.fold(known, record)
        chosen = [runner for runner in held.values() if task_queue in (None, runner.task_queue)]
        return tuple(sorted(chosen, key=lambda runner: runner.position, reverse=True))

    async def open_work(self) -> OpenWork:
        """What has not ended, and the runners, as of the tables' position; a row may be newer than that.

        Raises StoreUnavailable.
        """
        position = (await self.lag()).position
        return OpenWork(
            position=position,
            executions=tuple(status_of(row[0]) for row in await self._reader.fetch(SELECT_OPEN, {"end": END_EVENT_ID})),
            parked=tuple(row[0] for row in await self._reader.fetch(SELECT_PARKED_OPEN, {"end": END_EVENT_ID})),
            runners=tuple(runner_of(row[0]) for row in await self._reader.fetch(SELECT_RUNNERS)),
        )

    async def figures(self) -> Figures:
        """How many of what there are, as of the projector's position. Raises StoreUnavailable."""
        return await read_figures(self._reader)

    async def endings(self, since: datetime, after: int, limit: int) -> tuple[Ending, ...]:
        """Executions that ended since a time and changed beyond a position, by position. Raises StoreUnavailable."""
        return await read_endings(self._reader, since, after, limit)

    async def lag(self) -> Lag:
        """How far the query tables are behind the store. Raises StoreUnavailable."""
        head = await self._reader.head()
        rows = await self._reader.fetch(SELECT_POSITION)
        return Lag(position=rows[0][0] if rows else 0, head=head)

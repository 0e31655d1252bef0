"""The executions that have not ended, and the runners, folded in memory from the store itself.

They are as fresh as the last `refresh`, whether a projector runs or not. The query tables only give the beginning: what
the store holds beyond them is folded on top, and each later refresh folds what came since. A row that stands still is
not believed: its execution is folded from its whole history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, RUNNER_STREAMS, RecordedEvent, execution_id_of
from projector.execution_status import ExecutionStatus, evolve, fold
from projector.projections import runners as runner_rows
from projector.projections.runners import Runner
from projector.queries import Queries
from projector.waking import waking

PAGE: Final = 1000
_LONGEST_PAUSE: Final = 5.0
_BREATH: Final = 0.02
"""What comes within this many seconds is folded at once: many small refreshes would cost more than they tell."""

Listener = Callable[[RecordedEvent], None]

log = structlog.get_logger("live_statuses")


class LiveStatuses:
    """Open executions and runners of one store. Belongs to one event loop; `refresh` reads in a thread."""

    def __init__(self, store: StoreEngine) -> None:
        self._store = store
        self._position: int | None = None
        self._open: dict[str, ExecutionStatus] = {}
        self._runners: dict[str, Runner] = {}
        self._listeners: list[Listener] = []
        self._refreshing = asyncio.Lock()
        self._has_caught_up = False

    @property
    def position(self) -> int:
        """The last position that is folded in; 0 before the first refresh."""
        return self._position or 0

    @property
    def has_caught_up(self) -> bool:
        """Whether a refresh has come to the store's end; until then what is here may be long past."""
        return self._has_caught_up

    def open_executions(self) -> Sequence[ExecutionStatus]:
        """The executions that have not ended, the oldest first."""
        return list(self._open.values())

    def execution(self, execution_id: str) -> ExecutionStatus | None:
        """One open execution; None when it has ended or does not exist."""
        return self._open.get(execution_id)

    def runners(self, task_queue: str | None = None) -> Sequence[Runner]:
        """Runners, of one queue or of all, the latest to change first."""
        chosen = [runner for runner in self._runners.values() if task_queue in (None, runner.task_queue)]
        return sorted(chosen, key=lambda runner: runner.position, reverse=True)

    def runner(self, runner_id: str) -> Runner | None:
        """One runner by its id."""
        return self._runners.get(runner_id)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with each event that a refresh folds in, after it is folded.

        Events of executions that had ended before are not among them, nor those that the tables held at the beginning.
        """
        self._listeners.append(listener)

    async def keep_fresh(self, poll_interval: float) -> None:
        """Refresh when something was appended, and every `poll_interval` seconds; ends when cancelled.

        A store that cannot serve, or any other trouble, is said once and tried again with growing pauses.
        """
        pause = poll_interval
        with waking(self._store.bell) as woken:
            while True:
                woken.forget()
                try:
                    await self.refresh()
                except Exception as error:  # whatever it is, statuses that silently stand still help nobody
                    if pause == poll_interval:
                        log.error("live statuses wait and try again", reason=f"{type(error).__name__}: {error}")
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    await asyncio.sleep(pause)
                else:
                    pause = poll_interval
                    await asyncio.sleep(_BREATH)
                    await woken.wait(pause)

    async def refresh(self) -> int:
        """Fold in what the store holds by now; returns how many events that were. Raises StoreError."""
        async with self._refreshing:
            if self._position is None:
                await self._begin()
            count = 0
            while records := await asyncio.to_thread(self._store.tail, after=self.position, limit=PAGE):
                for record in records:
                    await self._take(record)
                count += len(records)
            self._has_caught_up = True
            return count

    async def _begin(self) -> None:
        async with Queries(self._store.reader(), mapper=self._store.mapper) as queries:
            work = await queries.open_work()
        executions = {status.execution_id: status for status in work.executions}
        runners = {runner.runner_id: runner for runner in work.runners}
        for stream in work.parked:
            history = await asyncio.to_thread(self._store.read, stream)
            if (execution_id := execution_id_of(stream)) is not None:
                if (status := fold(None, history)) is not None and not status.phase.is_terminal:
                    executions[execution_id] = status
            elif stream.startswith(RUNNER_STREAMS):
                runner: Runner | None = None
                for record in history:
                    runner = runner_rows.fold(runner, record)
                if runner is not None:
                    runners[runner.runner_id] = runner
        by_age = sorted(executions.values(), key=lambda status: status.first_position)
        self._open = {status.execution_id: status for status in by_age}
        self._runners = runners
        self._position = work.position

    async def _take(self, record: RecordedEvent) -> None:
        if (execution_id := execution_id_of(record.stream)) is not None:
            before = self._open.get(execution_id)
            if before is None and record.version > 1:
                self._position = record.position
                return  # it has ended: only the end takes an execution out
            if before is None or record.version > before.version:
                after: ExecutionStatus | None = evolve(before, record)
                if before is not None and record.version > before.version + 1:  # its row stood still after all
                    after = fold(None, await asyncio.to_thread(self._store.read, record.stream))
                # An end that cannot be read is one, too.
                if after is None or after.phase.is_terminal or record.id == END_EVENT_ID:
                    self._open.pop(execution_id, None)
                else:
                    self._open[execution_id] = after
        elif record.stream.startswith(RUNNER_STREAMS):
            runner_id = record.stream.removeprefix(RUNNER_STREAMS)
            held = self._runners.get(runner_id)
            if held is None or record.position > held.position:
                self._runners[runner_id] = runner_rows.fold(held, record)
        self._position = record.position
        for listener in self._listeners:
            listener(record)

"""The supervisor: parent of a runner. It starts one, watches it live, has its end reported, and starts the next.

A process that dies can say nothing more. So what must be known then is at its parent's in time: its stage, the task
tokens of its open attempts, its last words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import structlog

from projector.door.hygiene import Hygiene
from projector.errors import EngineUnreachable
from projector.event_store import EventStore
from projector.event_writer import EventWriter
from runner.supervision.end_reporter import EndReporter
from runner.supervision.frozen_writer import thaw_while_it_locks
from runner.supervision.obituary import Circumstances, Obituary, obituary
from runner.supervision.stall_watch import TICK, StallWatch
from runner.supervision.supervised_runner import RunnerPlan, SupervisedRunner

if TYPE_CHECKING:
    from temporalio.client import Client

    from projector.engines.sqlite.lock_holder import LockHolder

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
HEALTHY_AFTER: Final = 30.0
"""Seconds of life after which the next restart is quick again, and crashes are counted anew."""
KILLED_AFTER: Final = 5.0
"""Seconds beyond its grace after which a runner that was told to stop is killed."""
FAREWELL: Final = 10.0
"""How long the supervisor's own end waits for what it still has to tell, in seconds."""

_PAUSE: Final = 0.5

log = structlog.get_logger("supervisor")


class Restarts(Enum):
    """When a runner that has ended is started again by itself."""

    NEVER = auto()
    ONCE_READY = auto()
    """When nobody had told it to end, and it or one before it had been ready: else a person should look."""
    ALWAYS = auto()


class Supervisor:
    """Keeps one runner process and its successors. Belongs to one event loop; `run` is called once."""

    def __init__(
        self,
        plan: RunnerPlan,
        store: EventStore,
        hygiene: Hygiene,
        connect: Callable[[], Awaitable[Client]],
        lock_holder: Callable[[], LockHolder | None],
    ) -> None:
        """`connect` gives Temporal's client; it is called again, without end, while it raises EngineUnreachable.

        `lock_holder` says which process has the store's write lock; it may block.
        """
        self._plan = plan
        self._store = store
        self._hygiene = hygiene
        self._connect = connect
        self._lock_holder = lock_holder
        self._runner: SupervisedRunner | None = None
        self._stopping = asyncio.Event()
        self._was_ready = False
        self._crashes = 0
        self._pause = FIRST_PAUSE

    @property
    def pid(self) -> int | None:
        """The runner's process that runs now."""
        return self._runner.pid if self._runner is not None and self._runner.is_running else None

    async def run(self, restarts: Restarts) -> int:
        """Run a runner and, as far as `restarts` says, its successors, until `stop`.

        Returns the exit code of the last one, negative for a signal; 1 when none was ever ready and nobody had told it
        to end.
        """
        writer = EventWriter(self._store)
        client = asyncio.ensure_future(self._connected())
        reporter = EndReporter(self._store, writer, client)
        reports: set[asyncio.Task[None]] = set()
        try:
            while True:
                try:
                    runner = self._runner = await SupervisedRunner.start(self._plan)
                except OSError as error:  # no more processes, or no room for the log
                    log.error("no runner could be started", reason=str(error))
                    code, pause = 1, self._restart_in(restarts, None)
                else:
                    code = await self._attend(runner, writer)
                    pause = self._restart_in(restarts, runner)
                    said = self._obituary(runner, code, pause)
                    # In order: then Temporal knows of whatever has ended.
                    in_order = said.exited.was_told and code == 0
                    left = list(runner.attempts.values()) if in_order else runner.undelivered()
                    reports.add(asyncio.create_task(reporter.report(said, left)))
                if pause is None:
                    return code if self._was_ready or self._stopping.is_set() else 1
                log.warning("the runner ended; it is started again", exit_code=code, in_seconds=pause)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                    return code
                reports = {report for report in reports if not report.done()}
        finally:
            if reports:
                await asyncio.wait(reports, timeout=FAREWELL)
            rest = [*reports, client]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.to_thread(writer.close)

    async def stop(self) -> None:
        """Have the runner stop, in order within its grace or else by SIGKILL; `run` then ends."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.stop(self._plan.grace + KILLED_AFTER)

    async def _attend(self, runner: SupervisedRunner, writer: EventWriter) -> int:
        """Be with a runner until its end; returns its exit code."""
        stalls = StallWatch(runner, self._store, writer, stall_after=self._plan.stall_after)
        looks = [stalls.run(), _look_at_memory(runner), thaw_while_it_locks(runner, self._lock_holder)]
        watching = [asyncio.create_task(look) for look in looks]
        try:
            if self._stopping.is_set():  # while it was started
                await runner.stop(self._plan.grace + KILLED_AFTER)
            return await runner.ended()
        finally:
            for task in watching:
                task.cancel()

    def _obituary(self, runner: SupervisedRunner, code: int, restart_in: float | None) -> Obituary:
        seen = Circumstances(
            runner_id=runner.runner_id,
            task_queue=self._plan.task_queue,
            agents=self._plan.agents,
            returncode=code,
            last_words=runner.stderr.text(),
            stage=runner.stage,
            was_ready=runner.is_ready,
            was_told=self._was_told(runner),
            memory_ran_out=runner.memory.has_killed,
        )
        return obituary(seen, self._hygiene, crashes=self._crashes, restart_in=restart_in)

    def _was_told(self, runner: SupervisedRunner) -> bool:
        return self._stopping.is_set() or runner.ended_in_order

    def _restart_in(self, restarts: Restarts, runner: SupervisedRunner | None) -> float | None:
        """Count the end; after how many seconds to start another runner, or None."""
        was_told = runner is not None and self._was_told(runner)
        is_ready = runner is not None and runner.is_ready
        self._was_ready = self._was_ready or is_ready
        if was_told or (runner is not None and is_ready and runner.age > HEALTHY_AFTER):
            self._crashes, self._pause = 0, FIRST_PAUSE
        if not was_told:
            self._crashes += 1
        if self._stopping.is_set() or restarts is Restarts.NEVER:
            return None
        if restarts is Restarts.ONCE_READY and (was_told or not self._was_ready):
            return None
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause

    async def _connected(self) -> Client:
        while True:
            try:
                return await self._connect()
            except EngineUnreachable as error:
                log.info("no connection to Temporal yet", reason=str(error))
                await asyncio.sleep(_PAUSE)


async def _look_at_memory(runner: SupervisedRunner) -> None:
    while True:
        await asyncio.sleep(TICK)
        runner.memory.look()

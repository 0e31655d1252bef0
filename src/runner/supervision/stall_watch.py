"""A runner's process that lives and stands still: noticed from outside, told to the executions that it holds.

The runner's own watch (`runner.liveness`) beats over the link about every second. No beat for a while means that the
process is stopped, or that no Python code in it gets to run; then only somebody else can say so. It is a condition and
not a verdict: a process that goes on takes its executions up where it left them.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from projector.envelope import NewEvent, execution_stream, role_of
from projector.errors import StoreError, StoreUnavailable, VersionConflict
from projector.event_store import ANY, EventStore, exactly
from projector.event_writer import EventWriter
from projector.events import ConditionCleared, ConditionKind, ConditionObserved
from projector.execution_status import ExecutionStatus, fold
from projector.process_state import STOPPED, state_of
from runner.link import AttemptOpened
from runner.supervision.stack_dump import StackDump, read_dump
from runner.supervision.supervised_runner import SupervisedRunner

TICK: Final = 0.25
"""Seconds between two looks."""
SETTLING: Final = 1.0
"""How long a process that was stopped may take to beat again, in seconds. Its stacks are not asked for before: they are
read without Python's lock, which is safe only while no thread gets to run Python code."""
STACK_PATIENCE: Final = 1.0
"""How long the stacks of a process that stands still are waited for, in seconds."""

_PAUSE: Final = 0.5
_CONFLICTS: Final = 10

log = structlog.get_logger("supervisor")


class StallWatch:
    """Watches one runner until it is cancelled."""

    def __init__(self, runner: SupervisedRunner, store: EventStore, writer: EventWriter, *, stall_after: float) -> None:
        """`stall_after` is how long the process may stand still, in seconds."""
        self._runner = runner
        self._store = store
        self._writer = writer
        self._stall_after = stall_after
        self._name = f"supervisor:{runner.runner_id}"
        self._looked_at = time.monotonic()
        self._count = 0
        self._told: list[AttemptOpened] = []
        self._awake_since: float | None = None
        self._asked_at: float | None = None

    async def run(self) -> None:
        """Look again and again; ends when cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self._forgive()
            if (reason := self._reason()) is None:
                if self._told:
                    await self._clear()
            elif not self._told:
                await self._observe(reason)

    def _forgive(self) -> None:
        """When we ourselves were held up, or the whole machine slept, the runner had no chance to be heard."""
        now = time.monotonic()
        held_up = now - self._looked_at - TICK
        if held_up > TICK:
            self._runner.beat_at += held_up
        self._looked_at = now

    def _reason(self) -> str | None:
        """Why the process stands still, or None when it does not."""
        runner = self._runner
        now = time.monotonic()
        silence = now - runner.beat_at
        stopped = STOPPED.get(state_of(runner.pid))
        self._awake_since = None if stopped else self._awake_since or now
        if silence < self._stall_after / 2:
            runner.stacks.forget()  # it runs: what it left there is of an earlier time
            self._asked_at = None
        if not runner.is_beating or not runner.is_running or silence < self._stall_after:
            return None
        if self._awake_since is None:
            return f"the runner's process {stopped}"
        if now - self._awake_since < SETTLING:
            return None  # it has just been continued
        if self._asked_at is None:
            self._asked_at = now
            runner.ask_for_stacks()
        dump = self._dump()
        if not self._told and not dump.text and now - self._asked_at < STACK_PATIENCE:
            return None  # the dump is on its way
        where = f": {dump.where} does not return" if dump.where else ""
        return f"the runner's process is alive but runs no Python code{where}"

    def _dump(self) -> StackDump:
        return read_dump(self._runner.stacks.text())

    async def _observe(self, reason: str) -> None:
        self._told = list(self._runner.attempts.values())
        if not self._told:
            return
        log.warning("the runner stands still", reason=reason, pid=self._runner.pid, executions=len(self._told))
        self._count += 1
        event = ConditionObserved(kind=ConditionKind.STALLED, reason=reason, stack=self._dump().text)
        await self._tell_all(event, f"stalled-{self._count}")

    async def _clear(self) -> None:
        log.warning("the runner goes on", pid=self._runner.pid)
        await self._tell_all(ConditionCleared(kind=ConditionKind.STALLED), f"recovered-{self._count}")
        self._told = []

    async def _tell_all(self, event: ConditionObserved | ConditionCleared, series: str) -> None:
        await asyncio.gather(*(self._tell(attempt, event, series) for attempt in self._told))

    async def _tell(self, attempt: AttemptOpened, event: ConditionObserved | ConditionCleared, series: str) -> None:
        stream = execution_stream(attempt.execution_id)
        id = f"{series}-{self._runner.runner_id}-{attempt.attempt}"
        new = NewEvent(id, datetime.now(UTC), self._name, event, attempt.attempt)
        status: ExecutionStatus | None = None
        conflicts = 0
        while True:
            try:
                known = status.version if status else 0
                status = fold(status, await asyncio.to_thread(self._store.read, stream, after=known))
                if status is None or not self._is_news(status, event):
                    return
                await self._writer.append(stream, [new], exactly(status.version) if conflicts < _CONFLICTS else ANY)
                return
            except VersionConflict:  # by an agent that is quicker than we are, in the end
                conflicts += 1
            except StoreUnavailable:
                await asyncio.sleep(_PAUSE)
                if isinstance(event, ConditionObserved) and self._reason() is None:
                    return
            except StoreError as error:
                log.error("a condition could not be stored", execution_id=attempt.execution_id, reason=str(error))
                return

    def _is_news(self, status: ExecutionStatus, event: ConditionObserved | ConditionCleared) -> bool:
        if status.phase.is_terminal:
            return False
        standing = next((held for held in status.conditions if held.kind is ConditionKind.STALLED), None)
        is_ours = standing is not None and standing.observer == role_of(self._name)
        return is_ours if isinstance(event, ConditionCleared) else not is_ours

"""One cell being played: an execution on a queue of its own, brought to its stage, and hands for the fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from projector.envelope import RecordedEvent
from projector.events import AttemptFinished, RunnerAwaited
from projector.execution_status import ExecutionStatus, Phase
from projector.opening import open_queries
from tests.matrix.cell import Cell, Outcome, Stage
from tests.temporal.harness import Harness
from tests.temporal.processes import Program, until
from workflows.client import ExecutionRequest

PHASED: Final = "tests.matrix.phased_agent:phased"
SLOW_START: Final = "tests.matrix.slow_start:phased"


@dataclass
class Scene:
    """A cell and where it is played. `number` tells scenes of one cell apart."""

    harness: Harness
    cell: Cell
    number: int
    place: Path
    agent: str = PHASED
    struck_at: datetime | None = None
    history: list[RecordedEvent] = field(default_factory=list)

    @property
    def queue(self) -> str:
        return f"matrix-{self.number}"

    @property
    def execution_id(self) -> str:
        return f"cell-{self.number}"

    @property
    def plan(self) -> str:
        return json.dumps(
            {
                "phase": self.cell.stage.value,
                "fault": self.cell.fault,
                "seconds": 3 * self.cell.limits.heartbeat,
                "place": str(self.place),
            }
        )

    @asynccontextmanager
    async def runner(
        self, *, supervised: bool = True, extra: dict[str, str] | None = None, is_ready: bool = True
    ) -> AsyncIterator[Program]:
        """A runner for this cell alone."""
        surroundings = {
            "MATRIX_PLACE": str(self.place),
            "MATRIX_FAULT": self.cell.fault,
            "EXECUTION_STATUS_STALL_AFTER": "1",
            "EXECUTION_STATUS_CONNECT_TIMEOUT": "2",
        } | (extra or {})
        async with self.harness.starting_runner(
            self.agent, queue=self.queue, extra=surroundings, supervised=supervised
        ) as started:
            if is_ready:
                await started.says("serves queue")
            yield started

    @asynccontextmanager
    async def runner_unless_waiting(self) -> AsyncIterator[None]:
        """A runner, unless the execution is to wait for one."""
        if self.cell.stage is Stage.WAITING:
            yield
            return
        async with self.runner():
            yield

    async def start(self) -> None:
        """Start the execution."""
        request = ExecutionRequest(
            agent=self.agent,
            input=self.plan,
            execution_id=self.execution_id,
            task_queue=self.queue,
            timeouts=self.cell.limits,
        )
        await self.harness.executions.start(request)

    async def reach(self) -> None:
        """Wait until the execution is at its stage; for `finishing`, let it go on until its result is stored."""
        match self.cell.stage:
            case Stage.WAITING:
                await self.harness.until_event(self.execution_id, RunnerAwaited)
            case Stage.CANCELLING:
                await self.until_file("begun")
                await self.harness.executions.cancel(self.execution_id, "the ferry has left")
                await self.until_file("here")
            case Stage.FINISHING:
                await self.until_file("here")
                self.go()
                await self.harness.until_stored(self.execution_id, AttemptFinished)
            case _:
                await self.until_file("here")

    async def until_file(self, name: str) -> None:
        await until(lambda: (self.place / name).exists(), within=20)

    def go(self) -> None:
        """Let the agent go on."""
        (self.place / "go").touch()

    def strike(self) -> None:
        """The fault strikes now."""
        self.struck_at = datetime.now(UTC)

    async def runner_pid(self) -> int:
        """The process id of the runner itself, not of its supervisor."""
        async with open_queries(self.harness.settings) as queries:
            return (await queries.runners(self.queue))[0].pid

    async def end(self) -> ExecutionStatus:
        """Wait for the execution's end."""
        status = await self.harness.end(self.execution_id, within=self.cell.within + 30)
        self.history = await self.harness.history(self.execution_id)
        return status

    def outcome(self, status: ExecutionStatus | None, trouble: str = "") -> Outcome:
        """How it came out."""
        runs = (self.place / "runs").read_text().count("\n") if (self.place / "runs").exists() else 0
        ended_at = status.finished_at if status is not None else None
        since = self.struck_at or (self.history[0].time if self.history else None)
        seconds = (ended_at - since).total_seconds() if ended_at and since else 0.0
        return Outcome(
            self.cell,
            _ended(status),
            _reason(status),
            max(0.0, seconds),
            runs,
            tuple(record.type for record in self.history),
            trouble,
        )


Play = Callable[[Scene], Awaitable[ExecutionStatus]]
"""How a fault is brought about: it takes a scene to its end and returns the status there. It lets the fault strike when
the execution is at its stage, and says so with `strike()`. Faults are real: processes are killed, servers are stopped,
locks are held."""


def _ended(status: ExecutionStatus | None) -> str:
    if status is None:
        return "no end"
    return status.failure.code if status.failure else status.phase.value


def _reason(status: ExecutionStatus | None) -> str:
    if status is None:
        return ""
    if status.failure:
        return status.failure.message
    if status.phase is Phase.CANCELLED:
        return status.cancellation_reason
    said: Any = status.output
    return f"{status.recovered}: {said}" if status.recovered else str(said)

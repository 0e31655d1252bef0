"""One scenario played for real: the execution is started, the fault strikes when it is deep in its work, the end is
awaited on the stream, and the seconds are counted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from projector.envelope import execution_stream
from projector.events import ConditionObserved, HeartbeatRecorded, ProgressReported
from projector.execution_status import ExecutionStatus, Phase
from projector.streams import StatusChange, follow
from workflows.client import ExecutionClient, ExecutionRequest
from workflows.demonstration.demo_runners import DemoRunners
from workflows.demonstration.demo_scenarios import STRIKES_AFTER_STEPS, Scenario, Strike
from workflows.up import Installation

_QUIET: Final = (HeartbeatRecorded, ProgressReported)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario came out. Seconds are from the fault to the moment at which the stream said it.

    `condition` is the first one that was observed after the fault, with `told_after` its seconds.
    """

    scenario: Scenario
    status: ExecutionStatus | None
    seconds: float | None
    condition: str = ""
    told_after: float | None = None

    @property
    def came_out(self) -> str:
        """The failure's code, or the phase."""
        if self.status is None:
            return "no end"
        return self.status.failure.code if self.status.failure else self.status.phase.value

    @property
    def is_right(self) -> bool:
        """Whether it is what the catalogue says."""
        message = self.status.failure.message if self.status and self.status.failure else ""
        return self.came_out == self.scenario.expected and all(part in message for part in self.scenario.says)

    @property
    def says(self) -> str:
        """What a person reads: the failure's message, or the result."""
        if self.status is None:
            return ""
        if self.status.phase is Phase.COMPLETED:
            return f"output: {str(self.status.output)[:80]}"
        return self.status.failure.message if self.status.failure else ""


class Demonstration:
    """Plays scenarios on one installation."""

    def __init__(
        self, running: Installation, client: ExecutionClient, runners: DemoRunners, say: Say, *, ends_within: float
    ) -> None:
        """`ends_within` is how long an execution may take, in seconds."""
        self._running = running
        self._client = client
        self._runners = runners
        self._say = say
        self._ends_within = ends_within
        self._began = datetime.now(UTC)

    async def show(self, scenario: Scenario) -> Outcome:
        """Play a scenario to its end."""
        execution_id = f"demo-{scenario.name}"
        await self._client.start(
            ExecutionRequest(
                agent=scenario.agent,
                input=scenario.input,
                execution_id=execution_id,
                task_queue=scenario.queue,
                timeouts=scenario.timeouts,
            )
        )
        status: ExecutionStatus | None = None
        struck_at: datetime | None = None
        conditions: list[tuple[datetime, str]] = []
        try:
            async with asyncio.timeout(self._ends_within):
                async for change in follow(self._running.store, execution_id):
                    status = change.status
                    self._tell(scenario, change)
                    if isinstance(change.record.event, ConditionObserved):
                        conditions.append((datetime.now(UTC), change.record.event.reason))
                    if scenario.strike is not Strike.NOTHING and struck_at is None and _is_deep_in_work(status):
                        struck_at = datetime.now(UTC)
                        await self._strike(scenario, execution_id)
        except TimeoutError:
            self._say(f"{self._clock()}  {scenario.name:16} no end within {self._ends_within:g} s")
            status = status if status and status.phase.is_terminal else None
        seen_at = datetime.now(UTC)
        if scenario.strike is Strike.FREEZE_RUNNER:
            await self._runners.thaw(scenario.queue)
        history = await asyncio.to_thread(self._running.store.read, execution_stream(execution_id))
        fault_at = struck_at or scenario.fault_at(history)
        told = next(((at, why) for at, why in conditions if fault_at and at >= fault_at), None)
        return Outcome(
            scenario,
            status,
            _between(fault_at, seen_at),
            told[1] if told else "",
            _between(fault_at, told[0]) if told else None,
        )

    async def _strike(self, scenario: Scenario, execution_id: str) -> None:
        match scenario.strike:
            case Strike.KILL_RUNNER:
                what = f"SIGKILL to the runner, pid {await self._runners.kill(scenario.queue)}"
            case Strike.KILL_RUNNER_AND_SUPERVISOR:
                pid = await self._runners.kill_with_supervisor(scenario.queue)
                what = f"SIGKILL to the supervisor and to the runner, pid {pid}"
            case Strike.FREEZE_RUNNER:
                what = f"SIGSTOP to the runner, pid {await self._runners.freeze(scenario.queue)}"
            case Strike.TERMINATE_WORKFLOW:
                await self._running.client.get_workflow_handle(execution_id).terminate(reason="for the demonstration")
                what = "the workflow is terminated in Temporal"
            case Strike.NOTHING:
                return
        self._say(f"{self._clock()}  {scenario.name:16} {what}")

    def _tell(self, scenario: Scenario, change: StatusChange) -> None:
        if isinstance(change.record.event, _QUIET):
            return
        status = change.status
        line = f"{self._clock()}  {scenario.name:16} {status.phase:11} {change.record.type}"
        if status.failure is not None:
            line += f" {status.failure.code}: {status.failure.message}"
        elif status.condition is not None:
            line += f" · {status.condition.kind}: {status.condition.reason}"
        elif status.in_flight is not None:
            line += f" · in tool {status.in_flight.tool}"
        self._say(line)

    def _clock(self) -> str:
        return f"{(datetime.now(UTC) - self._began).total_seconds():6.2f} s"


def seconds_words(seconds: float | None) -> str:
    """Seconds for a table; `never` when they are infinite, a dash when there are none."""
    if seconds is None:
        return "—"
    return "never" if math.isinf(seconds) else f"{seconds:.2f}"


def _is_deep_in_work(status: ExecutionStatus) -> bool:
    return status.events_processed >= STRIKES_AFTER_STEPS and status.in_flight is not None


def _between(fault: datetime | None, then: datetime) -> float | None:
    return max(0.0, (then - fault).total_seconds()) if fault else None

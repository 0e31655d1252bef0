"""How soon a failure is told with its true reason, with every timeout at its default: `make figures`.

Each fault is real and strikes on real processes; all are measured in one run, which takes six minutes, since one of
them is an agent that is silent for ten heartbeat timeouts. Exits 0 if every figure is what is promised.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from projector.envelope import NewEvent, execution_stream
from projector.events import ConditionKind, ConditionObserved, ExecutionRequested, RunnerAwaited, Timeouts
from projector.opening import hygiene_from_environment, open_queries
from projector.projections.runners import RunnerState
from projector.streams import StatusChange, follow
from runner.contracts import WORKFLOW, ExecutionInput
from workflows.client import ExecutionClient
from workflows.demonstration.demo import forget_surroundings
from workflows.demonstration.demo_runners import DemoRunners, RunnerOrder
from workflows.demonstration.demo_scenarios import (
    BLOCKING_AGENT,
    BROKEN_AGENT,
    FILE_AGENT,
    NEVER,
    SILENT_AGENT,
    Scenario,
    Strike,
    time_of,
)
from workflows.demonstration.demonstration import Demonstration, Outcome, seconds_words
from workflows.settings import OrchestratorSettings
from workflows.up import Installation, installation

DEFAULTS: Final = Timeouts()
SILENCE: Final = 10 * DEFAULTS.heartbeat
ENDS_WITHIN: Final = SILENCE + 60
BLOCKED_FOR: Final = 15.0
FROZEN_FOR: Final = 12.0
LIMIT_OUTSIDE: Final = 8.0
STORY: Final = "pace=1"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `elsewhere` is what Temporal's timeouts alone would give; limits and times in seconds."""

    fault: str
    elsewhere: float | None
    code: str
    expected: str
    told_after: float | None
    verdict_after: float | None
    told_within: float | None = None
    verdict_within: float | None = None
    says: str = ""

    @property
    def wrong(self) -> str:
        """What is not as promised; empty when all is."""
        if self.code != self.expected:
            return f"{self.code} instead of {self.expected}"
        for what, after, within in (
            ("told", self.told_after, self.told_within),
            ("ended", self.verdict_after, self.verdict_within),
        ):
            if within is not None and (after is None or after > within):
                return f"{what} after {seconds_words(after)} s, and {within:g} s are promised"
        return ""


class Bench:
    """The faults, each measured on one installation."""

    def __init__(self, running: Installation, runners: DemoRunners, shown: Demonstration) -> None:
        self._running = running
        self._runners = runners
        self._shown = shown

    async def cannot_start(self) -> Figure:
        """A runner that cannot be imported comes up while an execution waits."""
        execution_id, queue = "figure-cannot-start", "figure-cannot-start"
        client = self._client()
        from workflows.client import ExecutionRequest

        await client.start(ExecutionRequest(agent=BROKEN_AGENT, execution_id=execution_id, task_queue=queue))
        following = asyncio.create_task(self._follow(execution_id))
        async with self._runners.started([RunnerOrder(queue, (BROKEN_AGENT,))]):
            changes = await following
        async with open_queries(self._running.settings) as queries:
            failed = next(r for r in await queries.runners(queue) if r.state is RunnerState.STARTUP_FAILED)
        fault_at = datetime.fromisoformat(failed.changed_at)
        grace = self._running.settings.startup_grace
        return self._figure(
            "runner cannot start", DEFAULTS.schedule_to_start, "E101", fault_at, changes, told=1.0, ended=grace + 1
        )

    async def nobody_polls(self) -> Figure:
        """No runner at all."""
        outcome = await self._shown.show(
            Scenario(
                "figure-nobody", "", FILE_AGENT, "figure-nobody", "", "E102", fault_at=time_of(RunnerAwaited),
                timeouts=DEFAULTS,
            )
        )  # fmt: skip
        return _of(outcome, "nobody polls the queue", DEFAULTS.schedule_to_start, told=2.0, ended=61.0)

    async def killed(self) -> Figure:
        """SIGKILL of the runner, its supervisor lives."""
        scenario = Scenario(
            "figure-killed",
            "",
            FILE_AGENT,
            "figure-killed",
            STORY,
            "E201",
            timeouts=DEFAULTS,
            strike=Strike.KILL_RUNNER,
        )
        return _of(await self._shown.show(scenario), "runner killed", DEFAULTS.heartbeat, ended=1.0)

    async def lost(self) -> Figure:
        """SIGKILL of both."""
        strike = Strike.KILL_RUNNER_AND_SUPERVISOR
        scenario = Scenario(
            "figure-lost", "", FILE_AGENT, "figure-lost", STORY, "E203", timeouts=DEFAULTS, strike=strike
        )
        outcome = await self._shown.show(scenario)
        return _of(outcome, "runner and supervisor killed", DEFAULTS.heartbeat, ended=DEFAULTS.heartbeat + 1)

    async def terminated(self) -> Figure:
        """An operator ends the workflow."""
        strike = Strike.TERMINATE_WORKFLOW
        scenario = Scenario("figure-ended", "", FILE_AGENT, "figure", STORY, "E602", timeouts=DEFAULTS, strike=strike)
        return _of(await self._shown.show(scenario), "workflow terminated", NEVER, ended=10.0)

    async def silent(self) -> Figure:
        """Healthy, and silent for ten heartbeat timeouts."""
        scenario = Scenario("figure-silent", "", SILENT_AGENT, "figure", f"{SILENCE:g}", "COMPLETED", timeouts=DEFAULTS)
        outcome = await self._shown.show(scenario)
        return _of(outcome, f"healthy, silent for {SILENCE:g} s", DEFAULTS.heartbeat)

    async def blocked(self) -> Figure:
        """The agent blocks its event loop, and goes on."""
        changes = await self._run("figure-blocked", BLOCKING_AGENT, "figure", f"{BLOCKED_FOR:g}")
        fault_at = next(change.record.time for change in changes if change.record.type == "ToolCallStarted")
        return self._figure("agent's event loop blocked", None, "COMPLETED", fault_at, changes, told=5.0)

    async def frozen(self) -> Figure:
        """The runner is stopped, and goes on before its heartbeat timeout."""
        running = asyncio.create_task(self._run("figure-frozen", SILENT_AGENT, "figure-frozen", "20"))
        await self._until_in_tool("figure-frozen")
        fault_at = datetime.now(UTC)
        await self._runners.freeze("figure-frozen")
        await asyncio.sleep(FROZEN_FOR)
        await self._runners.thaw("figure-frozen")
        return self._figure("runner's process frozen", None, "COMPLETED", fault_at, await running, told=5.0)

    async def timed_out_outside(self) -> Figure:
        """Temporal ends the workflow at a limit that somebody set."""
        execution_id = "figure-limit"
        await self._request(execution_id)
        started = datetime.now(UTC)
        await self._running.client.start_workflow(
            WORKFLOW,
            ExecutionInput(execution_id=execution_id, agent=FILE_AGENT, task_queue="figure-nobody-else"),
            id=execution_id,
            task_queue=self._running.settings.orchestrator_queue,
            execution_timeout=timedelta(seconds=LIMIT_OUTSIDE),
        )
        changes = await self._follow(execution_id)
        fault_at = started + timedelta(seconds=LIMIT_OUTSIDE)
        return self._figure("workflow timed out by Temporal", NEVER, "E603", fault_at, changes, ended=10.0)

    async def stuck(self) -> Figure:
        """The orchestrator cannot advance the workflow."""
        execution_id = "figure-stuck"
        await self._request(execution_id)
        fault_at = datetime.now(UTC)
        await self._running.client.start_workflow(
            "SomebodyElsesWorkflow", id=execution_id, task_queue=self._running.settings.orchestrator_queue
        )
        changes = [await self._first(execution_id, ConditionKind.STALLED)]
        # The verdict follows after `stuck_after`; what counts here is how soon it is told.
        return self._figure("workflow stuck", NEVER, "PENDING", fault_at, changes, told=10.0)

    def _client(self) -> ExecutionClient:
        return ExecutionClient(self._running.settings, self._running.store, hygiene_from_environment())

    async def _run(self, execution_id: str, agent: str, queue: str, input: str) -> list[StatusChange]:
        from workflows.client import ExecutionRequest

        request = ExecutionRequest(agent=agent, input=input, execution_id=execution_id, task_queue=queue)
        await self._client().start(request)
        return await self._follow(execution_id)

    async def _request(self, execution_id: str) -> None:
        requested = ExecutionRequested(agent=FILE_AGENT, task_queue="figure-nobody-else")
        new = NewEvent("requested", datetime.now(UTC), "client", requested)
        await asyncio.to_thread(self._running.store.append, execution_stream(execution_id), [new])

    async def _follow(self, execution_id: str) -> list[StatusChange]:
        async with asyncio.timeout(ENDS_WITHIN):
            return [change async for change in follow(self._running.store, execution_id)]

    async def _first(self, execution_id: str, kind: ConditionKind) -> StatusChange:
        async with asyncio.timeout(ENDS_WITHIN):
            async for change in follow(self._running.store, execution_id):
                event = change.record.event
                if isinstance(event, ConditionObserved) and event.kind is kind:
                    return change
        raise AssertionError(f"{execution_id} ended without it")

    async def _until_in_tool(self, execution_id: str) -> None:
        async with asyncio.timeout(ENDS_WITHIN):
            while True:
                async with open_queries(self._running.settings) as queries:
                    page = await queries.executions()
                if any(status.execution_id == execution_id and status.in_flight for status in page.items):
                    return
                await asyncio.sleep(0.05)

    def _figure(
        self,
        fault: str,
        elsewhere: float | None,
        expected: str,
        fault_at: datetime,
        changes: Sequence[StatusChange],
        *,
        told: float | None = None,
        ended: float | None = None,
    ) -> Figure:
        status = changes[-1].status
        conditions = [
            change.record
            for change in changes
            if isinstance(change.record.event, ConditionObserved) and change.record.time >= fault_at
        ]
        first = conditions[0] if conditions else None
        message = status.failure.message if status.failure else ""
        reason = first.event.reason if first and isinstance(first.event, ConditionObserved) else ""
        return Figure(
            fault,
            elsewhere,
            status.failure.code if status.failure else status.phase.value,
            expected,
            (first.time - fault_at).total_seconds() if first else None,
            (status.finished_at - fault_at).total_seconds() if status.finished_at and status.failure else None,
            told,
            ended,
            message or reason,
        )


def _of(
    outcome: Outcome, fault: str, elsewhere: float | None, *, told: float | None = None, ended: float | None = None
) -> Figure:
    is_failed = outcome.status is not None and outcome.status.failure is not None
    return Figure(
        fault,
        elsewhere,
        outcome.came_out,
        outcome.scenario.expected,
        outcome.told_after,
        outcome.seconds if is_failed else None,
        told,
        ended,
        outcome.says,
    )


async def measure() -> int:
    """Measure everything once and print it; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="execution-status-figures-") as temporary:
        folder = Path(temporary)
        forget_surroundings(folder)
        settings = OrchestratorSettings(data_dir=folder, store=str(folder / "store.db"), agent_queue="figure", grace=5)
        async with installation(settings) as running:
            runners = DemoRunners(running)
            orders = (
                RunnerOrder("figure", (FILE_AGENT, SILENT_AGENT, BLOCKING_AGENT)),
                RunnerOrder("figure-killed", (FILE_AGENT,)),
                RunnerOrder("figure-lost", (FILE_AGENT,), is_separate=True),
                RunnerOrder("figure-frozen", (SILENT_AGENT,)),
            )
            async with runners.started(orders):
                client = ExecutionClient(settings, running.store, hygiene_from_environment())
                shown = Demonstration(running, client, runners, lambda _: None, ends_within=ENDS_WITHIN)
                bench = Bench(running, runners, shown)
                plays: Sequence[Callable[[], Awaitable[Figure]]] = (
                    bench.cannot_start,
                    bench.nobody_polls,
                    bench.killed,
                    bench.lost,
                    bench.blocked,
                    bench.frozen,
                    bench.terminated,
                    bench.timed_out_outside,
                    bench.stuck,
                    bench.silent,
                )
                print(f"every timeout at its default; this takes {SILENCE / 60 + 0.5:.0f} minutes …", file=sys.stderr)
                figures = await asyncio.gather(*(play() for play in plays))
    _print(figures)
    return 1 if any(figure.wrong for figure in figures) else 0


def _print(figures: Sequence[Figure]) -> None:
    print(f"{'fault':32} {'code':10} {'told after':>10} {'ended after':>11} {'timeouts alone':>14}  what is said")
    for figure in figures:
        print(
            f"{figure.fault:32} {figure.code:10} {seconds_words(figure.told_after):>10} "
            f"{seconds_words(figure.verdict_after):>11} {seconds_words(figure.elsewhere):>14}  {figure.says[:120]}"
            + (f"  WRONG: {figure.wrong}" if figure.wrong else "")
        )


if __name__ == "__main__":
    sys.exit(asyncio.run(measure()))

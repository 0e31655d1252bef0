"""The demonstration: every scenario at once, on real processes, told live and summed up in one table."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from projector.console import say
from projector.envelope import execution_stream
from projector.errors import EngineUnreachable
from projector.events import HeartbeatRecorded, ProgressReported
from projector.execution_status import ExecutionStatus, Phase
from projector.opening import hygiene_from_environment
from projector.projections.runners import RunnerState
from projector.queries import Queries
from projector.settings import PREFIX
from projector.streams import StatusChange, follow
from workflows.client import ExecutionClient, ExecutionRequest
from workflows.demo_scenarios import (
    BLOCKING_AGENT,
    BROKEN_AGENT,
    BROKEN_QUEUE,
    FAILING_AGENT,
    FILE_AGENT,
    KILL_AFTER_STEPS,
    MAIN_QUEUE,
    MISCONFIGURED_QUEUE,
    SCENARIOS,
    SILENT_AGENT,
    SLOW_AGENT,
    TIMEOUTS,
    VICTIM_QUEUE,
    Scenario,
)
from workflows.runner_process import RunnerChild
from workflows.settings import OrchestratorSettings
from workflows.up import Installation, installation, runner_environment

READY_WITHIN: Final = 60.0
ENDS_WITHIN: Final = 90.0
PIPE_WIDTH: Final = 120
_QUIET: Final = (HeartbeatRecorded, ProgressReported)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario came out. `seconds` is from the fault to the moment the stream said FAILED."""

    scenario: Scenario
    status: ExecutionStatus | None
    seconds: float | None

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


async def demonstrate(data_dir: str | None) -> int:
    """Show every scenario; returns 0 if each came out as the catalogue says, else 1."""
    with tempfile.TemporaryDirectory(prefix="execution-status-demo-") as temporary:
        folder = Path(data_dir) if data_dir else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _forget_surroundings(folder)
        settings = OrchestratorSettings(
            data_dir=folder, store=str(folder / "store.db"), agent_queue=MAIN_QUEUE, grace=5
        )
        say("starting Temporal, the orchestrator, the projector and the runners …")
        async with installation(settings) as running, _runners(running) as victim:
            say(
                f"timeouts are short here: heartbeat {TIMEOUTS.heartbeat:g} s (30 s by default), schedule-to-start "
                f"3 to {TIMEOUTS.schedule_to_start:g} s (60 s), start-to-close 3 to {TIMEOUTS.start_to_close:g} s "
                "(10 min)\n"
            )
            client = ExecutionClient(settings, running.store, hygiene_from_environment())
            began = datetime.now(UTC)
            outcomes = await asyncio.gather(
                *(_show(scenario, client, running, victim, began) for scenario in SCENARIOS)
            )
            say("\nstopping …\n")
        _print_table(outcomes)
        if data_dir:
            say(f"look at it again: execution-status list --data-dir {folder}")
    return 0 if all(outcome.is_right for outcome in outcomes) else 1


def _forget_surroundings(folder: Path) -> None:
    """The demonstration must not reach another store or another Temporal, whatever this shell is set up for."""
    for name in [name for name in os.environ if name.startswith((PREFIX, "TEMPORAL_"))]:
        del os.environ[name]
    nothing = folder / "no-settings.toml"
    nothing.touch()
    os.environ[PREFIX + "CONFIG"] = os.environ["TEMPORAL_CONFIG_FILE"] = str(nothing)


@asynccontextmanager
async def _runners(running: Installation) -> AsyncIterator[RunnerChild]:
    """The demonstration's runners, ready; yields the one that is to be killed."""
    base = runner_environment(running)
    folder = running.settings.data_dir
    blocked = folder / "misconfigured"
    blocked.mkdir(exist_ok=True)
    (blocked / "threads").write_text("a file where the runner wants a folder\n")
    healthy = (FILE_AGENT, SLOW_AGENT, FAILING_AGENT, SILENT_AGENT, BLOCKING_AGENT)
    plans: list[tuple[str, Sequence[str], dict[str, str]]] = [
        (MAIN_QUEUE, healthy, {}),
        (VICTIM_QUEUE, [FILE_AGENT], {}),
        (MISCONFIGURED_QUEUE, [FILE_AGENT], {PREFIX + "DATA_DIR": str(blocked)}),
        (BROKEN_QUEUE, [BROKEN_AGENT], {}),
    ]
    children: dict[str, RunnerChild] = {}
    tasks: dict[str, asyncio.Task[int]] = {}
    async with AsyncExitStack() as stack:
        for queue, agents, extra in plans:
            environment = {**base, PREFIX + "AGENT_QUEUE": queue, **extra}
            child = children[queue] = RunnerChild(agents, environment, log_path=folder / f"{queue}.log", grace=5)
            task = tasks[queue] = asyncio.create_task(child.run_once())
            stack.push_async_callback(_stop, child, task)
        await _until_ready(running, tasks)
        yield children[VICTIM_QUEUE]


async def _stop(child: RunnerChild, task: asyncio.Task[int]) -> None:
    await child.stop()
    await task


async def _until_ready(running: Installation, runners: Mapping[str, asyncio.Task[int]]) -> None:
    """Wait until every runner has said that it is ready, or why it could not start."""
    deadline = asyncio.get_running_loop().time() + READY_WITHIN
    async with Queries(running.settings.store_path) as queries:
        while True:
            ended = {queue for queue, task in runners.items() if task.done()}
            settled = {
                runner.task_queue for runner in await queries.runners() if runner.state is not RunnerState.STARTING
            }
            missing = set(runners) - settled
            if not missing:
                return
            if missing & ended or asyncio.get_running_loop().time() > deadline:
                queue = min(missing & ended or missing)
                log = running.settings.data_dir / f"{queue}.log"
                say((await asyncio.to_thread(log.read_text, errors="replace"))[-2000:])
                raise EngineUnreachable(f"the runner on queue '{queue}' did not start: the end of its log is above")
            await asyncio.sleep(running.settings.poll_interval)


async def _show(
    scenario: Scenario, client: ExecutionClient, running: Installation, victim: RunnerChild, began: datetime
) -> Outcome:
    execution_id = f"demo-{scenario.name}"
    await client.start(
        ExecutionRequest(
            agent=scenario.agent,
            input=scenario.input,
            execution_id=execution_id,
            task_queue=scenario.queue,
            timeouts=scenario.timeouts,
        )
    )
    status: ExecutionStatus | None = None
    killed_at: datetime | None = None
    try:
        async with asyncio.timeout(ENDS_WITHIN):
            async for change in follow(running.store, execution_id):
                status = change.status
                _tell(scenario, change, began)
                if scenario.is_killed and killed_at is None and _is_deep_in_work(status) and victim.pid is not None:
                    os.kill(victim.pid, signal.SIGKILL)
                    killed_at = datetime.now(UTC)
                    say(f"{_clock(began)}  {scenario.name:16} SIGKILL to the runner, pid {victim.pid}")
    except TimeoutError:
        say(f"{_clock(began)}  {scenario.name:16} no end within {ENDS_WITHIN:g} s")
        status = status if status and status.phase.is_terminal else None
    seen_at = datetime.now(UTC)
    history = await asyncio.to_thread(running.store.read, execution_stream(execution_id))
    fault_at = killed_at or scenario.fault_at(history)
    seconds = max(0.0, (seen_at - fault_at).total_seconds()) if fault_at else None
    return Outcome(scenario, status, seconds)


def _is_deep_in_work(status: ExecutionStatus) -> bool:
    return status.events_processed >= KILL_AFTER_STEPS and status.in_flight is not None


def _tell(scenario: Scenario, change: StatusChange, began: datetime) -> None:
    if isinstance(change.record.event, _QUIET):
        return
    status = change.status
    line = f"{_clock(began)}  {scenario.name:16} {status.phase:11} {change.record.type}"
    if status.failure is not None:
        line += f" {status.failure.code}: {status.failure.message}"
    elif status.in_flight is not None:
        line += f" · in tool {status.in_flight.tool}"
    elif status.condition is not None:
        line += f" · {status.condition.reason}"
    say(line)


def _clock(began: datetime) -> str:
    return f"{(datetime.now(UTC) - began).total_seconds():6.2f} s"


def _print_table(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="what was shown", title_justify="left", show_lines=True, expand=True)
    table.add_column("scenario", ratio=3)
    table.add_column("code")
    table.add_column("seconds from\nfault to FAILED", justify="right")
    table.add_column("message", ratio=5, overflow="fold")
    for outcome in outcomes:
        status = outcome.status
        message = status.failure.message if status and status.failure else ""
        if status and status.phase is Phase.COMPLETED:
            message = f"output: {str(status.output)[:80]}"
        table.add_row(
            f"{outcome.scenario.name}: {outcome.scenario.shows}",
            outcome.came_out
            if outcome.is_right
            else f"{outcome.came_out}: WRONG, expected {outcome.scenario.expected}",
            f"{outcome.seconds:.2f}" if outcome.seconds is not None else "—",
            Text(message),
        )
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table)
    right = sum(outcome.is_right for outcome in outcomes)
    console.print(f"{right} of {len(outcomes)} scenarios came out as the catalogue says")

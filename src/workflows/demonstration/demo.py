"""The demonstration: every scenario at once, on real processes, told live and summed up in one table."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from projector.console import say
from projector.opening import hygiene_from_environment
from projector.settings import PREFIX
from workflows.client import ExecutionClient
from workflows.demonstration.demo_runners import DemoRunners, RunnerOrder
from workflows.demonstration.demo_scenarios import (
    BLOCKING_AGENT,
    BROKEN_AGENT,
    BROKEN_QUEUE,
    FAILING_AGENT,
    FILE_AGENT,
    FROZEN_QUEUE,
    LOST_QUEUE,
    MAIN_QUEUE,
    MISCONFIGURED_QUEUE,
    SCENARIOS,
    SILENT_AGENT,
    SLOW_AGENT,
    TIMEOUTS,
    VICTIM_QUEUE,
)
from workflows.demonstration.demonstration import Demonstration, Outcome, seconds_words
from workflows.service.beside import service_beside
from workflows.settings import OrchestratorSettings
from workflows.up import NO_PAGE, installation

ENDS_WITHIN: Final = 90.0
STARTUP_GRACE: Final = 1.0
PIPE_WIDTH: Final = 120


async def demonstrate(data_dir: str | None, *, stay: bool = False) -> int:
    """Show every scenario; returns 0 if each came out as the catalogue says, else 1.

    With `stay` the page and all that stands behind it stay, until SIGINT or SIGTERM.
    """
    with tempfile.TemporaryDirectory(prefix="execution-status-demo-") as temporary:
        folder = Path(data_dir) if data_dir else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        forget_surroundings(folder)
        settings = OrchestratorSettings(
            data_dir=folder,
            store=str(folder / "store.db"),
            agent_queue=MAIN_QUEUE,
            grace=5,
            startup_grace=STARTUP_GRACE,
            stall_after=1,
            reconcile_interval=1,
            serve_port=0,
        )
        say("starting Temporal, the orchestrator, the projector and the runners …")
        hygiene = hygiene_from_environment()
        async with installation(settings) as running, service_beside(settings, running.store, hygiene) as page:
            runners = DemoRunners(running)
            async with runners.started(_orders(folder)):
                say(f"page: {page or NO_PAGE}{_how_long(stay=stay) if page else ''}")
                say(
                    f"timeouts are short here: heartbeat {TIMEOUTS.heartbeat:g} s (30 s by default), schedule-to-start "
                    f"3 to {TIMEOUTS.schedule_to_start:g} s (60 s), start-to-close 3 to {TIMEOUTS.start_to_close:g} s "
                    f"(10 min), startup grace {STARTUP_GRACE:g} s (5 s)\n"
                )
                client = ExecutionClient(settings, running.store, hygiene)
                shown = Demonstration(running, client, runners, say, ends_within=ENDS_WITHIN)
                outcomes = await asyncio.gather(*map(shown.show, SCENARIOS))
                if stay:
                    _print_table(outcomes)
                    await _until_told(page)
                say("\nstopping …\n")
        if not stay:
            _print_table(outcomes)
        if data_dir:
            say(f"look at it again: execution-status list --data-dir {folder}")
    return 0 if all(outcome.is_right for outcome in outcomes) else 1


def forget_surroundings(folder: Path) -> None:
    """The demonstration must not reach another store or another Temporal, whatever this shell is set up for."""
    for name in [name for name in os.environ if name.startswith((PREFIX, "TEMPORAL_"))]:
        del os.environ[name]
    nothing = folder / "no-settings.toml"
    nothing.touch()
    os.environ[PREFIX + "CONFIG"] = os.environ["TEMPORAL_CONFIG_FILE"] = str(nothing)


def _how_long(*, stay: bool) -> str:
    return " until Ctrl-C" if stay else " while this runs; --stay keeps it"


async def _until_told(page: str | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    say(f"look around: {page}      (Ctrl-C here stops everything)" if page else "Ctrl-C stops everything")
    await stopping.wait()


def _orders(folder: Path) -> Sequence[RunnerOrder]:
    blocked = folder / "misconfigured"
    blocked.mkdir(exist_ok=True)
    (blocked / "threads").write_text("a file where the runner wants a folder\n")
    healthy = (FILE_AGENT, SLOW_AGENT, FAILING_AGENT, SILENT_AGENT, BLOCKING_AGENT)
    return (
        RunnerOrder(MAIN_QUEUE, healthy),
        RunnerOrder(VICTIM_QUEUE, (FILE_AGENT,)),
        RunnerOrder(LOST_QUEUE, (FILE_AGENT,), is_separate=True),
        RunnerOrder(FROZEN_QUEUE, (FILE_AGENT,)),
        RunnerOrder(MISCONFIGURED_QUEUE, (FILE_AGENT,), {PREFIX + "DATA_DIR": str(blocked)}),
        RunnerOrder(BROKEN_QUEUE, (BROKEN_AGENT,)),
    )


def _print_table(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="what was shown", title_justify="left", show_lines=True, expand=True)
    table.add_column("scenario", ratio=3)
    table.add_column("code")
    table.add_column("seconds from\nfault to FAILED", justify="right")
    table.add_column("by Temporal's\ntimeouts alone", justify="right")
    table.add_column("message", ratio=5, overflow="fold")
    for outcome in outcomes:
        scenario = outcome.scenario
        table.add_row(
            f"{scenario.name}: {scenario.shows}",
            outcome.came_out if outcome.is_right else f"{outcome.came_out}: WRONG, expected {scenario.expected}",
            seconds_words(outcome.seconds),
            seconds_words(scenario.otherwise or None),
            Text(outcome.says),
        )
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table)
    right = sum(outcome.is_right for outcome in outcomes)
    console.print(f"{right} of {len(outcomes)} scenarios came out as the catalogue says")

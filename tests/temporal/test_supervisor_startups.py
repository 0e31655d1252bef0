"""A supervised runner that never gets ready: whoever knows the reason says it, and it is said once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from projector.envelope import runner_stream
from projector.events import RunnerExited, RunnerStartupFailed
from tests.temporal.harness import Harness, agent
from tests.temporal.processes import environment
from tests.temporal.supervising import runners, said

AGENT: Final = "async def agent(task):\n    yield 'aye'\n"


@pytest.mark.parametrize(
    ("name", "module", "reason"),
    [
        ("exits", "import os\nos._exit(3)\n", "ProcessEnded: exit code 3, before the runner was ready"),
        (
            "crashes",
            "import ctypes\nctypes.string_at(0)\n",
            "ProcessEnded: signal SIGSEGV, before the runner was ready",
        ),
        (
            "gives-up",
            "import os, traceback\ntry: {}['north']\nexcept KeyError: traceback.print_exc(), os._exit(1)\n",
            "KeyError: 'north'",
        ),
    ],
)
async def test_a_runner_that_cannot_even_say_why_it_does_not_start_has_its_supervisor_say_it(
    bare: Harness, tmp_path: Path, name: str, module: str, reason: str
) -> None:
    queue = f"slipway-{name}"
    (tmp_path / "cargo.py").write_text(module + AGENT)
    async with bare.starting_runner("cargo:agent", queue=queue, cwd=tmp_path, supervised=True) as supervisor:
        code = await supervisor.exits()
    (runner,) = await runners(bare, queue)
    failure, record = await said(bare, runner, RunnerStartupFailed)
    exited, _ = await said(bare, runner, RunnerExited)

    assert code == 1
    assert failure.report.headline == reason
    assert (failure.task_queue, failure.stage) == (queue, "importing the agent cargo:agent")
    assert failure.likely_causes
    assert record.writer == f"supervisor:{runner.runner_id}"
    assert (runner.state, runner.error) == ("startup_failed", reason)
    assert (exited.stage, exited.restart_in) == ("importing the agent cargo:agent", None)
    assert supervisor.said().count("STARTUP FAILURE") == 1
    assert f"error:         {reason}" in supervisor.said()


async def test_a_runner_that_says_itself_why_it_does_not_start_has_the_last_word(bare: Harness, tmp_path: Path) -> None:
    (tmp_path / "cargo.py").write_text("import astrolabe_of_the_ancients\n" + AGENT)
    async with bare.starting_runner("cargo:agent", queue="slipway", cwd=tmp_path, supervised=True) as supervisor:
        code = await supervisor.exits()
    (runner,) = await runners(bare, "slipway")
    history = await asyncio.to_thread(bare.store.read, runner_stream(runner.runner_id))

    assert code == 1
    assert [record.type for record in history] == ["RunnerStarting", "RunnerStartupFailed", "RunnerExited"]
    assert history[1].writer == f"runner:{runner.runner_id}"
    assert (runner.state, runner.stage) == ("startup_failed", "importing the agent cargo:agent")
    assert "No module named 'astrolabe_of_the_ancients'" in runner.error
    assert supervisor.said().count("STARTUP FAILURE") == 1


@pytest.mark.parametrize(
    ("package", "says"),
    [("temporalio", "error:         ImportError: cracked keel"), ("structlog", "importing the runner itself")],
)
async def test_a_broken_installation_is_told_also_when_it_is_the_supervisors_own(
    bare: Harness, tmp_path: Path, package: str, says: str
) -> None:
    (tmp_path / f"{package}.py").write_text('raise ImportError("cracked keel")')
    broken = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"}
    async with bare.starting_runner(
        agent("dives"), queue=f"slipway-{package}", extra=broken, supervised=True
    ) as supervisor:
        code = await supervisor.exits()

    assert code == 1
    assert supervisor.said().count("STARTUP FAILURE") == 1
    assert says in supervisor.said()
    assert "ImportError: cracked keel" in supervisor.said()

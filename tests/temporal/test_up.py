"""`execution-status up`: everything with one command, nothing left behind, however it ends."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from projector.opening import open_queries
from projector.projections.runners import RunnerState
from projector.settings import StoreSettings
from tests.engines import SQLITE, Engine
from tests.temporal.harness import agent
from tests.temporal.processes import Ended, Program, command, family, is_gone, program, until

READY = "now: execution-status start"
NOTHING = agent("says_nothing")


@dataclass(frozen=True)
class Lives:
    """Two lives of one data folder: the first ends by SIGKILL, the second by Ctrl-C."""

    refused: Ended
    ran: Ended
    died: list[psutil.Process]
    shown: Ended
    ran_again: Ended
    listed: list[str]
    runners: tuple[int, int]
    code: int
    stopped: list[psutil.Process]
    said: str
    left: set[str]


@asynccontextmanager
async def _up(folder: Path, surroundings: dict[str, str], life: str) -> AsyncIterator[Program]:
    async with program(
        "up", "--agent", NOTHING, folder=folder.parent, name=f"up-{life}", extra=surroundings
    ) as started:
        await started.says(READY)
        yield started


async def _ready_runner(place: str, *, other_than: int = 0) -> int:
    """The process id of a runner that is ready."""
    async with asyncio.timeout(20):
        while True:
            async with open_queries(StoreSettings(store=place)) as queries:
                for runner in await queries.runners():
                    if runner.state is RunnerState.READY and runner.pid != other_than and psutil.pid_exists(runner.pid):
                        return runner.pid
            await asyncio.sleep(0.05)


async def _listed(running: Program) -> list[str]:
    """The executions that its service lists, the oldest first."""
    address = running.said().partition("page         ")[2].split()[0]
    async with httpx2.AsyncClient(base_url=address, timeout=20) as service:
        answer = await service.get("/api/executions")
    return [each["execution_id"] for each in reversed(answer.json()["items"])]


@pytest.fixture(scope="module")
async def lives(tmp_path_factory: pytest.TempPathFactory, store_engine: Engine) -> AsyncIterator[Lives]:
    folder = tmp_path_factory.mktemp("up") / "data"
    with store_engine.make_place(folder) as place:
        here = {"EXECUTION_STATUS_DATA_DIR": str(folder), "EXECUTION_STATUS_GRACE": "2"}
        if store_engine is not SQLITE:  # whose place is the one that it has by default
            here["EXECUTION_STATUS_STORE"] = place
        yield await _lived(folder, here, place)


async def _lived(folder: Path, here: dict[str, str], place: str) -> Lives:
    start = ("start", "--agent", NOTHING, "--follow", "--json", "--id")
    async with _up(folder, here, "first") as first:
        await _ready_runner(place)
        refused, ran = await asyncio.gather(
            command("up", "--agent", NOTHING, extra=here), command(*start, "before-the-crash", extra=here)
        )
        died = family(first.pid)
        first.process.send_signal(signal.SIGKILL)
        await until(lambda: all(map(is_gone, died)), within=15)
    async with _up(folder, here, "second") as second:
        before = await _ready_runner(place)
        psutil.Process(before).kill()
        shown = await command("show", "before-the-crash", "--json", extra=here)
        after = await _ready_runner(place, other_than=before)
        ran_again = await command(*start, "after-the-crash", extra=here)
        listed = await _listed(second)
        stopped = family(second.pid)
        second.process.send_signal(signal.SIGINT)
        code = await second.exits()
        said = second.said()
    left = {path.name for path in folder.iterdir()}
    return Lives(refused, ran, died, shown, ran_again, listed, (before, after), code, stopped, said, left)


def test_commands_find_its_temporal_by_the_data_folder_alone(lives: Lives) -> None:
    for ended in (lives.ran, lives.ran_again):
        assert ended.code == 0, ended
        assert json.loads(ended.out.splitlines()[-1])["type"] == "ExecutionCompleted"


def test_it_serves_the_page_beside_all_that(lives: Lives) -> None:
    assert lives.listed == ["before-the-crash", "after-the-crash"]


def test_a_second_one_on_the_same_data_folder_is_refused_in_one_line(lives: Lives) -> None:
    assert lives.refused.code == 2
    assert lives.refused.err.startswith("error: another `execution-status up` runs on ")
    assert lives.refused.err.count("\n") == 1


def test_a_sigkill_leaves_no_process_behind(lives: Lives) -> None:
    assert len(lives.died) >= 2
    assert all(map(is_gone, lives.died))


def test_after_a_sigkill_it_starts_again_with_all_that_was_there(lives: Lives) -> None:
    status = json.loads(lives.shown.out)

    assert (status["phase"], status["execution_id"]) == ("COMPLETED", "before-the-crash")


def test_a_runner_that_dies_is_started_again(lives: Lives) -> None:
    before, after = lives.runners

    assert before != after
    assert "the runner ended; it is started again" in lives.said
    assert "exit_code=-9" in lives.said


def test_ctrl_c_stops_everything_in_order_and_exits_with_0(lives: Lives) -> None:
    assert lives.code == 0
    assert len(lives.stopped) >= 2
    assert all(map(is_gone, lives.stopped))
    assert "stopping: agents that run have their grace to finish" in lives.said
    assert "Traceback" not in lives.said
    assert "temporal.address" not in lives.left

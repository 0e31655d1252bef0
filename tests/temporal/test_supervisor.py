"""A supervised runner: however it ends, its executions have the true reason at once, and the next one takes over."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import psutil
import pytest

from projector.envelope import RecordedEvent, runner_stream
from projector.events import (
    AttemptFailed,
    ConditionCleared,
    ConditionObserved,
    MessageAppended,
    RunnerExited,
    RunnerStartupFailed,
    Timeouts,
    ToolCallStarted,
    WritableEvent,
)
from projector.execution_status import ExecutionStatus, Phase
from projector.projections.runners import Runner, RunnerState
from projector.queries import Queries
from tests.temporal.harness import Harness, agent, failure_of
from tests.temporal.processes import Program, environment, family, is_gone, until

TIMEOUTS: Final = Timeouts(schedule_to_start=30, heartbeat=30, start_to_close=90)
"""So long that whatever is quick is not owed to them."""
MEMORY_GROUPS: Final = Path("/sys/fs/cgroup/memory")

E = TypeVar("E", bound=WritableEvent)


def doomed(name: str) -> str:
    return f"tests.temporal.crashing_agents:{name}"


async def _runners(harness: Harness, queue: str) -> Sequence[Runner]:
    """The runners of a queue, the latest to change first."""
    async with Queries(harness.settings.store_path) as queries:
        return await queries.runners(queue)


async def _ready(harness: Harness, queue: str, *, other_than: Sequence[str] = ()) -> Runner:
    async with asyncio.timeout(30):
        while True:
            for runner in await _runners(harness, queue):
                if runner.state is RunnerState.READY and runner.runner_id not in other_than:
                    return runner
            await asyncio.sleep(0.02)


async def _said(harness: Harness, runner: Runner, kind: type[E], *, within: float = 20.0) -> tuple[E, RecordedEvent]:
    """The first event of a kind in a runner's stream, once it is there."""
    async with asyncio.timeout(within):
        while True:
            for record in await asyncio.to_thread(harness.store.read, runner_stream(runner.runner_id)):
                if isinstance(record.event, kind):
                    return record.event, record
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _served(harness: Harness, queue: str, *agents: str) -> AsyncIterator[tuple[Program, Runner]]:
    """A supervisor, and its runner that is ready."""
    async with harness.runner(*agents, queue=queue, supervised=True) as supervisor:
        yield supervisor, await _ready(harness, queue)


# --- killed ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wreck:
    """A runner with three agents was killed twice, and then its supervisor was told to stop."""

    killed: Runner
    pid_of_child: int
    seconds: Sequence[float]
    ends: Sequence[ExecutionStatus]
    exits: Sequence[RunnerExited]
    writer: str
    later: ExecutionStatus
    rows: Sequence[Runner]
    code: int
    left: Sequence[psutil.Process]
    said: str


@pytest.fixture(scope="module")
async def wreck(bare: Harness) -> Wreck:
    queue = "reef"
    async with _served(bare, queue, agent("dives"), agent("ticks"), agent("says_nothing")) as (supervisor, first):
        (child,) = family(supervisor.pid)
        plans = [("dives", ""), ("ticks", "60"), ("dives", "")]
        ids = [await bare.start(name, input, queue=queue, timeouts=TIMEOUTS) for name, input in plans]
        for execution_id in ids:
            await bare.until(execution_id, lambda change: change.status.events_processed >= 3)
        killed_at = time.time()
        os.kill(first.pid, signal.SIGKILL)
        ends = await asyncio.gather(*map(bare.end, ids))
        died, record = await _said(bare, first, RunnerExited)

        second = await _ready(bare, queue, other_than=[first.runner_id])
        os.kill(second.pid, signal.SIGKILL)
        died_again, _ = await _said(bare, second, RunnerExited)
        third = await _ready(bare, queue, other_than=[first.runner_id, second.runner_id])
        later = await bare.run("says_nothing", queue=queue, timeouts=TIMEOUTS)
        left = family(supervisor.pid)
        supervisor.process.send_signal(signal.SIGTERM)
        code = await supervisor.exits()
        stopped, _ = await _said(bare, third, RunnerExited)
        seconds = [end.finished_at.timestamp() - killed_at for end in ends if end.finished_at]
        return Wreck(
            first,
            child.pid,
            seconds,
            ends,
            (died, died_again, stopped),
            record.writer,
            later,
            await _runners(bare, queue),
            code,
            left,
            supervisor.said(),
        )


def test_every_agent_of_a_killed_runner_is_e201_long_before_a_heartbeat_is_missed(wreck: Wreck) -> None:
    assert [failure_of(end).code for end in wreck.ends] == ["E201"] * 3
    assert all("signal SIGKILL" in failure_of(end).message for end in wreck.ends)
    assert "while it used the tool 'diving_bell'" in failure_of(wreck.ends[0]).message
    assert max(wreck.seconds) < 3, wreck.seconds


def test_the_supervisor_stores_how_it_ended_in_the_runners_own_stream(wreck: Wreck) -> None:
    died = wreck.exits[0]

    assert wreck.writer == f"supervisor:{wreck.killed.runner_id}"
    assert wreck.killed.pid == wreck.pid_of_child
    assert (died.signal, died.exit_code, died.out_of_memory, died.was_told) == ("SIGKILL", None, False, False)
    assert (died.task_queue, died.agents) == ("reef", (agent("dives"), agent("ticks"), agent("says_nothing")))
    assert (died.stage, died.crashes, died.restart_in) == ("", 1, 1.0)
    assert f"runner {wreck.killed.runner_id} serves queue 'reef'" in died.last_stderr


def test_crashes_in_a_row_are_counted_and_the_pauses_grow(wreck: Wreck) -> None:
    assert [(exited.crashes, exited.restart_in) for exited in wreck.exits] == [(1, 1.0), (2, 2.0), (0, None)]
    assert wreck.said.count("the runner ended; it is started again") == 2
    assert "exit_code=-9" in wreck.said


def test_the_next_runner_takes_the_work(wreck: Wreck) -> None:
    assert wreck.later.phase is Phase.COMPLETED
    assert len({runner.runner_id for runner in wreck.rows}) == 3


def test_told_to_stop_it_stops_its_runner_in_order(wreck: Wreck) -> None:
    stopped = wreck.exits[2]

    assert wreck.code == 0
    assert (stopped.exit_code, stopped.was_told) == (0, True)
    assert [runner.state for runner in wreck.rows] == ["stopped", "exited", "exited"]
    assert wreck.left and all(map(is_gone, wreck.left))
    assert "Traceback" not in wreck.said


def test_what_the_runner_writes_to_its_log_still_arrives_there(wreck: Wreck) -> None:
    for runner in wreck.rows:
        assert f"runner {runner.runner_id} serves queue 'reef'\n" in wreck.said


# --- ends by its agent's doing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "input", "how", "last_words"),
    [
        ("jumps_ship", "3", "exit code 3", "every man for himself"),
        ("jumps_ship", "0", "exit code 0", "every man for himself"),
        ("hits_the_rocks", "", "signal SIGSEGV", "in hits_the_rocks"),
    ],
)
async def test_an_agent_that_takes_the_process_down_is_e201_and_says_how(
    bare: Harness, name: str, input: str, how: str, last_words: str
) -> None:
    queue = f"rocks-{name}-{input}"
    async with _served(bare, queue, doomed(name)) as (_, runner):
        failure = failure_of(await bare.run(doomed(name), input, queue=queue, timeouts=TIMEOUTS))
        exited, _ = await _said(bare, runner, RunnerExited)

        assert failure.code == "E201"
        assert how in failure.message
        assert (exited.was_told, exited.crashes, exited.restart_in) == (False, 1, 1.0)
        assert last_words in exited.last_stderr
        await _ready(bare, queue, other_than=[runner.runner_id])


# --- never ready ----------------------------------------------------------------------------------------------------

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
    (runner,) = await _runners(bare, queue)
    failure, record = await _said(bare, runner, RunnerStartupFailed)
    exited, _ = await _said(bare, runner, RunnerExited)

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
    (runner,) = await _runners(bare, "slipway")
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


# --- stopped --------------------------------------------------------------------------------------------------------


async def test_a_runner_that_is_told_directly_ends_its_supervisor_with_0(bare: Harness) -> None:
    async with _served(bare, "pilot", agent("says_nothing")) as (supervisor, runner):
        os.kill(runner.pid, signal.SIGTERM)
        code = await supervisor.exits()
    exited, _ = await _said(bare, runner, RunnerExited)

    assert code == 0
    assert (exited.exit_code, exited.was_told, exited.crashes, exited.restart_in) == (0, True, 0, None)
    assert "it is started again" not in supervisor.said()


async def test_an_agent_that_does_not_end_in_time_is_e204_and_the_runner_is_no_crash(bare: Harness) -> None:
    async with _served(bare, "harbour", agent("dives")) as (supervisor, runner):
        execution_id = await bare.start("dives", queue="harbour", timeouts=TIMEOUTS)
        await bare.until_event(execution_id, ToolCallStarted)
        supervisor.process.send_signal(signal.SIGINT)
        failure = failure_of(await bare.end(execution_id))
        code = await supervisor.exits()
    exited, _ = await _said(bare, runner, RunnerExited)

    assert (failure.code, code) == ("E204", 0)
    assert (exited.was_told, exited.crashes) == (True, 0)


async def test_when_the_supervisor_is_killed_its_runner_ends_in_order_and_nobody_is_hurt_by_the_silence(
    bare: Harness,
) -> None:
    async with _served(bare, "orphan", doomed("shouts")) as (supervisor, _):
        execution_id = await bare.start(doomed("shouts"), "1.2", queue="orphan", timeouts=TIMEOUTS)
        await bare.until_event(execution_id, MessageAppended)
        (child,) = family(supervisor.pid)
        supervisor.process.kill()
        status = await bare.end(execution_id)
        await until(lambda: is_gone(child), within=15)
        said = supervisor.said()

    assert (status.phase, status.output) == (Phase.COMPLETED, "no bottom")
    assert "11 fathoms and no bottom\n" in said
    assert (await _runners(bare, "orphan"))[0].state == "stopped"


# --- stands still ---------------------------------------------------------------------------------------------------


async def test_a_stopped_process_is_stalled_within_5_s_and_goes_on_when_it_is_continued(
    bare: Harness, tmp_path: Path
) -> None:
    async with _served(bare, "ice", doomed("hums")) as (_, runner):
        execution_id = await bare.start(doomed("hums"), str(tmp_path / "thaw"), queue="ice", timeouts=TIMEOUTS)
        await bare.until(execution_id, lambda change: change.status.events_processed >= 3)
        stopped_at = time.time()
        os.kill(runner.pid, signal.SIGSTOP)
        try:
            stalled = await bare.until_event(execution_id, ConditionObserved)
        finally:
            os.kill(runner.pid, signal.SIGCONT)
        cleared = await bare.until_event(execution_id, ConditionCleared)
        (tmp_path / "thaw").touch()
        status = await bare.end(execution_id)

    condition = stalled.status.condition
    assert condition is not None
    assert (condition.kind, condition.observer) == ("stalled", "supervisor")
    assert condition.reason == "the runner's process is stopped (SIGSTOP)"
    assert stalled.record.time.timestamp() - stopped_at < 5
    assert cleared.record.writer == stalled.record.writer == f"supervisor:{runner.runner_id}"
    assert cleared.status.condition is None
    assert status.phase is Phase.COMPLETED


async def test_a_process_that_runs_no_python_code_is_stalled_with_its_stack(bare: Harness) -> None:
    async with _served(bare, "fog", doomed("freezes_the_bridge")) as (_, runner):
        execution_id = await bare.start(doomed("freezes_the_bridge"), "7", queue="fog", timeouts=TIMEOUTS)
        began = (await bare.until_event(execution_id, ToolCallStarted)).record.time
        stalled = await bare.until_event(execution_id, ConditionObserved)
        status = await bare.end(execution_id)
        history = await bare.history(execution_id)

    condition = stalled.status.condition
    assert condition is not None
    assert (condition.kind, condition.observer) == ("stalled", "supervisor")
    assert condition.reason.startswith("the runner's process is alive but runs no Python code: crashing_agents.py:")
    assert condition.reason.endswith(" in freezes_the_bridge does not return")
    assert "ctypes.PyDLL(None).usleep(" in condition.stack.splitlines()[-1]
    assert (stalled.record.time - began).total_seconds() < 5
    assert (status.phase, status.output, status.conditions) == (Phase.COMPLETED, "anchored", ())
    assert not any(isinstance(record.event, AttemptFailed) for record in history)
    assert runner.state is RunnerState.READY


# --- a store that cannot serve, a machine without memory ------------------------------------------------------------


@contextmanager
def _disk_full_for(pid: int) -> Iterator[None]:
    """Let no file of this process grow or change."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


async def test_a_store_that_cannot_be_written_delays_the_verdict_by_seconds_and_has_the_exit_later(
    bare: Harness,
) -> None:
    async with _served(bare, "drydock", agent("dives")) as (supervisor, runner):
        execution_id = await bare.start("dives", queue="drydock", timeouts=TIMEOUTS)
        await bare.until_event(execution_id, ToolCallStarted)
        killed_at = time.time()
        with _disk_full_for(supervisor.pid):
            os.kill(runner.pid, signal.SIGKILL)
            status = await bare.end(execution_id)
            stored = await asyncio.to_thread(bare.store.read, runner_stream(runner.runner_id))
        exited, _ = await _said(bare, runner, RunnerExited)

    assert failure_of(status).code == "E201"
    assert status.finished_at is not None
    assert 1.5 < status.finished_at.timestamp() - killed_at < 6
    assert [record.type for record in stored] == ["RunnerStarting", "RunnerReady"]
    assert exited.signal == "SIGKILL"


@contextmanager
def _memory_group(name: str) -> Iterator[Path]:
    """A memory cgroup of our own, empty again at the end."""
    folder = MEMORY_GROUPS / name
    folder.mkdir()
    try:
        yield folder
    finally:
        folder.rmdir()


@pytest.mark.skipif(
    not ((MEMORY_GROUPS / "memory.oom_control").exists() and os.access(MEMORY_GROUPS, os.W_OK) and os.geteuid() == 0),
    reason="NOT TESTED: a kernel's out-of-memory kill needs root and a writable cgroup-v1 memory group",
)
async def test_a_runner_that_the_kernel_kills_for_memory_is_e201_and_the_proof_is_told(
    bare: Harness, tmp_path: Path
) -> None:
    with _memory_group(f"execution-status-test-{os.getpid()}") as folder:
        async with _served(bare, "flood", doomed("takes_on_water")) as (supervisor, runner):
            sluice = tmp_path / "sluice"
            execution_id = await bare.start(doomed("takes_on_water"), str(sluice), queue="flood", timeouts=TIMEOUTS)
            await bare.until_event(execution_id, ToolCallStarted)
            (folder / "memory.limit_in_bytes").write_text(str(64 * 1024 * 1024))
            (folder / "cgroup.procs").write_text(str(runner.pid))
            await asyncio.sleep(1)  # the supervisor looks four times a second where its runner is
            sluice.touch()
            failure = failure_of(await bare.end(execution_id, within=60))
            exited, _ = await _said(bare, runner, RunnerExited)
            assert supervisor.is_running

    assert (exited.signal, exited.out_of_memory) == ("SIGKILL", True)
    assert failure.code == "E201"
    assert "out of memory" in failure.message

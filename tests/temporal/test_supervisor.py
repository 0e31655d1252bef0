"""A supervised runner: however it ends, its executions have the true reason at once, and the next one takes over."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import pytest

from projector.events import MessageAppended, RunnerExited, ToolCallStarted
from projector.execution_status import ExecutionStatus, Phase
from projector.projections.runners import Runner
from tests.temporal.harness import Harness, agent, failure_of
from tests.temporal.processes import family, is_gone, until
from tests.temporal.supervising import TIMEOUTS, doomed, ready, runners, said, served


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
    async with served(bare, queue, agent("dives"), agent("ticks"), agent("says_nothing")) as (supervisor, first):
        (child,) = family(supervisor.pid)
        plans = [("dives", ""), ("ticks", "60"), ("dives", "")]
        ids = [await bare.start(name, input, queue=queue, timeouts=TIMEOUTS) for name, input in plans]
        for execution_id in ids:
            await bare.until(execution_id, lambda change: change.status.events_processed >= 3)
        killed_at = time.time()
        os.kill(first.pid, signal.SIGKILL)
        ends = await asyncio.gather(*map(bare.end, ids))
        died, record = await said(bare, first, RunnerExited)

        second = await ready(bare, queue, other_than=[first.runner_id])
        os.kill(second.pid, signal.SIGKILL)
        died_again, _ = await said(bare, second, RunnerExited)
        third = await ready(bare, queue, other_than=[first.runner_id, second.runner_id])
        later = await bare.run("says_nothing", queue=queue, timeouts=TIMEOUTS)
        left = family(supervisor.pid)
        supervisor.process.send_signal(signal.SIGTERM)
        code = await supervisor.exits()
        stopped, _ = await said(bare, third, RunnerExited)
        seconds = [end.finished_at.timestamp() - killed_at for end in ends if end.finished_at]
        return Wreck(
            first,
            child.pid,
            seconds,
            ends,
            (died, died_again, stopped),
            record.writer,
            later,
            await runners(bare, queue),
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
    async with served(bare, queue, doomed(name)) as (_, runner):
        failure = failure_of(await bare.run(doomed(name), input, queue=queue, timeouts=TIMEOUTS))
        exited, _ = await said(bare, runner, RunnerExited)

        assert failure.code == "E201"
        assert how in failure.message
        assert (exited.was_told, exited.crashes, exited.restart_in) == (False, 1, 1.0)
        assert last_words in exited.last_stderr
        await ready(bare, queue, other_than=[runner.runner_id])


async def test_a_runner_that_is_told_directly_ends_its_supervisor_with_0(bare: Harness) -> None:
    async with served(bare, "pilot", agent("says_nothing")) as (supervisor, runner):
        os.kill(runner.pid, signal.SIGTERM)
        code = await supervisor.exits()
    exited, _ = await said(bare, runner, RunnerExited)

    assert code == 0
    assert (exited.exit_code, exited.was_told, exited.crashes, exited.restart_in) == (0, True, 0, None)
    assert "it is started again" not in supervisor.said()


async def test_an_agent_that_does_not_end_in_time_is_e204_and_the_runner_is_no_crash(bare: Harness) -> None:
    async with served(bare, "harbour", agent("dives")) as (supervisor, runner):
        execution_id = await bare.start("dives", queue="harbour", timeouts=TIMEOUTS)
        await bare.until_event(execution_id, ToolCallStarted)
        supervisor.process.send_signal(signal.SIGINT)
        failure = failure_of(await bare.end(execution_id))
        code = await supervisor.exits()
    exited, _ = await said(bare, runner, RunnerExited)

    assert (failure.code, code) == ("E204", 0)
    assert (exited.was_told, exited.crashes) == (True, 0)


async def test_when_the_supervisor_is_killed_its_runner_ends_in_order_and_nobody_is_hurt_by_the_silence(
    bare: Harness,
) -> None:
    async with served(bare, "orphan", doomed("shouts")) as (supervisor, _):
        execution_id = await bare.start(doomed("shouts"), "1.2", queue="orphan", timeouts=TIMEOUTS)
        await bare.until_event(execution_id, MessageAppended)
        (child,) = family(supervisor.pid)
        supervisor.process.kill()
        status = await bare.end(execution_id)
        await until(lambda: is_gone(child), within=15)
        said = supervisor.said()

    assert (status.phase, status.output) == (Phase.COMPLETED, "no bottom")
    assert "11 fathoms and no bottom\n" in said
    assert (await runners(bare, "orphan"))[0].state == "stopped"

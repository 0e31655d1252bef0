"""How faults of the runner and its agent are brought about: it goes away, stands still, or fails."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Final

from projector.events import RunnerAwaited
from projector.execution_status import ExecutionStatus
from tests.matrix.cell import Stage
from tests.matrix.scene import SLOW_START, Play, Scene
from tests.temporal.faults import MEMORY_GROUPS, standing_still

FREEZE: Final = 1.0
"""Seconds for which a process is frozen that wakes in time."""


MEMORY_LIMIT: Final = 512 * 1024 * 1024


async def meets_it_by_itself(scene: Scene) -> ExecutionStatus:
    """The agent meets the fault in its own code."""
    async with scene.runner():
        await scene.start()
        if scene.cell.stage is Stage.CANCELLING:
            await scene.reach()
        else:
            await scene.until_file("here")
        scene.strike()
        return await scene.end()


def signalled(number: signal.Signals) -> Play:
    """The runner's own process gets a signal; its supervisor lives."""

    async def play(scene: Scene) -> ExecutionStatus:
        async with scene.runner():
            await scene.start()
            await scene.reach()
            scene.strike()
            os.kill(await scene.runner_pid(), number)
            return await scene.end()

    return play


async def stopped(scene: Scene) -> ExecutionStatus:
    """The runner is told to stop, as by a deployment; while it starts, or while the agent works."""
    if scene.cell.stage is Stage.STARTING:
        scene.agent = SLOW_START
    async with scene.runner(is_ready=scene.cell.stage is not Stage.STARTING) as runner:
        if scene.cell.stage is Stage.STARTING:
            await scene.until_file("here")
        await scene.start()
        await (
            scene.harness.until_event(scene.execution_id, RunnerAwaited)
            if scene.cell.stage is Stage.STARTING
            else scene.reach()
        )
        scene.strike()
        runner.process.terminate()
        return await scene.end()


async def both_killed(scene: Scene) -> ExecutionStatus:
    """The supervisor and its runner are killed together."""
    async with scene.runner() as runner:
        await scene.start()
        await scene.reach()
        pid = await scene.runner_pid()
        scene.strike()
        runner.process.kill()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return await scene.end()


async def frozen(scene: Scene) -> ExecutionStatus:
    """The runner is frozen for longer than its heartbeat timeout, and wakes when all is over."""
    async with scene.runner() as runner:
        if scene.cell.stage is not Stage.WAITING:
            await scene.start()
            await scene.reach()
        async with standing_still(await scene.runner_pid(), scene.harness.settings):
            scene.strike()
            if scene.cell.stage is Stage.WAITING:
                await scene.start()
            status = await scene.end()
        scene.go()
        runner.process.terminate()
        await runner.exits()
        late = await scene.harness.status(scene.execution_id)
        assert (late.phase, late.failure) == (status.phase, status.failure), "a latecomer moved the end"
        return status


async def frozen_for_a_moment(scene: Scene) -> ExecutionStatus:
    """The runner is frozen, and wakes in time."""
    async with scene.runner():
        await scene.start()
        await scene.reach()
        scene.strike()
        async with standing_still(await scene.runner_pid(), scene.harness.settings):
            await asyncio.sleep(FREEZE)
        scene.go()
        return await scene.end()


async def out_of_memory_by_the_kernel(scene: Scene) -> ExecutionStatus:
    """The kernel kills the runner in a memory group that is too small for it."""
    group = MEMORY_GROUPS / f"execution-status-{os.getpid()}-{scene.number}"
    group.mkdir()
    try:
        async with scene.runner() as runner:
            await scene.start()
            await scene.reach()
            (group / "memory.limit_in_bytes").write_text(str(MEMORY_LIMIT))
            (group / "cgroup.procs").write_text(str(await scene.runner_pid()))
            await asyncio.sleep(1.5)  # the supervisor looks once a second into which group its runner was put
            scene.strike()
            scene.go()
            status = await scene.end()
            runner.process.terminate()
            await runner.exits()
            return status
    finally:
        async with asyncio.timeout(10):
            while group.exists():
                with suppress(OSError):  # busy, until the last process has left
                    group.rmdir()
                await asyncio.sleep(0.05)

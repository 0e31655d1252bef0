"""How faults are brought about of which nothing begins: no runner that could take the execution."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from temporalio import activity
from temporalio.worker import Worker

from projector.events import RunnerAwaited
from projector.execution_status import ExecutionStatus
from runner.contracts import ENSURE_THREAD, EXECUTE_AGENT, Thread, ThreadRequest
from tests.matrix.cell import Stage
from tests.matrix.scene import PHASED, SLOW_START, Scene
from tests.temporal.processes import command
from workflows.client import ExecutionRequest


async def nothing_polls(scene: Scene) -> ExecutionStatus:
    """No runner at all."""
    await scene.start()
    await scene.reach()
    scene.strike()
    return await scene.end()


async def start_fails(scene: Scene) -> ExecutionStatus:
    """A runner comes up while the execution waits, or is coming up already, and cannot start."""
    scene.agent = SLOW_START
    if scene.cell.stage is Stage.WAITING:
        await scene.start()
        await scene.reach()
        scene.go()
        scene.strike()
        async with scene.runner(is_ready=False):
            return await scene.end()
    async with scene.runner(is_ready=False):
        await scene.until_file("here")
        await scene.start()
        await scene.harness.until_event(scene.execution_id, RunnerAwaited)
        scene.strike()
        scene.go()
        return await scene.end()


async def dies_while_starting(scene: Scene) -> ExecutionStatus:
    """The runner is killed while it imports its agent."""
    scene.agent = SLOW_START
    async with scene.runner(is_ready=False):
        await scene.until_file("here")
        await scene.start()
        await scene.harness.until_event(scene.execution_id, RunnerAwaited)
        os.kill(await scene.runner_pid(), signal.SIGKILL)
        scene.strike()
        return await scene.end()


async def runner_finds_no_temporal(scene: Scene) -> ExecutionStatus:
    """The runner cannot connect when it starts."""
    await scene.start()
    await scene.reach()
    scene.strike()
    async with scene.runner(is_ready=False, extra={"TEMPORAL_ADDRESS": "127.0.0.1:1"}):
        return await scene.end()


async def client_finds_no_temporal(scene: Scene) -> ExecutionStatus:
    """The client cannot connect when it starts the execution."""
    scene.strike()
    nowhere = {"TEMPORAL_ADDRESS": "127.0.0.1:1", "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"}
    start = ("start", "--agent", PHASED, "--input", scene.plan, "--id", scene.execution_id)
    ended = await command(*start, extra=scene.harness.surroundings | nowhere)
    assert ended.code == 4, ended
    return await scene.end()


async def all_slots_taken(scene: Scene) -> ExecutionStatus:
    """The only runner's only slot is taken by another execution."""
    async with scene.runner(extra={"EXECUTION_STATUS_SLOTS": "1"}):
        occupant = scene.place / "occupant"
        occupant.mkdir()
        plan = scene.plan.replace(scene.cell.stage.value, Stage.IN_TOOL.value).replace(str(scene.place), str(occupant))
        request = ExecutionRequest(
            agent=PHASED,
            input=plan,
            execution_id=f"{scene.execution_id}-occupant",
            task_queue=scene.queue,
            timeouts=scene.cell.limits,
        )
        await scene.harness.executions.start(request)
        async with asyncio.timeout(20):
            while not (occupant / "here").exists():
                await asyncio.sleep(0.02)
        await scene.start()
        await scene.reach()
        scene.strike()
        status = await scene.end()
        (occupant / "go").touch()
        await scene.harness.end(f"{scene.execution_id}-occupant")
        return status


async def unregistered(scene: Scene) -> ExecutionStatus:
    """The runner does not have the activity."""
    return await _with_worker(scene, [_prepares])


async def undecodable(scene: Scene) -> ExecutionStatus:
    """The runner cannot read the activity's input."""
    return await _with_worker(scene, [_prepares, _wants_a_number])


@activity.defn(name=ENSURE_THREAD)
async def _prepares(request: ThreadRequest) -> Thread:
    return Thread(thread_id="thread-of-another-version")


@activity.defn(name=EXECUTE_AGENT)
async def _wants_a_number(request: int) -> int:
    return request


async def _with_worker(scene: Scene, activities: list[Callable[..., Any]]) -> ExecutionStatus:
    async with Worker(scene.harness.temporal, task_queue=scene.queue, activities=activities):
        await scene.start()
        scene.strike()
        return await scene.end()

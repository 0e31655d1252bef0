"""How each fault is brought about: a play takes a scene to its end and returns the status there.

Faults are real: processes are killed, servers are stopped, locks are held. A play lets the fault strike when the
execution is at its stage, and says so with `scene.strike()`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from temporalio import activity
from temporalio.worker import Worker

from projector.envelope import NewEvent, execution_stream
from projector.errors import Conflict
from projector.events import ExecutionRequested, RunnerAwaited
from projector.execution_status import ExecutionStatus
from runner.contracts import ENSURE_THREAD, EXECUTE_AGENT, WORKFLOW, ExecutionInput, Thread, ThreadRequest
from tests.matrix.cell import Stage
from tests.matrix.scene import PHASED, SLOW_START, Scene
from tests.temporal.operators import pause, unpause
from tests.temporal.processes import Program, command
from workflows.client import ExecutionRequest

Play = Callable[[Scene], Awaitable[ExecutionStatus]]

FREEZE: Final = 1.0
"""Seconds for which a process is frozen that wakes in time."""
OUTAGE: Final = 3.0
"""Seconds for which the store cannot be written."""
LOCK_TIMEOUT: Final = 0.5
MEMORY_GROUPS: Final = Path("/sys/fs/cgroup/memory")
MEMORY_LIMIT: Final = 512 * 1024 * 1024


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
        if scene.cell.stage is Stage.WAITING:
            os.kill(await scene.runner_pid(), signal.SIGSTOP)
            scene.strike()
            await scene.start()
        else:
            await scene.start()
            await scene.reach()
            scene.strike()
            os.kill(await scene.runner_pid(), signal.SIGSTOP)
        status = await scene.end()
        os.kill(await scene.runner_pid(), signal.SIGCONT)
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
        pid = await scene.runner_pid()
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(FREEZE)
        os.kill(pid, signal.SIGCONT)
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


async def cancelled(scene: Scene) -> ExecutionStatus:
    """Somebody asks for it to stop."""

    async def cancel() -> ExecutionStatus:
        scene.strike()
        with suppress(Conflict):  # it has just ended
            await scene.harness.executions.cancel(scene.execution_id, "the ferry has left")
        return await scene.end()

    match scene.cell.stage:
        case Stage.WAITING:
            await scene.start()
            await scene.reach()
            return await cancel()
        case Stage.STARTING:
            scene.agent = SLOW_START
            async with scene.runner(is_ready=False):
                await scene.until_file("here")
                await scene.start()
                await scene.harness.until_event(scene.execution_id, RunnerAwaited)
                return await cancel()
        case _:
            async with scene.runner():
                await scene.start()
                await scene.reach()
                return await cancel()


async def terminated(scene: Scene) -> ExecutionStatus:
    """An operator ends the workflow."""
    workflow = scene.harness.workflow(scene.execution_id)
    async with _runner_unless_waiting(scene):
        await scene.start()
        await scene.reach()
        scene.strike()
        with suppress(Exception):  # it has just ended
            await workflow.terminate(reason="the harbour is closed")
        return await scene.end()


async def timed_out_outside(scene: Scene) -> ExecutionStatus:
    """Somebody started the workflow with a limit, and Temporal ends it there."""
    limit = 3
    async with _runner_unless_waiting(scene):
        await _request(scene)
        await scene.harness.temporal.start_workflow(
            WORKFLOW,
            ExecutionInput(
                execution_id=scene.execution_id,
                agent=PHASED,
                input=scene.plan,
                task_queue=scene.queue,
                timeouts=scene.cell.limits,
            ),
            id=scene.execution_id,
            task_queue=scene.harness.settings.orchestrator_queue,
            execution_timeout=timedelta(seconds=limit),
        )
        await scene.reach()
        scene.strike()
        return await scene.end()


async def workflow_cannot_read(scene: Scene) -> ExecutionStatus:
    """The orchestrator cannot read the workflow's input: it was started by something else."""
    await _request(scene)
    scene.strike()
    await scene.harness.temporal.start_workflow(
        WORKFLOW,
        {"execution": "of something else"},
        id=scene.execution_id,
        task_queue=scene.harness.settings.orchestrator_queue,
    )
    return await scene.end()


async def workflow_is_stuck(scene: Scene) -> ExecutionStatus:
    """The orchestrator does not know the workflow: each of its tasks fails."""
    await _request(scene)
    scene.strike()
    await scene.harness.temporal.start_workflow(
        "SomebodyElsesWorkflow",
        id=scene.execution_id,
        task_queue=scene.harness.settings.orchestrator_queue,
    )
    return await scene.end()


async def paused(scene: Scene) -> ExecutionStatus:
    """An operator pauses the activity, and lets it go on."""
    async with scene.runner():
        await scene.start()
        await scene.reach()
        scene.strike()
        await pause(scene.harness.temporal, scene.execution_id)
        await asyncio.sleep(scene.cell.limits.heartbeat)
        await unpause(scene.harness.temporal, scene.execution_id)
        await asyncio.sleep(scene.cell.limits.heartbeat)
        scene.go()
        return await scene.end()


async def orchestrator_killed(scene: Scene) -> ExecutionStatus:
    """The orchestrator dies, and another one takes over."""
    async with (
        _beside(scene, orchestrated=False),
        scene.harness.orchestrator(f"orchestrator-{scene.number}-first") as first,
    ):
        if scene.cell.stage is Stage.WAITING:
            await scene.start()
            await scene.reach()
            scene.strike()
            await _kill(first)
            async with (
                scene.harness.orchestrator(f"orchestrator-{scene.number}-second"),
                scene.runner(),
            ):
                scene.go()
                return await scene.end()
        async with scene.runner():
            await scene.start()
            await scene.reach()
            scene.strike()
            await _kill(first)
            scene.go()
            async with scene.harness.orchestrator(f"orchestrator-{scene.number}-second"):
                return await scene.end()


async def store_locked(scene: Scene) -> ExecutionStatus:
    """Nobody can write into the store for a while."""
    async with _beside(scene, orchestrated=True), _runner_unless_waiting(scene):
        await scene.start()
        if scene.cell.stage is Stage.FINISHING:
            await scene.until_file("here")
        else:
            await scene.reach()
        scene.strike()
        with _locked(scene.harness.settings.store_path):
            scene.go()
            await asyncio.sleep(OUTAGE)
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


@asynccontextmanager
async def _beside(scene: Scene, *, orchestrated: bool) -> AsyncIterator[None]:
    """A store and an orchestrator of the scene's own."""
    name = f"beside-{scene.number}"
    async with scene.harness.beside(name, lock_timeout=LOCK_TIMEOUT, orchestrated=orchestrated) as harness:
        scene.harness = harness
        yield


@asynccontextmanager
async def _runner_unless_waiting(scene: Scene) -> AsyncIterator[None]:
    if scene.cell.stage is Stage.WAITING:
        yield
        return
    async with scene.runner():
        yield


async def _request(scene: Scene) -> None:
    """Store the request alone: somebody else starts the workflow."""
    requested = ExecutionRequested(agent=PHASED, input=scene.plan, task_queue=scene.queue, timeouts=scene.cell.limits)
    new = NewEvent("requested", datetime.now(UTC), "client", requested)
    await asyncio.to_thread(scene.harness.store.append, execution_stream(scene.execution_id), [new])


async def _kill(program: Program) -> None:
    program.process.kill()
    await program.exits()


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    connection = sqlite3.connect(store, isolation_level=None, timeout=20)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()

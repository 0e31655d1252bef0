"""How people and the workflow itself bring an execution to its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from projector.envelope import NewEvent, execution_stream
from projector.errors import Conflict
from projector.events import ExecutionRequested, RunnerAwaited
from projector.execution_status import ExecutionStatus
from runner.contracts import WORKFLOW, ExecutionInput
from tests.matrix.cell import Stage
from tests.matrix.scene import PHASED, SLOW_START, Scene
from tests.temporal.operators import pause, unpause


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
    async with scene.runner_unless_waiting():
        await scene.start()
        await scene.reach()
        scene.strike()
        with suppress(Exception):  # it has just ended
            await workflow.terminate(reason="the harbour is closed")
        return await scene.end()


async def timed_out_outside(scene: Scene) -> ExecutionStatus:
    """Somebody started the workflow with a limit, and Temporal ends it there."""
    limit = 3
    async with scene.runner_unless_waiting():
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


async def _request(scene: Scene) -> None:
    """Store the request alone: somebody else starts the workflow."""
    requested = ExecutionRequested(agent=PHASED, input=scene.plan, task_queue=scene.queue, timeouts=scene.cell.limits)
    new = NewEvent("requested", datetime.now(UTC), "client", requested)
    await asyncio.to_thread(scene.harness.store.append, execution_stream(scene.execution_id), [new])

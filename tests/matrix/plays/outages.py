"""How it is brought about that the orchestrator, the store or Temporal goes away: on ones of the scene's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from projector.events import AttemptFinished
from projector.execution_status import ExecutionStatus
from tests.matrix.cell import Stage
from tests.matrix.scene import Scene
from tests.temporal.engine import engine_in, served
from tests.temporal.processes import Program

STORE_AWAY: Final = 3.0
"""Seconds for which the store cannot be written."""
LOCK_TIMEOUT: Final = 0.5
SERVER_AWAY: Final = 4.0
"""Seconds, and twice the heartbeat timeout."""
GIVEN_UP: Final = 12.0
"""Seconds after which the SDK has given up to deliver the end of an activity."""


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
    async with _beside(scene, orchestrated=True), scene.runner_unless_waiting():
        await scene.start()
        if scene.cell.stage is Stage.FINISHING:
            await scene.until_file("here")
        else:
            await scene.reach()
        scene.strike()
        with scene.harness.locked():
            scene.go()
            await asyncio.sleep(STORE_AWAY)
        return await scene.end()


@asynccontextmanager
async def _beside(scene: Scene, *, orchestrated: bool) -> AsyncIterator[None]:
    """A store and an orchestrator of the scene's own."""
    name = f"beside-{scene.number}"
    async with scene.harness.beside(name, lock_timeout=LOCK_TIMEOUT, orchestrated=orchestrated) as harness:
        scene.harness = harness
        yield


async def _kill(program: Program) -> None:
    program.process.kill()
    await program.exits()


async def temporal_away(scene: Scene) -> ExecutionStatus:
    """The server is killed, and started again on what it knew."""
    folder = scene.place / "engine"
    folder.mkdir()
    settings = scene.harness.settings.model_copy(
        update={
            "data_dir": folder,
            "orchestrator_queue": f"{scene.queue}-orchestrator",
        }
    )
    async with engine_in(folder) as engine, served(engine, settings, scene.harness.engine) as harness:
        scene.harness = harness
        async with scene.runner():
            await scene.start()
            if scene.cell.stage is Stage.FINISHING:
                await scene.until_file("here")
            else:
                await scene.reach()
            scene.strike()
            await engine.kill()
            if scene.cell.stage is Stage.FINISHING:
                scene.go()
                await harness.until_stored(scene.execution_id, AttemptFinished)
                await asyncio.sleep(GIVEN_UP)
            else:
                await asyncio.sleep(SERVER_AWAY)
            await engine.start()
            if scene.cell.stage is not Stage.FINISHING:
                await asyncio.sleep(scene.cell.limits.heartbeat)
                scene.go()
            return await scene.end()

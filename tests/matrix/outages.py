"""Temporal itself goes away: played on a server of the scene's own, so that no other cell is hit."""

from __future__ import annotations

import asyncio
from typing import Final

from projector.events import AttemptFinished
from projector.execution_status import ExecutionStatus
from tests.matrix.cell import Stage
from tests.matrix.scene import Scene
from tests.temporal.engine import engine_in, served

OUTAGE: Final = 4.0
"""Seconds, and twice the heartbeat timeout."""
GIVEN_UP: Final = 12.0
"""Seconds after which the SDK has given up to deliver the end of an activity."""


async def temporal_away(scene: Scene) -> ExecutionStatus:
    """The server is killed, and started again on what it knew."""
    folder = scene.place / "engine"
    folder.mkdir()
    settings = scene.harness.settings.model_copy(
        update={
            "data_dir": folder,
            "store": str(folder / "store.db"),
            "orchestrator_queue": f"{scene.queue}-orchestrator",
        }
    )
    async with engine_in(folder) as engine, served(engine, settings) as harness:
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
                await asyncio.sleep(OUTAGE)
            await engine.start()
            if scene.cell.stage is not Stage.FINISHING:
                await asyncio.sleep(scene.cell.limits.heartbeat)
                scene.go()
            return await scene.end()

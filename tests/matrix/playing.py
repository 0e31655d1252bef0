"""Cells are played several at a time on one installation."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from itertools import count
from typing import Final

from tests.matrix.cell import Cell, Outcome
from tests.matrix.scene import Play, Scene
from tests.temporal.harness import Harness

AT_ONCE: Final = int(os.environ.get("MATRIX_AT_ONCE", "4"))
"""How many cells are played at a time. Most of their time is waiting; starting a runner takes a second of a core."""

SETTINGS: Final = {"startup_grace": 1.0, "reconcile_interval": 1.0, "stuck_after": 3.0, "lost_start_after": 5.0}
"""Those of the installation, beyond those of all tests."""

Outcomes = dict[str, Outcome]


async def play_all(installation: Harness, cells: Mapping[str, tuple[Cell, Play]]) -> Outcomes:
    """Play these cells; how each came out, in their order."""
    room, numbers = asyncio.Semaphore(AT_ONCE), count(1)
    played: Outcomes = {}

    async def one(name: str) -> None:
        cell, play = cells[name]
        async with room:
            number = next(numbers)
            place = installation.folder / f"cell-{number}"
            place.mkdir()
            scene = Scene(installation, cell, number, place)
            began = time.monotonic()
            try:
                status = await play(scene)
                played[name] = scene.outcome(status)
            except Exception as error:
                after = time.monotonic() - began
                played[name] = scene.outcome(None, f"after {after:.0f} s: {type(error).__name__}: {error}"[:2000])

    await asyncio.gather(*map(one, cells))
    return {name: played[name] for name in cells}

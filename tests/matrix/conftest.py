"""The matrix is played once a run, several cells at a time, and told in one line a cell at the end."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from tests.matrix.cell import Outcome
from tests.matrix.cells import CUT, WHOLE
from tests.matrix.scene import Play, Scene
from tests.surroundings import ours_alone
from tests.temporal.harness import Harness, installed

AT_ONCE: Final = int(os.environ.get("MATRIX_AT_ONCE", "4"))
"""How many cells are played at a time. Most of their time is waiting; starting a runner takes a second of a core."""

SETTINGS: Final = {"startup_grace": 1.0, "reconcile_interval": 1.0, "stuck_after": 3.0, "lost_start_after": 5.0}

Outcomes = dict[str, Outcome]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell_name" in metafunc.fixturenames:
        metafunc.parametrize("cell_name", list(_chosen(metafunc.config)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    outcomes: Outcomes = getattr(config, "_matrix", {})
    if outcomes:
        terminalreporter.section(f"the matrix: {len(outcomes)} cells")
        for outcome in outcomes.values():
            terminalreporter.line(outcome.line)


def _chosen(config: pytest.Config) -> dict[str, tuple[object, Play]]:
    return dict(WHOLE if config.getoption("--matrix") == "whole" else CUT)


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ours_alone(tmp_path_factory.mktemp("settings")):
        yield


@pytest.fixture(scope="session")
async def installation(tmp_path_factory: pytest.TempPathFactory, surroundings: None) -> AsyncIterator[Harness]:
    async with installed(tmp_path_factory.mktemp("matrix"), **SETTINGS) as harness:
        yield harness


@pytest.fixture(scope="session")
async def outcomes(installation: Harness, request: pytest.FixtureRequest) -> Outcomes:
    """Every chosen cell, played."""
    selected = {item.callspec.params.get("cell_name") for item in request.session.items if hasattr(item, "callspec")}
    chosen = {name: WHOLE[name] for name in _chosen(request.config) if name in selected}
    room, numbers = asyncio.Semaphore(AT_ONCE), count(1)
    played: Outcomes = {}

    async def one(name: str) -> None:
        cell, play = chosen[name]
        async with room:
            number = next(numbers)
            place = Path(installation.folder) / f"cell-{number}"
            place.mkdir()
            scene = Scene(installation, cell, number, place)
            began = time.monotonic()
            try:
                status = await play(scene)
                played[name] = scene.outcome(status)
            except Exception as error:
                after = time.monotonic() - began
                played[name] = scene.outcome(None, f"after {after:.0f} s: {type(error).__name__}: {error}"[:2000])

    await asyncio.gather(*map(one, chosen))
    request.config._matrix = {name: played[name] for name in chosen}  # type: ignore[attr-defined]
    return played

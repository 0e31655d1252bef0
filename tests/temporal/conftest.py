"""One installation and one healthy runner for the whole run; a test that breaks something brings its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser

from tests.engines import Engine, chosen
from tests.surroundings import ours_alone
from tests.temporal import agents, page_agents
from tests.temporal.browsing import chromium, projecting
from tests.temporal.harness import HEALTHY_QUEUE, Harness, installed
from tests.temporal.secret_samples import LIGHTHOUSE_KEY

_voyages: Final = count(1)


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ours_alone(tmp_path_factory.mktemp("settings")):
        yield


@pytest.fixture(scope="session")
def store_engine(request: pytest.FixtureRequest) -> Engine:
    """What keeps the stores of this run; see `--store`."""
    return chosen(request.config)


@pytest.fixture(scope="session")
async def bare(
    tmp_path_factory: pytest.TempPathFactory, surroundings: None, store_engine: Engine
) -> AsyncIterator[Harness]:
    """The installation, without any runner."""
    folder: Path = tmp_path_factory.mktemp("survey ship")
    async with installed(folder, store_engine) as harness:
        yield harness


@pytest.fixture(scope="session")
async def ship(bare: Harness) -> AsyncIterator[Harness]:
    """The installation with a healthy runner, which serves every test agent on the default queue."""
    async with bare.runner(*agents.SERVED, queue=HEALTHY_QUEUE, extra={"LIGHTHOUSE_API_KEY": LIGHTHOUSE_KEY}):
        yield bare


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A real browser; each test visits with a profile of its own."""
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
async def quay(bare: Harness) -> AsyncIterator[Harness]:
    """A store of the page's own, with a projector and a runner of agents to look at."""
    async with bare.beside("quay-side", lock_timeout=5.0, orchestrated=True) as harness:
        with projecting(harness):
            async with harness.runner(*page_agents.SERVED, queue=harness.settings.agent_queue):
                yield harness


@pytest.fixture
def voyage() -> str:
    """A session of the test's own, by which its group is told from others."""
    return f"voyage-{next(_voyages)}"

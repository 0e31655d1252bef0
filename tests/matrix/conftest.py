"""The matrix is played once a run, several cells at a time, and told in one line a cell at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.engines import chosen
from tests.matrix.cell import Cell
from tests.matrix.cells import CUT, WHOLE
from tests.matrix.playing import SETTINGS, Outcomes, play_all
from tests.matrix.scene import Play
from tests.surroundings import ours_alone
from tests.temporal.harness import Harness, installed


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell_name" in metafunc.fixturenames:
        metafunc.parametrize("cell_name", list(_cells(metafunc.config)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # From the reports: the cells may have been played in another process.
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    lines = [told for report in reports for name, told in report.user_properties if name == "cell"]
    if lines:
        terminalreporter.section(f"the matrix: {len(lines)} cells")
        for line in lines:
            terminalreporter.line(line)


def _cells(config: pytest.Config) -> dict[str, tuple[Cell, Play]]:
    return dict(WHOLE if config.getoption("--matrix") == "whole" else CUT)


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ours_alone(tmp_path_factory.mktemp("settings")):
        yield


@pytest.fixture(scope="session")
async def installation(
    tmp_path_factory: pytest.TempPathFactory, surroundings: None, request: pytest.FixtureRequest
) -> AsyncIterator[Harness]:
    async with installed(tmp_path_factory.mktemp("matrix"), chosen(request.config), **SETTINGS) as harness:
        yield harness


@pytest.fixture(scope="session")
async def outcomes(installation: Harness, request: pytest.FixtureRequest) -> Outcomes:
    """Every chosen cell, played."""
    selected = {item.callspec.params.get("cell_name") for item in request.session.items if hasattr(item, "callspec")}
    cells = {name: WHOLE[name] for name in _cells(request.config) if name in selected}
    return await play_all(installation, cells)

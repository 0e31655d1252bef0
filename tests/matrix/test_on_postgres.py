"""Three cells of the matrix with the store on PostgreSQL; with `--store postgres` all of them are played there."""

from __future__ import annotations

import sys
from typing import Final

import pytest

from tests.engines import POSTGRES
from tests.matrix.cells import WHOLE
from tests.matrix.playing import SETTINGS, Outcomes, play_all
from tests.temporal.harness import installed

CELLS: Final = (
    "SIGKILL, inside a tool call",
    "orchestrator killed, inside a tool call",
    "store unwritable, mid-stream",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="freezes processes and drops powers as Linux does"),
]


@pytest.fixture(scope="module")
async def there(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """The cells, played on PostgreSQL."""
    async with installed(tmp_path_factory.mktemp("matrix on postgres"), POSTGRES, **SETTINGS) as installation:
        return await play_all(installation, {name: WHOLE[name] for name in CELLS})


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_comes_out_there_as_the_catalogue_says(there: Outcomes, name: str) -> None:
    outcome = there[name]

    assert not outcome.wrong, f"{outcome.line}\n{' '.join(outcome.history)}"

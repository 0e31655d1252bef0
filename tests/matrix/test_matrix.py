"""Every fault in every stage ends the execution once, with the code that the catalogue says, and names the fault.

`make test` plays a shorter cut; `make matrix` plays all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.matrix.cell import Outcome
from tests.matrix.cells import CUT, WHOLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(sys.platform != "linux", reason="freezes processes and drops powers as Linux does"),
]


async def test_a_cell_comes_out_as_the_catalogue_says(
    outcomes: dict[str, Outcome], cell_name: str, record_property: Callable[[str, object], None]
) -> None:
    outcome = outcomes[cell_name]
    record_property("cell", outcome.line)

    assert not outcome.wrong, f"{outcome.line}\n{' '.join(outcome.history)}"


def test_the_cut_has_a_cell_of_nearly_each_fault() -> None:
    assert len(CUT) >= 20
    assert len(WHOLE) >= 120

"""An agent forks, and the child comes back out of the agent's code: it ends there, and all else goes on as if alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest

from projector.events import Timeouts
from projector.execution_status import Phase
from tests.temporal.harness import Harness, agent, types_of
from tests.temporal.processes import Program, family

AGENT: Final = "tests.temporal.forking_agents:lowers_a_boat"
QUEUE: Final = "davits"
TIMEOUTS: Final = Timeouts(schedule_to_start=30, heartbeat=5, start_to_close=20)


@pytest.fixture(scope="module")
async def runner(bare: Harness) -> AsyncIterator[Program]:
    async with bare.runner(AGENT, agent("says_nothing"), queue=QUEUE) as running:
        yield running


@pytest.mark.parametrize("way", ["raises", "exits", "is cancelled", "returns", "speaks", "has a result"])
async def test_a_forked_child_that_leaves_the_agents_code_ends_there(bare: Harness, runner: Program, way: str) -> None:
    status = await bare.run(AGENT, way, queue=QUEUE, timeouts=TIMEOUTS)
    history = await bare.history(status.execution_id)
    later = await bare.run("says_nothing", queue=QUEUE, timeouts=TIMEOUTS)

    assert (status.phase, status.output) == (Phase.COMPLETED, {"exit code of the boat": 1})
    assert [preview.text for preview in status.last_messages] == ["I lower a boat.", "The boat is gone."]
    assert types_of(history)[-2:] == ["AttemptFinished", "ExecutionCompleted"]
    assert [kind for kind in types_of(history) if kind.startswith("Attempt")] == ["AttemptStarted", "AttemptFinished"]
    assert (later.phase, later.runner) == (Phase.COMPLETED, status.runner)
    assert runner.is_running
    assert family(runner.pid) == []

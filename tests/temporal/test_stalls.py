"""An event loop that stands still is a condition with its place while it lasts, and never a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest

from projector.envelope import RecordedEvent
from projector.events import ConditionCleared, ConditionKind, ConditionObserved, Timeouts, ToolCallStarted
from projector.execution_status import Phase
from tests.temporal import agents
from tests.temporal.harness import Harness

QUICK: Final = 0.5
TIMEOUTS: Final = Timeouts(schedule_to_start=30, heartbeat=30, start_to_close=60)
JAMMER: Final = "tests.temporal.jamming_agent:jams_the_rudder"


@pytest.fixture(scope="module")
async def quick(bare: Harness) -> AsyncIterator[str]:
    """The queue of a runner that tells of a stall after half a second."""
    extra = {"EXECUTION_STATUS_STALL_AFTER": str(QUICK)}
    async with bare.runner(*agents.SERVED, JAMMER, queue="lookout", extra=extra):
        yield "lookout"


def conditions(history: Sequence[RecordedEvent]) -> list[ConditionObserved | ConditionCleared]:
    events = [record.event for record in history]
    return [event for event in events if isinstance(event, ConditionObserved | ConditionCleared)]


async def seconds_until_stalled(harness: Harness, execution_id: str) -> float:
    """From the moment when the agent began to block to the moment when that was stored."""
    began = (await harness.until_event(execution_id, ToolCallStarted)).record.time
    return ((await harness.until_event(execution_id, ConditionObserved)).record.time - began).total_seconds()


async def test_an_agent_that_blocks_is_stalled_at_its_line_within_a_second_or_so(bare: Harness, quick: str) -> None:
    execution_id = await bare.start("blocks", "3", queue=quick, timeouts=TIMEOUTS)
    assert QUICK <= await seconds_until_stalled(bare, execution_id) < 1.5
    condition = (await bare.status(execution_id)).condition
    status = await bare.end(execution_id)

    assert condition is not None
    assert (condition.kind, condition.observer) == (ConditionKind.STALLED, "runner")
    line = agents.blocks.__code__.co_firstlineno + 3
    assert condition.reason.startswith(f"the agent blocks its event loop at agents.py:{line} in blocks: ")
    assert condition.stack == f'  File "{agents.__file__}", line {line}, in blocks\n    time.sleep(float(task.input))'
    assert (status.phase, status.output, status.conditions) == (Phase.COMPLETED, "the tides are reckoned", ())
    told = conditions(await bare.history(execution_id))
    assert [type(event) for event in told] == [ConditionObserved, ConditionCleared]


async def test_with_the_default_setting_it_is_stalled_within_five_seconds(ship: Harness) -> None:
    execution_id = await ship.start("blocks", "6", timeouts=TIMEOUTS)

    assert 3 <= await seconds_until_stalled(ship, execution_id) < 5
    assert (await ship.end(execution_id)).phase is Phase.COMPLETED


async def test_nobody_else_is_told_of(bare: Harness, quick: str) -> None:
    names = ("blocks", "is_silent", "ticks", "surveyor")
    started = [await bare.start(name, "3", queue=quick, timeouts=TIMEOUTS) for name in names]
    ends = await asyncio.gather(*(bare.end(execution_id) for execution_id in started))
    told = {name: len(conditions(await bare.history(each))) for name, each in zip(names, started, strict=True)}

    assert {end.phase for end in ends} == {Phase.COMPLETED}
    assert told == {"blocks": 2, "is_silent": 0, "ticks": 0, "surveyor": 0}


async def test_an_agent_that_blocks_when_it_is_cancelled_is_told_of_to_the_last(bare: Harness, quick: str) -> None:
    execution_id = await bare.start("blocks", "20", queue=quick, timeouts=TIMEOUTS)
    await bare.until_event(execution_id, ConditionObserved)
    await bare.executions.cancel(execution_id, reason="the tide has turned")
    status = await bare.end(execution_id)
    history = await bare.history(execution_id)

    assert (status.phase, status.conditions, status.late_events) == (Phase.CANCELLED, (), 0)
    assert [type(event) for event in conditions(history)] == [ConditionObserved]


async def test_a_runner_whose_event_loop_is_blocked_is_told_on_all_that_it_runs(bare: Harness, quick: str) -> None:
    neighbour = await bare.start("ticks", "6", queue=quick, timeouts=TIMEOUTS)
    await bare.until(neighbour, lambda change: change.status.events_processed >= 3)
    jammer = await bare.start(JAMMER, "2", queue=quick, timeouts=TIMEOUTS)
    ends = [await bare.end(jammer), await bare.end(neighbour)]
    histories = [await bare.history(jammer), await bare.history(neighbour)]

    assert {end.phase for end in ends} == {Phase.COMPLETED}
    for history in histories:
        observed, cleared = conditions(history)
        assert isinstance(observed, ConditionObserved) and isinstance(cleared, ConditionCleared)
        assert observed.reason.startswith("the runner's event loop is blocked at jamming_agent.py:")
        assert observed.reason.endswith("in _hold_the_helm: heartbeats do not go out")
        assert observed.stack.endswith("    time.sleep(_seconds)")

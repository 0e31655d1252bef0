"""An agent that says nothing, or blocks its thread, for three heartbeat timeouts: neither is a crash."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final

import pytest

from projector.events import HeartbeatRecorded, ProgressReported, Timeouts
from projector.execution_status import ExecutionStatus, Phase
from tests.temporal.harness import Harness

HEARTBEAT: Final = 1.5
SILENCE: Final = 3 * HEARTBEAT
TIMEOUTS: Final = Timeouts(schedule_to_start=10, heartbeat=HEARTBEAT, start_to_close=30)
MOST_GAP: Final = SILENCE / 2
"""Seconds between two steps of a neighbour that takes one every tenth of a second."""


@pytest.fixture(scope="module")
async def together(ship: Harness) -> dict[str, ExecutionStatus]:
    """One that blocks, one that is silent, and a neighbour that ticks, at once on one runner."""
    names = ("blocks", "is_silent", "ticks")
    ends = await asyncio.gather(*(ship.run(name, str(SILENCE), timeouts=TIMEOUTS) for name in names))
    return dict(zip(names, ends, strict=True))


@pytest.mark.parametrize("name", ["blocks", "is_silent", "ticks"])
async def test_an_agent_that_is_silent_for_three_heartbeat_timeouts_completes(
    together: dict[str, ExecutionStatus], name: str
) -> None:
    status = together[name]

    assert status.phase is Phase.COMPLETED
    assert status.started_at and status.finished_at
    assert (status.finished_at - status.started_at).total_seconds() >= SILENCE
    assert len({each.runner for each in together.values()}) == 1


@pytest.mark.parametrize(("name", "tool"), [("blocks", "reckon_the_tides"), ("is_silent", "wait_for_the_fog_to_lift")])
async def test_its_recorded_heartbeats_say_in_which_tool_it_is(
    ship: Harness, together: dict[str, ExecutionStatus], name: str, tool: str
) -> None:
    history = await ship.history(together[name].execution_id)
    beats = [record.event for record in history if isinstance(record.event, HeartbeatRecorded)]

    assert len(beats) >= 2
    assert {beat.phase for beat in beats} == {f"in tool {tool}"}


async def test_the_neighbour_is_undisturbed(ship: Harness, together: dict[str, ExecutionStatus]) -> None:
    history = await ship.history(together["ticks"].execution_id)
    times = [record.time for record in history if isinstance(record.event, ProgressReported)]

    assert len(times) == int(SILENCE * 10)
    assert max((later - earlier).total_seconds() for earlier, later in pairwise(times)) < MOST_GAP


async def test_recorded_heartbeats_are_at_least_a_second_apart(
    ship: Harness, together: dict[str, ExecutionStatus]
) -> None:
    history = await ship.history(together["ticks"].execution_id)
    beats = [record.time for record in history if isinstance(record.event, HeartbeatRecorded)]

    assert len(beats) >= 2
    assert min((later - earlier).total_seconds() for earlier, later in pairwise(beats)) > 0.7

"""The agents of these tests: the crew of a survey ship, each with one habit.

They run in real runners, which know them as `tests.temporal.agents:name`. What a test has to say to one of them stands
in its input.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.exceptions import CancelledError

from runner.agent import (
    AgentTask,
    ConfigurationError,
    Message,
    Progress,
    ProviderUnavailable,
    Result,
    Step,
    ToolCall,
    ToolResult,
)
from tests.hostile import HOSTILE
from tests.temporal.leaky_agent import leaky
from tests.temporal.odd_agents import gives_a_result, not_a_step, takes_odd_steps

MESSAGES_BEFORE_THE_DIVE = 10


async def surveyor(task: AgentTask) -> AsyncIterator[Step]:
    """Does everything that an agent may do, and takes long enough for a heartbeat to be recorded."""
    yield Message("user", task.input)
    yield ToolCall("ping-1", "sonar", {"bearing": 270, "units": "fathoms"})
    yield Progress(1, 2, "listening")
    await asyncio.sleep(1.5)
    yield ToolResult("ping-1", {"depth": 42})
    yield ToolCall("ping-2", "sonar", {"bearing": 90})
    yield ToolResult("ping-2", error="the echo was lost")
    yield Progress(2, 2, "surfacing")
    yield Message("assistant", "The bank is 42 fathoms down.")
    yield Result({"depth": 42, "soundings": [41, 42, 43], "charted": True, "by": None})


async def blunderer(task: AgentTask) -> AsyncIterator[Step]:
    """Raises a `ValueError`."""
    yield Message("assistant", "I divide the crew into watches.")
    raise ValueError("test error")


async def pessimist(task: AgentTask) -> AsyncIterator[Step]:
    """Raises the hostile error that its input names."""
    yield Message("assistant", "It will not go well.")
    raise HOSTILE[task.input]()


async def saboteur(task: AgentTask) -> AsyncIterator[Step]:
    """Has a task of its own that calls `sys.exit`."""

    async def pull_the_plug() -> None:
        raise SystemExit(3)

    yield Message("assistant", "I go below for a moment.")
    below = asyncio.create_task(pull_the_plug())
    await asyncio.sleep(60)
    await below


async def deserter(task: AgentTask) -> AsyncIterator[Step]:
    """Cancels itself, though nobody asked for it."""
    yield Message("assistant", "I leave the ship.")
    me = asyncio.current_task()
    assert me is not None
    me.cancel("over the side")
    await asyncio.sleep(60)


async def talks_like_temporal(task: AgentTask) -> AsyncIterator[Step]:
    """Raises Temporal's own error of a cancellation that nobody asked for."""
    yield Message("assistant", "I signal that I was called off.")
    raise CancelledError("called off by nobody")


async def asks_the_shore(task: AgentTask) -> AsyncIterator[Step]:
    """Says that a service is down."""
    yield ToolCall("call-1", "weather_report")
    raise ProviderUnavailable("the shore station is overloaded", retry_after=30)


async def lost_its_papers(task: AgentTask) -> AsyncIterator[Step]:
    """Says that it is not set up."""
    yield Message("assistant", "I look for the chart.")
    raise ConfigurationError("CHART_FOLDER is not set")


async def says_nothing(task: AgentTask) -> AsyncIterator[Step]:
    """Ends without a result."""
    yield Message("assistant", "Nothing to report.")


async def slams_the_hatch(task: AgentTask) -> AsyncIterator[Step]:
    """Raises while it is closed after its result."""
    try:
        yield Result("all stowed")
    finally:
        raise RuntimeError("the hatch is stuck")


async def jams_the_hatch(task: AgentTask) -> AsyncIterator[Step]:
    """Never ends being closed after its result."""
    try:
        yield Result("all stowed")
    finally:
        await asyncio.sleep(60)


async def stubborn(task: AgentTask) -> AsyncIterator[Step]:
    """Swallows a cancellation and finishes."""
    yield Message("assistant", "I stay at my post.")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        yield Message("assistant", "I was told to go, and finished first.")
    yield Result("finished all the same")


async def deaf(task: AgentTask) -> AsyncIterator[Step]:
    """Swallows every cancellation and goes on."""
    yield Message("assistant", "I hear nothing.")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def tidy(task: AgentTask) -> AsyncIterator[Step]:
    """Cleans up when it is told to stop."""
    yield Message("assistant", "I open the sluice.")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        (task.thread_dir / "sluice").write_text("closed")
        raise


async def takes_its_leave(task: AgentTask) -> AsyncIterator[Step]:
    """Takes as many seconds to clean up as its input tells."""
    yield Message("assistant", "I pack slowly.")
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(float(task.input))


async def waits_for_a_file(task: AgentTask) -> AsyncIterator[Step]:
    """Works until the file that its input names exists; then says five things and finishes."""
    yield ToolCall("watch-1", "watch_the_horizon")
    while not Path(task.input).exists():
        await asyncio.sleep(0.02)
    yield ToolResult("watch-1", "a sail")
    for number in range(1, 6):
        yield Message("assistant", f"sail {number}")
    yield Result("five sails")


async def keeps_watch(task: AgentTask) -> AsyncIterator[Step]:
    """Works until the file that its input names exists, and finishes without another word."""
    yield ToolCall("watch-1", "watch_the_horizon")
    while not Path(task.input).exists():
        await asyncio.sleep(0.02)
    yield Result("a sail")


async def dives(task: AgentTask) -> AsyncIterator[Step]:
    """Says ten things and then uses a tool that never answers."""
    for number in range(1, MESSAGES_BEFORE_THE_DIVE + 1):
        yield Message("assistant", f"{number} fathoms")
    yield ToolCall("dive-1", "diving_bell", {"depth": MESSAGES_BEFORE_THE_DIVE})
    await asyncio.sleep(600)


async def blocks(task: AgentTask) -> AsyncIterator[Step]:
    """Blocks its thread for as many seconds as its input tells."""
    yield ToolCall("call-1", "reckon_the_tides")
    time.sleep(float(task.input))
    yield ToolResult("call-1", "high water at noon")
    yield Result("the tides are reckoned")


async def is_silent(task: AgentTask) -> AsyncIterator[Step]:
    """Says nothing for as many seconds as its input tells."""
    yield ToolCall("call-1", "wait_for_the_fog_to_lift")
    await asyncio.sleep(float(task.input))
    yield ToolResult("call-1", "it has lifted")
    yield Result("the fog has lifted")


async def ticks(task: AgentTask) -> AsyncIterator[Step]:
    """A step every tenth of a second, for as many seconds as its input tells."""
    beats = int(float(task.input) * 10)
    for beat in range(1, beats + 1):
        await asyncio.sleep(0.1)
        yield Progress(beat, beats)
    yield Result(beats)


async def drifts(task: AgentTask) -> AsyncIterator[Step]:
    """Works for ever, in small steps that each look healthy."""
    beat = 0
    while True:
        beat += 1
        await asyncio.sleep(0.1)
        yield Progress(beat, note="still adrift")


_CREW = (
    surveyor,
    blunderer,
    pessimist,
    saboteur,
    deserter,
    talks_like_temporal,
    asks_the_shore,
    lost_its_papers,
    gives_a_result,
    takes_odd_steps,
    not_a_step,
    says_nothing,
    slams_the_hatch,
    jams_the_hatch,
    stubborn,
    deaf,
    tidy,
    takes_its_leave,
    waits_for_a_file,
    keeps_watch,
    dives,
    blocks,
    is_silent,
    ticks,
    drifts,
    leaky,
)
SERVED = tuple(f"tests.temporal.agents:{each.__name__}" for each in _CREW)
"""All of them, by the names under which a runner is told to serve them."""

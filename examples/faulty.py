"""Agents that fail, or look as if they did, one for each way: for the demonstration and for the documentation.

Where one takes a number of seconds, that is its input: `--agent examples.faulty:silent --input 90`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from itertools import count

from runner.agent import AgentTask, Message, Progress, ProviderUnavailable, Result, Step, ToolCall, ToolResult


async def agent_error(task: AgentTask) -> AsyncIterator[Step]:
    """Raises a `ValueError` from a `KeyError`; its message is the input."""
    timetable = {"harbour": "06:40", "lighthouse": "07:25"}
    yield Message("assistant", "I look up the ferry to the north island.")
    yield ToolCall("call-1", "look_up", {"pier": "north island"})
    try:
        departure = timetable["north island"]
    except KeyError as error:
        raise ValueError(task.input or "the timetable has no ferry to the north island") from error
    yield ToolResult("call-1", departure)


async def too_slow(task: AgentTask) -> AsyncIterator[Step]:
    """Works for ever, in small steps that each look healthy."""
    yield Message("assistant", "I count the waves until there are no more.")
    for waves in count(1):
        await asyncio.sleep(0.2)
        yield Progress(waves, note=f"{waves} waves so far")


async def silent(task: AgentTask) -> AsyncIterator[Step]:
    """Healthy, but says nothing for as many seconds as its input tells (90 by default)."""
    seconds = _seconds(task.input)
    yield ToolCall("call-1", "wait_for_the_model", {"seconds": seconds})
    await asyncio.sleep(seconds)
    yield ToolResult("call-1", "the model answered at last")
    yield Result(f"silent for {seconds:g} s, and well")


async def blocking(task: AgentTask) -> AsyncIterator[Step]:
    """The same, in a call that blocks its event loop."""
    seconds = _seconds(task.input)
    yield ToolCall("call-1", "compute_the_tides", {"seconds": seconds})
    time.sleep(seconds)  # noqa: ASYNC251
    yield ToolResult("call-1", "the tides are computed")
    yield Result(f"blocked for {seconds:g} s, and well")


async def provider_down(task: AgentTask) -> AsyncIterator[Step]:
    """The model's provider is overloaded, and says when to come back."""
    yield ToolCall("call-1", "ask_the_model", {"prompt": task.input})
    raise ProviderUnavailable(task.input or "the model is overloaded (529)", retry_after=30)


async def unserialisable(task: AgentTask) -> AsyncIterator[Step]:
    """Finishes, with a result that no JSON can hold."""
    yield Message("assistant", "Here is the key to the lighthouse.")
    yield Result({"key": threading.Lock()})


def _seconds(text: str) -> float:
    return float(text or 90)

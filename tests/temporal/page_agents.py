"""Agents to look at: one that waits for a sign and then fails, one that finishes, and one that says what it is told."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

from runner.agent import AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult

ASKED = "The bilge is filling. Pump it dry."


def sign_for(data_dir: Path, execution_id: str) -> Path:
    """The file for which an execution of `pumps` waits."""
    return data_dir / f"{execution_id}.sign"


async def pumps(task: AgentTask) -> AsyncIterator[Step]:
    """Works until its sign is given, and fails then."""
    sign = sign_for(Path(os.environ["EXECUTION_STATUS_DATA_DIR"]), task.execution_id)
    yield Message("user", task.input)
    yield ToolCall("sound-1", "sounding_rod", {"compartment": "bilge", "units": "inches"})
    yield Progress(1, 3, "sounding the bilge")
    await asyncio.sleep(0.3)
    yield ToolResult("sound-1", {"depth": 14})
    yield Message("assistant", "Fourteen inches. I start the pump and watch the gauge.")
    yield ToolCall("pump-1", "bilge_pump", {"strokes": 40})
    yield Progress(2, 3, "pumping")
    while not sign.exists():
        await asyncio.sleep(0.02)
    try:
        raise KeyError("gasket")
    except KeyError as error:
        raise RuntimeError("the pump is clogged: no spare gasket aboard") from error


async def charts(task: AgentTask) -> AsyncIterator[Step]:
    """Finishes at once."""
    yield Message("user", task.input or "Chart the bank.")
    yield ToolCall("sonar-1", "sonar", {"bearing": 270})
    yield ToolResult("sonar-1", {"depth": 42})
    yield Message("assistant", "The bank is 42 fathoms down, sand and shells.")
    yield Result({"depth": 42, "bottom": ["sand", "shells"]})


async def is_stranded(task: AgentTask) -> AsyncIterator[Step]:
    """Fails at once, of a cause of its own: who counts those that ran aground must not find it among them."""
    yield Message("assistant", "I wait for the water to come back.")
    raise LookupError("the tide has gone out")


async def runs_aground(task: AgentTask) -> AsyncIterator[Step]:
    """Fails at once."""
    yield Message("assistant", "I take the short way over the bank.")
    raise ValueError("the draught is deeper than the water")


async def parrots(task: AgentTask) -> AsyncIterator[Step]:
    """Says each of the texts in its input everywhere an agent can say anything, and fails with all of them."""
    texts: list[str] = json.loads(task.input)
    for number, text in enumerate(texts):
        yield Message("assistant", text)
        yield Message(text[:100] or "nobody", "the role is theirs, too")
        yield ToolCall(f"{number}-{text[:40]}", text[:150] or "nameless", {"said": text, text[:60]: text})
        yield ToolResult(f"{number}-{text[:40]}", text)
        yield ToolCall(f"e-{number}", "echo", {"text": text})
        yield ToolResult(f"e-{number}", error=text or "nothing")
        yield Progress(number + 1, len(texts), text[:300])
    raise RuntimeError("\n".join(texts))


async def is_verbose(task: AgentTask) -> AsyncIterator[Step]:
    """Says as many things as its input tells."""
    for number in range(1, int(task.input) + 1):
        yield Message("assistant", f"fathom {number}")
    yield Result("all said")


SERVED = tuple(
    f"tests.temporal.page_agents:{each.__name__}"
    for each in (pumps, charts, runs_aground, is_stranded, parrots, is_verbose)
)

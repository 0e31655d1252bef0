"""An agent that lets every secret it knows slip, wherever an agent can say something."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from runner.agent import AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult
from tests.temporal.secret_samples import EVERY_ONE, KEYED


async def leaky(task: AgentTask) -> AsyncIterator[Step]:
    """Tells all, and then `raises` or `returns` all of it once more, as its input says."""
    words = [sample.words for sample in EVERY_ONE.values()]
    together = "\n".join(words)
    yield Message("user", task.input)
    logging.getLogger("lamp").warning("the keeper notes: %s", together)
    for text in words:
        yield Message("assistant", text)
    yield Message("assistant", ("a long log " * 360) + together)
    yield ToolCall("call-1", "log_in", {"as": words, "with": {"api_key": KEYED.secret}, "said": together})
    yield Progress(1, 2, together)
    await asyncio.sleep(1.2)  # long enough for a heartbeat that tells of the tool
    yield ToolResult("call-1", {"echo": words, "password": KEYED.secret})
    yield ToolCall("call-2", together, words)  # type: ignore[arg-type]
    yield ToolResult("call-2", error=together)
    if task.input.startswith("returns"):
        yield Result({"said": words, "together": together, "deep": [{"token": KEYED.secret}]})
    try:
        try:
            raise ArithmeticError(together)
        except ArithmeticError as error:
            raise LookupError(words) from error
    except LookupError as error:
        failure = RuntimeError(together)
        failure.add_note(together)
        raise failure from error

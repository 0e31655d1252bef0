"""An agent that blocks the event loop of its runner: signals are handled on the main thread, whoever sends them.

Imported by runners only, since it sets a signal handler.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

from runner.agent import AgentTask, Result, Step, ToolCall, ToolResult

_seconds = 0.0


def _hold_the_helm(number: int, frame: object) -> None:
    time.sleep(_seconds)


signal.signal(signal.SIGUSR1, _hold_the_helm)


async def jams_the_rudder(task: AgentTask) -> AsyncIterator[Step]:
    """Blocks the runner's event loop, not its own, for as many seconds as its input tells."""
    global _seconds
    _seconds = float(task.input)
    yield ToolCall("call-1", "seize_the_helm")
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(_seconds + 1)
    yield ToolResult("call-1", "she answers the helm")
    yield Result("steady as she goes")

"""An agent that forks its runner's process. The child is another runner in all but name, unless it is ended at once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from runner.agent import AgentTask, Message, Result, Step


async def lowers_a_boat(task: AgentTask) -> AsyncIterator[Step]:
    """Forks, and goes on when the child has ended; the child leaves the agent's code as the input tells.

    Waiting in another thread takes a loop that still hears of it: one that the child has taken down hangs here.
    """
    yield Message("assistant", "I lower a boat.")
    boat = os.fork()
    if boat == 0:
        match task.input:
            case "raises":
                raise ValueError("the boat has sunk")
            case "exits":
                sys.exit(3)
            case "is cancelled":
                raise asyncio.CancelledError
            case "speaks":
                yield Message("assistant", "The boat calls.")
            case "has a result":
                yield Result("what the boat found")
            case _:  # it returns
                pass
        return
    _, how = await asyncio.to_thread(os.waitpid, boat, 0)
    yield Message("assistant", "The boat is gone.")
    yield Result({"exit code of the boat": os.waitstatus_to_exitcode(how)})

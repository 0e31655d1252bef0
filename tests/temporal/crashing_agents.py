"""Agents that take their runner down with them, or bring it to a stand: the crew of a ship on the rocks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

from runner.agent import AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult

MEBIBYTE: Final = 1024 * 1024
MOST: Final = 512
"""How many MiB an agent takes at most, whatever the machine has."""


async def jumps_ship(task: AgentTask) -> AsyncIterator[Step]:
    """Ends the process with the exit code that its input tells."""
    yield ToolCall("call-1", "lifeboat")
    print("every man for himself", file=sys.stderr, flush=True)
    os._exit(int(task.input))


async def hits_the_rocks(task: AgentTask) -> AsyncIterator[Step]:
    """Reads where there is nothing."""
    yield ToolCall("call-1", "full_steam_ahead")
    ctypes.string_at(0)


async def takes_on_water(task: AgentTask) -> AsyncIterator[Step]:
    """Takes more and more memory, once the file that its input names exists."""
    yield ToolCall("call-1", "open_the_sluices")
    while not Path(task.input).exists():
        await asyncio.sleep(0.02)
    hold = []
    for _ in range(MOST):
        hold.append(b"\x01" * MEBIBYTE)
    yield Result(len(hold))


async def freezes_the_bridge(task: AgentTask) -> AsyncIterator[Step]:
    """Lets no Python code in its process run for as many seconds as its input tells."""
    yield ToolCall("call-1", "drop_anchor")
    ctypes.PyDLL(None).usleep(int(float(task.input) * 1_000_000))  # unlike CDLL, it keeps Python's lock
    yield ToolResult("call-1", "anchored")
    yield Result("anchored")


async def is_becalmed(task: AgentTask) -> AsyncIterator[Step]:
    """Stops its process while that has the write lock of the store, which its input names."""
    yield ToolCall("call-1", "lower_the_sails")
    with closing(sqlite3.connect(task.input, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.2)  # another thread may take the signal, and this one go on for a moment
        connection.execute("ROLLBACK")
    yield ToolResult("call-1", "a breeze")
    yield Result("under way")


async def shouts(task: AgentTask) -> AsyncIterator[Step]:
    """Writes to standard error ten times a second, for as many seconds as its input tells."""
    yield Message("assistant", "I call the soundings.")
    for fathoms in range(int(float(task.input) * 10)):
        print(f"{fathoms} fathoms and no bottom", file=sys.stderr, flush=True)
        await asyncio.sleep(0.1)
    yield Result("no bottom")


async def hums(task: AgentTask) -> AsyncIterator[Step]:
    """A step ten times a second, until the file that its input names exists."""
    beat = 0
    while not Path(task.input).exists():
        beat += 1
        await asyncio.sleep(0.1)
        yield Progress(beat)
    yield Result(beat)

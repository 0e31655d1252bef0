"""An agent that goes as far as a phase and meets its fault there.

Its input is a plan in JSON: the phase, the fault, how many seconds where it matters, and a folder. In the folder it
leaves a line in `runs` each time that it is run, and `here` when it is in its phase; a fault that comes from outside it
awaits there until `go` appears.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from runner.agent import AgentTask, Message, Result, Step, ToolCall, ToolResult
from tests.hostile import HOSTILE

SOUNDING = {"depth": 42}


async def phased(task: AgentTask) -> AsyncIterator[Step]:
    """Sounds a reef, and meets its fault on the way."""
    plan: dict[str, Any] = json.loads(task.input)
    place, phase = Path(plan["place"]), plan["phase"]
    with (place / "runs").open("a") as runs:
        runs.write(f"{task.attempt}\n")
    if phase == "before the first event":
        await _meet(plan, place)
    yield Message("assistant", "I heave the lead.")
    yield Message("assistant", "By the mark, seven.")
    yield Message("assistant", "By the deep, eight.")
    if phase == "mid-stream":
        await _meet(plan, place)
    yield ToolCall("cast-1", "sonar", {"bearing": 270})
    if phase == "inside a tool call":
        await _meet(plan, place)
    yield ToolResult("cast-1", SOUNDING)
    if phase == "cancelling":
        (place / "begun").touch()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await _meet(plan, place)
            raise
    yield Message("assistant", "The reef is sounded.")
    if phase != "finishing":
        yield Result(SOUNDING)
        return
    (place / "here").touch()
    match plan["fault"]:
        case "result that is no JSON":
            yield Result({"key": threading.Lock()})
        case "result that is too large":
            yield Result("x" * 3_000_000)
        case "exception":
            try:
                yield Result(SOUNDING)
            finally:
                raise ValueError("the hatch is stuck")
        case _:
            await _until(place / "go")
            yield Result(SOUNDING)


async def _meet(plan: dict[str, Any], place: Path) -> None:
    (place / "here").touch()
    fault, seconds = plan["fault"], float(plan.get("seconds", 0))
    if fault in HOSTILE:
        raise HOSTILE[fault]()
    match fault:
        case "exception":
            raise ValueError("the reef is not on the chart")
        case "os._exit":
            os._exit(3)
        case "segmentation fault":
            ctypes.string_at(0)
        case "blocked loop":
            time.sleep(seconds)
        case "silence":
            await asyncio.sleep(seconds)
        case "too slow":
            await asyncio.sleep(600)
        case "out of memory":
            _ = bytearray(1 << 44)
        case "killed by the kernel for its memory":
            await _until(place / "go")
            hold = []
            while True:
                hold.append(bytearray(os.urandom(1 << 20)) * 16)
        case _:
            await _until(place / "go")


async def _until(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.02)

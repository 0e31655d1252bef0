"""Agents whose steps and results are at odds with JSON, storage or good manners; the input names which."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from runner.agent import AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult


class Unspeakable:
    """Neither `str` nor `repr` can show it."""

    def __repr__(self) -> str:
        raise SystemExit(9)


def _cycle() -> Any:
    rope: dict[str, Any] = {"end": "bitter"}
    rope["tied to"] = rope
    return rope


def _nest() -> Any:
    hull: Any = "keel"
    for _ in range(10_000):
        hull = [hull]
    return hull


RESULTS: dict[str, Callable[[], Any]] = {
    "3 MB": lambda: "x" * 3_000_000,
    "a lock": lambda: {"key": threading.Lock()},
    "a cycle": _cycle,
    "a nest of 10,000": _nest,
    "NaN": lambda: {"depth": float("nan"), "height": float("inf")},
    "half a whale": lambda: {"seen": "half a whale \ud83d"},
    "a NUL": lambda: {"log": "before\0after"},
    "a set of bytes": lambda: {b"anchor"},
    "1 MB": lambda: "x" * 1_000_000,
}

ODD: dict[str, Callable[[], list[Any]]] = {
    "arguments in a cycle": lambda: [ToolCall("c", "knot", _cycle())],
    "arguments of 10,000 nested lists": lambda: [ToolCall("c", "hull", {"hull": _nest()})],
    "bytes that are no text": lambda: [ToolCall("c", "paint", {"pigment": b"\xff\xfe\x00"})],
    "5 MB of text": lambda: [Message("assistant", "wave " * 1_000_000), ToolResult("c", "wave " * 1_000_000)],
    "100,000 small things": lambda: [ToolCall("c", "count", {"grains": list(range(100_000))})],
    "lone surrogates": lambda: [
        Message("assistant", "half a whale \ud83d"),
        ToolCall("c", "w\ud83dhale", {"\ud83d": "\ud83d"}),
        ToolResult("c", error="\ud83d"),
    ],
    "control sequences": lambda: [Message("\x1b[31mred", "\x1b[2J\0\x07"), Progress(note="\x1b]0;pwned\x07")],
    "what cannot be shown": lambda: [
        ToolCall("c", "crate", {"inside": Unspeakable(), "beside": [Unspeakable(), 1]}),
        ToolResult("c", Unspeakable()),
    ],
    "keys that are no texts": lambda: [ToolCall("c", "berth", {1: "one", None: "none", (2, 3): "two"})],  # type: ignore[dict-item]
    "numbers that are none": lambda: [
        Progress(float("nan"), float("inf"), "adrift"),
        ToolResult("c", {"depth": float("-inf")}),
        ToolCall("d", "count", {"stars": 10**400}),
    ],
    "texts that are none": lambda: [
        Message(None, 42),  # type: ignore[arg-type]
        ToolCall(7, None, None),  # type: ignore[arg-type]
        ToolResult(7, error=ValueError("a real error")),  # type: ignore[arg-type]
    ],
    "names without end": lambda: [
        Message("r" * 1_000_000, "a role of 1 MB"),
        ToolCall("i" * 1_000_000, "n" * 1_000_000),
        Progress(note="n" * 1_000_000),
    ],
}

NOT_STEPS: dict[str, Any] = {"a text": "land ho", "nothing": None, "a dictionary": {"role": "user"}, "a class": Message}


async def gives_a_result(task: AgentTask) -> AsyncIterator[Step]:
    """Finishes with the result that its input names."""
    yield Message("assistant", "Here it is.")
    yield Result(RESULTS[task.input]())


async def takes_odd_steps(task: AgentTask) -> AsyncIterator[Step]:
    """Takes the steps that its input names, and finishes."""
    for step in ODD[task.input]():
        yield step
    yield Result("still afloat")


async def not_a_step(task: AgentTask) -> AsyncIterator[Step]:
    """Yields a thing that is no step."""
    yield Message("assistant", "Look at this.")
    yield NOT_STEPS[task.input]
    yield Result("never reached")

"""Agents whose spans are looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator

from runner.agent import AgentTask, Message, Step, ToolCall, ToolResult


async def cartographer(task: AgentTask) -> AsyncIterator[Step]:
    """Uses three tools, one of which fails and one of which never answers, and then raises."""
    yield ToolCall(call_id="1", name="read_chart", arguments={"sheet": task.input})
    yield ToolResult(call_id="1", output="the reef of a secret island")
    yield ToolCall(call_id="2", name="sound_depth", arguments={})
    yield ToolResult(call_id="2", error="the line parted over a secret island")
    yield Message("assistant", "There is a secret island.")
    yield ToolCall(call_id="3", name="hoist_flag", arguments={"flag": "a secret island's"})
    raise ValueError("the chart is upside down")

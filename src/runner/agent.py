"""The Agent protocol: what an agent is given, and the steps that it yields while it runs.

An agent is any async generator function that takes an `AgentTask`. It may raise anything; two exceptions let it say
whose fault a failure is: `ProviderUnavailable` (E402, a temporary failure upstream) and `ConfigurationError` (E501).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard


@dataclass(frozen=True, slots=True)
class AgentTask:
    """What an agent is asked to do.

    `thread_dir` is a folder of the conversation's own that exists before the agent runs and outlives the execution.
    """

    execution_id: str
    input: str
    session_id: str | None
    thread_id: str
    thread_dir: Path
    attempt: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the conversation. `role` is the field's own: user, assistant, system, tool."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The agent is about to use a tool. Stored before the agent is resumed."""

    call_id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool answered; `error` is set when it failed."""

    call_id: str
    output: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the agent is, in units of its own."""

    done: float | None = None
    total: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The agent's result: plain JSON data. Nothing that an agent yields after it is read."""

    output: Any = None


Step: TypeAlias = Message | ToolCall | ToolResult | Progress | Result
Agent: TypeAlias = Callable[[AgentTask], AsyncIterator[Step]]


class ProviderUnavailable(Exception):
    """A service that the agent needs failed for now. `retry_after` is in seconds, when the service named it."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConfigurationError(Exception):
    """The agent cannot work as it is set up: a missing credential, a wrong setting."""


def is_agent(candidate: object) -> TypeGuard[Agent]:
    """Whether this is an async generator function, or an object whose `__call__` is one."""
    return inspect.isasyncgenfunction(candidate) or inspect.isasyncgenfunction(vars(type(candidate)).get("__call__"))

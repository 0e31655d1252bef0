"""What crosses the Temporal boundary: names, inputs, results and error types, each written once.

Pure: the workflow imports this file through its sandbox.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from projector.events import Timeouts

WORKFLOW: Final = "InvokeAgentExecution"
ENSURE_THREAD: Final = "ensure_thread"
EXECUTE_AGENT: Final = "execute_agent"

ATTEMPT_FAILED: Final = "AttemptFailed"
"""ApplicationError type of everything that the runner reports; its detail is an ErrorReport."""

ATTEMPT_REFUSED: Final = "AttemptRefused"
"""ApplicationError type of a second run of the agent that a runner was asked for and did not do."""

RUNNER_CRASHED: Final = "RunnerCrashed"
"""ApplicationError type with which a supervisor fails the attempts of a dead runner; its detail is a RunnerDeath."""

RECONSIDER: Final = "reconsider"
"""The workflow's signal: look into the store again, something there may decide. It carries nothing."""

RESULT_LIMIT: Final = 1_900_000
"""Largest result in bytes of JSON. Temporal refuses payloads above 2 MiB; the rest is room for its envelope."""

INPUT_LIMIT: Final = 1_000_000
"""Largest input in bytes of UTF-8; it travels to Temporal twice in one workflow task, whose limit is 4 MiB."""

SMALL_RESULT: Final = 32_768
"""Results up to this many bytes also travel with the verdict, in case the store lacks the attempt's own event."""


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ExecutionInput(_Contract):
    """The workflow's input."""

    execution_id: str
    agent: str
    input: str = ""
    session_id: str | None = None
    task_queue: str
    timeouts: Timeouts = Timeouts()


class ThreadRequest(_Contract):
    """The input of `ensure_thread`."""

    execution_id: str
    agent: str
    session_id: str | None = None


class Thread(_Contract):
    """The result of `ensure_thread`."""

    thread_id: str


class AgentRequest(_Contract):
    """The input of `execute_agent`."""

    execution_id: str
    agent: str
    input: str = ""
    session_id: str | None = None
    thread_id: str


class AgentResult(_Contract):
    """The result of `execute_agent` and of the workflow. `output_bytes` is the size of its JSON."""

    output: Any = None
    output_bytes: int = 0


class RunnerDeath(_Contract):
    """How a runner's process ended, as its supervisor tells Temporal.

    `how` is in a few words; `was_told` says that it was being stopped.
    """

    runner_id: str
    how: str
    out_of_memory: bool = False
    was_told: bool = False
    last_words: str = ""


class Heartbeat(_Contract):
    """The detail of a heartbeat: counters of this attempt so far, and what the agent is at."""

    events_processed: int = 0
    messages: int = 0
    tool_calls: int = 0
    phase: str = "starting"

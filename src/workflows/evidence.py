"""What the store knows when a verdict is due, and what a verdict can be; pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from projector.events import Timeouts
from projector.failures import Cause, ErrorReport, Failure


class RunnerFact(BaseModel):
    """What a runner of the queue last said about itself. `at` is for people to read."""

    model_config = ConfigDict(frozen=True)

    runner_id: str
    state: str
    at: str
    error: Cause | None = None
    headline: str = ""


class Evidence(BaseModel):
    """What the store knows about the execution when the verdict is due."""

    model_config = ConfigDict(frozen=True)

    task_queue: str = ""
    timeouts: Timeouts = Timeouts()
    attempt: int = 0
    runner_id: str | None = None
    finished: bool = False
    output: Any = None
    output_bytes: int = 0
    report: ErrorReport | None = None
    tool_in_flight: str | None = None
    last_event: str = ""
    last_event_at: str = ""
    steps: int = 0
    cancellation_requested: bool = False
    cancellation_reason: str = ""
    runners: tuple[RunnerFact, ...] = ()

    @property
    def began(self) -> bool:
        """Whether a runner said that it was about to run the agent."""
        return self.attempt > 0


class Completed(NamedTuple):
    """The agent finished after all; `recovered` says how that is known."""

    output: Any
    output_bytes: int
    recovered: str


class Cancelled(NamedTuple):
    """The execution was stopped on request."""

    reason: str


Verdict = Completed | Cancelled | Failure

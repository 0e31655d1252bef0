"""What the store knows when a verdict is due, and what a verdict can be; pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from projector.events import Timeouts
from projector.failures import Cause, ErrorReport, Failure
from workflows.queues.queue_state import QueueState


class RunnerFact(BaseModel):
    """What a runner of the queue last said about itself, or its supervisor about it. `at` is for people to read."""

    model_config = ConfigDict(frozen=True)

    runner_id: str
    state: str
    at: str
    error: Cause | None = None
    headline: str = ""
    last_words: str = ""


class Evidence(BaseModel):
    """What the store knows about the execution when the verdict is due, and what Temporal says of its queue.

    `silent_for` is how many seconds ago the attempt's runner last stored anything; `is_overdue` says that the attempt's
    start-to-close is over; `may_stop_waiting` that the queue's startup failure has outlasted its grace. `stalled` and
    `stack` are what the last condition of that kind said, if it still stands.
    """

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
    silent_for: float | None = None
    is_overdue: bool = False
    stalled: str = ""
    stack: str = ""
    queue: QueueState | None = None
    may_stop_waiting: bool = False
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


class Undecided(NamedTuple):
    """Nothing is decided yet, and why; to be looked at again after so many seconds."""

    why: str
    look_again: float


class Cancelled(NamedTuple):
    """The execution was stopped on request."""

    reason: str


Verdict = Completed | Cancelled | Failure | Undecided

"""What Temporal says of one workflow, as far as an execution is concerned; pure.

The raw answers are read in `workflow_reader`. All times are the server's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from projector.failures import Cause
from workflows.verdict.error_link import ErrorChain

WorkflowState = Literal[
    "running",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "timed_out",
    "continued_as_new",
    "unknown",
]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class TaskFact(_Fact):
    """A task that waits for the orchestrator, or that one has.

    `activity` is empty for the workflow task itself. `since` is when it was put on the queue (`is_waiting`) or taken; a
    task that waits for its next try may have a time to come. `failure` is how the try before ended, when Temporal says
    so here, and `tried_at` when that was.
    """

    attempt: int
    is_waiting: bool
    since: datetime
    activity: str = ""
    failure: Cause | None = None
    tried_at: datetime | None = None


class TaskFailure(_Fact):
    """How the workflow task failed, from the workflow's history.

    `why` is Temporal's word for it, as `NON_DETERMINISTIC_ERROR`. `chain` is empty when the orchestrator took the task
    and did not answer.
    """

    why: str
    chain: ErrorChain = ()
    stack: str = ""

    @property
    def cause(self) -> Cause:
        """The deepest error, in Temporal's word where there is none."""
        root = self.chain[-1] if self.chain else None
        if root is None:
            return Cause(type="WorkflowTaskTimedOut", message="the orchestrator took the task and did not answer")
        return Cause(type=root.type or self.why, message=root.message)


class HeldTask(_Fact):
    """An activity that a runner was handed and has not ended, as far as Temporal knows."""

    activity_id: str
    activity: str
    identity: str


class PauseFact(_Fact):
    """An operator holds the workflow, or one of its activities."""

    activity: str = ""
    identity: str = ""
    reason: str = ""
    since: datetime | None = None


class Closing(_Fact):
    """What the workflow's last event says.

    `reason` and `identity` are an operator's, `chain` and `stack` a failure's. `output` is the workflow's result where
    `has_output` says that it could be read.
    """

    reason: str = ""
    identity: str = ""
    chain: ErrorChain = ()
    stack: str = ""
    has_output: bool = False
    output: Any = None
    output_bytes: int = 0


class WorkflowFacts(_Fact):
    """The newest run of a workflow. `limit` is its shortest time limit in seconds, None without one.

    `task` is the pending workflow task, `recordings` are the pending activities of the orchestrator's own, and `held`
    those that runners have at this moment.
    """

    run_id: str
    state: WorkflowState
    task_queue: str = ""
    closed_at: datetime | None = None
    limit: float | None = None
    task: TaskFact | None = None
    recordings: tuple[TaskFact, ...] = ()
    pauses: tuple[PauseFact, ...] = ()
    held: tuple[HeldTask, ...] = ()

    @property
    def agent_is_running(self) -> bool:
        """Whether a runner has an activity of the workflow at this moment, as far as Temporal knows."""
        return bool(self.held)

    @property
    def is_closed(self) -> bool:
        """Whether no code of the workflow will ever run again."""
        return self.state not in ("running", "paused", "unknown")

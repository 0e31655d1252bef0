"""What the workflow and its recording activities say to each other."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from projector.events import Timeouts
from projector.execution_status import Phase
from runner.contracts import ExecutionInput
from workflows.verdict.error_link import ErrorChain

RECORD_START: Final = "record_start"
RECORD_THREAD: Final = "record_thread"
RECORD_OUTCOME: Final = "record_outcome"


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StartRecord(_Contract):
    """The workflow runs and is about to wait for a runner."""

    request: ExecutionInput
    run_id: str


class Started(_Contract):
    """`ended` is set when the execution has its verdict already and must not run."""

    ended: Phase | None = None


class ThreadRecord(_Contract):
    """The thread is prepared, and the agent's activity is about to wait for a runner."""

    execution_id: str
    run_id: str
    thread_id: str
    task_queue: str


class OutcomeRecord(_Contract):
    """How the workflow went. `chain` is empty when the agent's activity simply succeeded."""

    execution_id: str
    task_queue: str
    timeouts: Timeouts
    chain: ErrorChain = ()
    output: Any = None
    output_bytes: int = 0
    output_is_whole: bool = True


class VerdictRecord(_Contract):
    """The end that stands in the store; or that none is due yet, and after how many seconds to look again."""

    phase: Phase
    look_again: float = 0.0
    code: str = ""
    category: str = ""
    message: str = ""
    remedy: str = ""
    output: Any = None
    output_bytes: int = 0

"""What the demonstration shows: one scenario for each kind of failure, some that only look like one, and what must come
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from projector.catalogue import Code
from projector.envelope import RecordedEvent
from projector.events import AttemptFailed, AttemptStarted, ExecutionRequested, RunnerAwaited, Timeouts

MAIN_QUEUE: Final = "demo"
BROKEN_QUEUE: Final = "demo-broken"
EMPTY_QUEUE: Final = "demo-nobody"
VICTIM_QUEUE: Final = "demo-victim"
LOST_QUEUE: Final = "demo-lost"
FROZEN_QUEUE: Final = "demo-frozen"
MISCONFIGURED_QUEUE: Final = "demo-misconfigured"

FILE_AGENT: Final = "examples.file_agent:agent"
BROKEN_AGENT: Final = "examples.broken_import:agent"
SLOW_AGENT: Final = "examples.faulty:too_slow"
FAILING_AGENT: Final = "examples.faulty:agent_error"
SILENT_AGENT: Final = "examples.faulty:silent"
BLOCKING_AGENT: Final = "examples.faulty:blocking"

TIMEOUTS: Final = Timeouts(schedule_to_start=8, heartbeat=2, start_to_close=30)
IMPATIENT: Final = Timeouts(schedule_to_start=3, heartbeat=2, start_to_close=3)
SILENCE: Final = 6
STRIKES_AFTER_STEPS: Final = 10
NEVER: Final = math.inf

FaultTime = Callable[[Sequence[RecordedEvent]], datetime | None]


class Strike(Enum):
    """What the demonstration does to an execution that is deep in its work."""

    NOTHING = auto()
    KILL_RUNNER = auto()
    KILL_RUNNER_AND_SUPERVISOR = auto()
    FREEZE_RUNNER = auto()
    TERMINATE_WORKFLOW = auto()


def time_of(kind: type, *, plus: float = 0) -> FaultTime:
    """When the last event of a kind happened, plus some seconds."""

    def find(history: Sequence[RecordedEvent]) -> datetime | None:
        times = [record.time for record in history if isinstance(record.event, kind)]
        return times[-1] + timedelta(seconds=plus) if times else None

    return find


def _never(history: Sequence[RecordedEvent]) -> datetime | None:
    return None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One execution of the demonstration.

    `expected` is a failure code or COMPLETED; `says` must be in the failure's message. `fault_at` tells from the
    history when the fault struck, where the demonstration itself did not do it. `otherwise` is after how many seconds
    Temporal's timeouts alone would have ended it (None where they play no part).
    """

    name: str
    shows: str
    agent: str
    queue: str
    input: str
    expected: str
    says: tuple[str, ...] = ()
    timeouts: Timeouts = TIMEOUTS
    strike: Strike = Strike.NOTHING
    fault_at: FaultTime = _never
    otherwise: float | None = None


SCENARIOS: Final = (
    Scenario("works", "an agent reads, searches and sums up real files", FILE_AGENT, MAIN_QUEUE, "", "COMPLETED"),
    Scenario(
        "startup-failure",
        "the runner's agent cannot be imported",
        BROKEN_AGENT,
        BROKEN_QUEUE,
        "",
        Code.RUNNER_STARTUP_FAILED,
        ("ModuleNotFoundError", "multipart_parser_that_is_not_installed"),
        fault_at=time_of(ExecutionRequested),
        otherwise=TIMEOUTS.schedule_to_start,
    ),
    Scenario(
        "no-runner",
        "nobody polls the queue",
        FILE_AGENT,
        EMPTY_QUEUE,
        "",
        Code.RUNNER_UNAVAILABLE,
        (EMPTY_QUEUE,),
        timeouts=IMPATIENT,
        fault_at=time_of(RunnerAwaited),
        otherwise=IMPATIENT.schedule_to_start,
    ),
    Scenario(
        "killed",
        f"SIGKILL of the runner after {STRIKES_AFTER_STEPS} steps, inside a tool call",
        FILE_AGENT,
        VICTIM_QUEUE,
        "pace=0.5",
        Code.RUNNER_CRASHED,
        ("while it used the tool", "last event", "SIGKILL"),
        strike=Strike.KILL_RUNNER,
        otherwise=TIMEOUTS.heartbeat,
    ),
    Scenario(
        "lost",
        "SIGKILL of the runner and of its supervisor: nobody is left who saw it",
        FILE_AGENT,
        LOST_QUEUE,
        "pace=0.5",
        Code.RUNNER_LOST,
        ("while it used the tool", "last event", "Lost contact"),
        strike=Strike.KILL_RUNNER_AND_SUPERVISOR,
        otherwise=TIMEOUTS.heartbeat,
    ),
    Scenario(
        "frozen",
        "SIGSTOP of the runner: it lives, and does not respond",
        FILE_AGENT,
        FROZEN_QUEUE,
        "pace=0.5",
        Code.RUNNER_STALLED,
        ("while it used the tool", "SIGSTOP"),
        strike=Strike.FREEZE_RUNNER,
        otherwise=TIMEOUTS.heartbeat,
    ),
    Scenario(
        "terminated",
        "an operator terminates the workflow in Temporal",
        FILE_AGENT,
        MAIN_QUEUE,
        "pace=0.5",
        Code.WORKFLOW_TERMINATED,
        ("the demonstration",),
        strike=Strike.TERMINATE_WORKFLOW,
        otherwise=NEVER,
    ),
    Scenario(
        "too-slow",
        "the agent runs longer than its limit",
        SLOW_AGENT,
        MAIN_QUEUE,
        "",
        Code.EXECUTION_TIMED_OUT,
        ("3 s",),
        timeouts=Timeouts(schedule_to_start=8, heartbeat=2, start_to_close=3),
        fault_at=time_of(AttemptStarted, plus=3),
        otherwise=0,
    ),
    Scenario(
        "agent-error",
        "the agent raises",
        FAILING_AGENT,
        MAIN_QUEUE,
        "the timetable has no ferry to the north island",
        Code.AGENT_FAILED,
        ("ValueError: the timetable has no ferry to the north island",),
        fault_at=time_of(AttemptFailed),
        otherwise=0,
    ),
    Scenario(
        "system-error",
        "the thread's folder cannot be made",
        FILE_AGENT,
        MISCONFIGURED_QUEUE,
        "",
        Code.SYSTEM_ERROR,
        ("threads",),
        fault_at=time_of(RunnerAwaited),
        otherwise=0,
    ),
    Scenario(
        "silent",
        f"healthy, but silent for {SILENCE} s: three heartbeat timeouts",
        SILENT_AGENT,
        MAIN_QUEUE,
        str(SILENCE),
        "COMPLETED",
    ),
    Scenario(
        "blocking",
        f"healthy, but blocks its thread for {SILENCE} s",
        BLOCKING_AGENT,
        MAIN_QUEUE,
        str(SILENCE),
        "COMPLETED",
    ),
)

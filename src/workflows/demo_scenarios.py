"""What the demonstration shows: one scenario for each kind of failure, two that only look like one, and what must come
out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from projector.catalogue import Code
from projector.envelope import RecordedEvent
from projector.events import AttemptFailed, AttemptStarted, ExecutionRequested, RunnerAwaited, Timeouts

MAIN_QUEUE: Final = "demo"
BROKEN_QUEUE: Final = "demo-broken"
EMPTY_QUEUE: Final = "demo-nobody"
VICTIM_QUEUE: Final = "demo-victim"
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
KILL_AFTER_STEPS: Final = 10

FaultTime = Callable[[Sequence[RecordedEvent]], datetime | None]


def _time_of(kind: type, *, plus: float = 0) -> FaultTime:
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
    history when the fault struck, where the demonstration itself did not do it.
    """

    name: str
    shows: str
    agent: str
    queue: str
    input: str
    expected: str
    says: tuple[str, ...] = ()
    timeouts: Timeouts = TIMEOUTS
    fault_at: FaultTime = _never
    is_killed: bool = False


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
        fault_at=_time_of(ExecutionRequested),
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
        fault_at=_time_of(RunnerAwaited),
    ),
    Scenario(
        "killed",
        f"SIGKILL of the runner after {KILL_AFTER_STEPS} steps, inside a tool call",
        FILE_AGENT,
        VICTIM_QUEUE,
        "pace=0.5",
        Code.RUNNER_LOST,
        ("while it used the tool", "last event"),
        is_killed=True,
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
        fault_at=_time_of(AttemptStarted, plus=3),
    ),
    Scenario(
        "agent-error",
        "the agent raises",
        FAILING_AGENT,
        MAIN_QUEUE,
        "the timetable has no ferry to the north island",
        Code.AGENT_FAILED,
        ("ValueError: the timetable has no ferry to the north island",),
        fault_at=_time_of(AttemptFailed),
    ),
    Scenario(
        "system-error",
        "the thread's folder cannot be made",
        FILE_AGENT,
        MISCONFIGURED_QUEUE,
        "",
        Code.SYSTEM_ERROR,
        ("threads",),
        fault_at=_time_of(RunnerAwaited),
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

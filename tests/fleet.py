"""A store with the histories of many executions and runners, told at the same time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from projector.catalogue import Code
from projector.envelope import NewEvent, execution_stream, runner_stream
from projector.event_store import Append, EventStore
from projector.events import (
    ExecutionCancelled,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    RunnerStopped,
    WritableEvent,
)
from projector.failures import Cause, ErrorReport
from tests.histories import (
    AGENT,
    AGROUND,
    ATTEMPT,
    AWAITED,
    HALFWAY,
    QUEUE,
    REMARK,
    REQUESTED,
    SHIPWRECK,
    SOUNDED,
    SOUNDING,
    STARTED,
    THREAD,
    VOYAGE,
    failed,
    news,
)

STARTUP_FAILURE = RunnerStartupFailed(
    task_queue=QUEUE,
    agents=(AGENT,),
    stage="import",
    report=ErrorReport(type="StartupError", message="no agents", causes=(Cause(type="ImportError", message="test"),)),
)
STORIES: tuple[tuple[WritableEvent, ...], ...] = (
    VOYAGE,
    SHIPWRECK,
    (REQUESTED, STARTED, AWAITED, THREAD, ATTEMPT, SOUNDING),
    (REQUESTED, STARTED, AWAITED, failed(Code.RUNNER_UNAVAILABLE, "ScheduleToStartTimeout", "nobody in 60 s")),
    (REQUESTED, ExecutionCancelled(reason="fog"), REMARK),
    (*SHIPWRECK[:-1], failed(message="the lead line parted"), SOUNDED, HALFWAY),
    (REQUESTED, AWAITED, ATTEMPT, AGROUND, failed(type="OSError", message="buoy 7 is adrift")),
    (REQUESTED, AWAITED, ATTEMPT, AGROUND, failed(type="OSError", message="buoy 12 is adrift")),
)
"""Executions in every phase; five failed, of three causes."""

RUNNERS: tuple[tuple[WritableEvent, ...], ...] = (
    (RunnerStarting(task_queue=QUEUE, agents=(AGENT,), host="polaris", pid=1), RunnerReady(task_queue=QUEUE, slots=8)),
    (RunnerStarting(task_queue=QUEUE, host="vega", pid=2), STARTUP_FAILURE, RunnerExited(exit_code=1)),
    (
        RunnerStarting(task_queue="night-watch", host="deneb", pid=3),
        RunnerReady(task_queue="night-watch"),
        RunnerStopped(),
    ),
)


def set_sail(store: EventStore, *, times: int = 1, seed: int = 7, prefix: str = "") -> None:
    """Append every story so many times, and every runner's once, in a shuffled but always equal order."""
    told = [
        (execution_stream(f"{prefix}voyage-{number}-{story}"), iter(news(*events)))
        for number in range(times)
        for story, events in enumerate(STORIES)
    ]
    told += [(runner_stream(f"{prefix}runner-{number}"), iter(news(*events))) for number, events in enumerate(RUNNERS)]
    store.append_batch([Append(stream, (event,)) for stream, event in _shuffled(told, random.Random(seed))])


def _shuffled(told: list[tuple[str, Iterator[NewEvent]]], dice: random.Random) -> Iterator[tuple[str, NewEvent]]:
    while told:
        stream, events = told[dice.randrange(len(told))]
        taken = list(itertools.islice(events, dice.randint(1, 3)))
        yield from ((stream, event) for event in taken)
        if not taken:
            told.remove((stream, events))

"""The first look at a queue: told at once, and never at the price of a healthy start."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from temporalio.client import Client

from projector.envelope import execution_stream, runner_stream
from projector.event_writer import EventWriter
from projector.events import ConditionObserved, RunnerReady, RunnerStarting, RunnerStartupFailed, RunnerStopped
from projector.failures import ErrorReport
from projector.live_statuses import LiveStatuses
from runner.contracts import ExecutionInput
from tests.histories import new, news
from tests.temporal.harness import HEALTHY_QUEUE, Harness
from workflows.contracts import StartRecord
from workflows.dev_server import dev_server
from workflows.queues.preflight import Preflight
from workflows.queues.task_queue import TaskQueues
from workflows.recording import Recording
from workflows.verdict.gathering import Gathering

MOST: Final = 0.1
"""By how much a start may be held up, in seconds."""
BUSY: Final = 3.0
"""By how much a busy machine may be late, in seconds, in any one of many starts."""
BROKEN: Final = RunnerStartupFailed(
    task_queue="lanterns", stage="importing", report=ErrorReport(type="ImportError", message="no lamp oil")
)


@asynccontextmanager
async def recording(harness: Harness, *, preflight: bool = True) -> AsyncIterator[Recording]:
    """The recording activities of an orchestrator that has read its store."""
    writer, queues, statuses = EventWriter(harness.store), TaskQueues(harness.temporal), LiveStatuses(harness.store)
    await statuses.refresh()
    look = Preflight(queues, statuses) if preflight else None
    yield Recording(harness.store, writer, Gathering(harness.store, queues, startup_grace=5.0), preflight=look)
    await asyncio.to_thread(writer.close)


async def warm(recorder: Recording, queue: str) -> None:
    """Have Temporal load a queue that it never heard of, which takes it a moment."""
    assert recorder.preflight is not None
    assert await recorder.preflight.queues.workers(queue, timeout=5.0) == ()


async def begins(recorder: Recording, execution_id: str, queue: str) -> float:
    """Record a start; returns how long that took, in seconds."""
    request = ExecutionInput(execution_id=execution_id, agent="ship.surveyor:agent", task_queue=queue)
    began = time.perf_counter()
    await recorder.record_start(StartRecord(request=request, run_id=f"run-of-{execution_id}"))
    return time.perf_counter() - began


async def told(harness: Harness, execution_id: str) -> list[str]:
    history = await harness.history(execution_id)
    return [record.event.reason for record in history if isinstance(record.event, ConditionObserved)]


async def test_an_execution_is_told_before_it_has_waited_at_all(bare: Harness) -> None:
    async with bare.beside("lanterns", lock_timeout=5.0, orchestrated=False) as harness:
        await asyncio.to_thread(harness.store.append, runner_stream("wick-1"), news(BROKEN))
        async with recording(harness) as recorder:
            await warm(recorder, "lanterns")
            await begins(recorder, "lamp-1", "lanterns")
        assert [record.type for record in await harness.history("lamp-1")] == [
            "ExecutionRequested",
            "ExecutionStarted",
            "RunnerAwaited",
            "ConditionObserved",
        ]
        (reason,) = await told(harness, "lamp-1")
        assert reason.endswith("none could start: ImportError: no lamp oil")


async def test_a_start_that_is_recorded_again_is_told_once(bare: Harness) -> None:
    async with bare.beside("lanterns-again", lock_timeout=5.0, orchestrated=False) as harness:
        async with recording(harness) as recorder:
            await warm(recorder, "lanterns-again")
            for _ in range(3):
                await begins(recorder, "lamp-2", "lanterns-again")
        assert await told(harness, "lamp-2") == [
            "no runner polls queue 'lanterns-again'; no runner has ever announced itself there"
        ]


async def test_a_store_that_has_not_been_read_yet_is_not_judged(bare: Harness) -> None:
    async with bare.beside("lanterns-early", lock_timeout=5.0, orchestrated=False) as harness:
        preflight = Preflight(TaskQueues(harness.temporal), LiveStatuses(harness.store))
        assert await preflight.look("lanterns-early") is None


async def test_a_temporal_that_does_not_answer_holds_up_no_start_and_the_store_is_judged_alone(
    bare: Harness, tmp_path: Path
) -> None:
    async with (
        bare.beside("lanterns-frozen", lock_timeout=5.0, orchestrated=False) as harness,
        dev_server(database=None, log_path=tmp_path / "temporal.log") as server,
    ):
        for name, events in {
            "wick-1": (BROKEN,),
            "trim-1": (
                RunnerStarting(task_queue="trimmed"),
                RunnerReady(task_queue="trimmed", slots=1),
                RunnerStopped(),
            ),
        }.items():
            await asyncio.to_thread(harness.store.append, runner_stream(name), news(*events))
        statuses = LiveStatuses(harness.store)
        await statuses.refresh()
        preflight = Preflight(TaskQueues(await Client.connect(server.address)), statuses)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            took = {}
            for queue in ("lanterns", "trimmed", "never-lit"):
                began = time.perf_counter()
                took[queue] = (await preflight.look(queue), time.perf_counter() - began)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert statistics.median(seconds for _, seconds in took.values()) < MOST
        observed = took["lanterns"][0]
        assert observed is not None and "none could start: ImportError" in observed.reason
        assert (took["trimmed"][0], took["never-lit"][0]) == (None, None), "who polls there, only Temporal can say"


async def test_a_healthy_start_is_told_nothing_and_hardly_delayed(ship: Harness) -> None:
    async def seconds(recorder: Recording, name: str) -> list[float]:
        return [await begins(recorder, f"{name}-{number}", HEALTHY_QUEUE) for number in range(30)]

    # In a store of their own, so that nobody looks after executions that have no workflow; the runner is the ship's.
    async with ship.beside("lanterns-lit", lock_timeout=5.0, orchestrated=False) as harness:
        async with recording(harness) as recorder:
            await begins(recorder, "first", HEALTHY_QUEUE)
            with_look = await seconds(recorder, "with")
        async with recording(harness, preflight=False) as recorder:
            without = await seconds(recorder, "without")
        assert statistics.median(with_look) - statistics.median(without) < MOST
        assert max(with_look) < max(without) + MOST + BUSY
        assert [await told(harness, f"with-{number}") for number in range(30)] == [[]] * 30


@pytest.mark.parametrize("seen", [True, False], ids=["the runner is known", "the runner is somebody else's"])
async def test_whoever_polls_is_enough(ship: Harness, seen: bool) -> None:
    async with ship.beside(f"lanterns-{seen}", lock_timeout=5.0, orchestrated=False) as harness:
        if seen:
            await asyncio.to_thread(
                harness.store.append, runner_stream("wick-1"), [new(RunnerReady(task_queue=HEALTHY_QUEUE, slots=1))]
            )
        async with recording(harness) as recorder:
            await begins(recorder, "lamp-3", HEALTHY_QUEUE)
        assert await asyncio.to_thread(harness.store.version, execution_stream("lamp-3")) == 3
        assert await told(harness, "lamp-3") == []

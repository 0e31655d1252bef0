"""Work that was handed to a runner in the moment of its end: nobody has its token, and nobody waits for a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.worker import Worker

from projector.envelope import NewEvent, runner_stream
from projector.events import RunnerEvent, RunnerExited, RunnerReady, Timeouts
from projector.execution_status import Phase
from runner.contracts import ENSURE_THREAD, EXECUTE_AGENT, AgentRequest, Thread, ThreadRequest
from tests.temporal.harness import Harness, agent, failure_of

PATIENT: Final = Timeouts(schedule_to_start=60, heartbeat=60, start_to_close=120)
LONG_AGO: Final = timedelta(seconds=30)

Activities = list[Callable[..., Any]]


@asynccontextmanager
async def ghost(harness: Harness, queue: str, runner_id: str, activities: Activities) -> AsyncIterator[None]:
    """A runner that takes one task and never answers; the store knows that its process has ended."""
    worker = Worker(
        harness.temporal,
        task_queue=queue,
        activities=activities,
        identity=f"runner:{runner_id}",
        max_concurrent_activities=1,
    )
    async with worker:
        yield


async def _has_ended(harness: Harness, queue: str, runner_id: str) -> None:
    events: list[RunnerEvent] = [
        RunnerReady(task_queue=queue),
        RunnerExited(task_queue=queue, signal="SIGKILL", last_stderr="the hull is breached"),
    ]
    then = datetime.now(UTC) - LONG_AGO
    new = [NewEvent(str(n), then, f"supervisor:{runner_id}", event) for n, event in enumerate(events)]
    await asyncio.to_thread(harness.store.append, runner_stream(runner_id), new)


async def test_a_thread_that_a_dead_runner_was_to_prepare_is_prepared_by_the_next_one(bare: Harness) -> None:
    taken, over = asyncio.Event(), asyncio.Event()

    @activity.defn(name=ENSURE_THREAD)
    async def holds_on(request: ThreadRequest) -> Thread:
        taken.set()
        await over.wait()
        return Thread(thread_id="of-nobody")

    async with ghost(bare, "phantom", "ghost-1-0a1b2c", [holds_on]):
        execution_id = await bare.start("says_nothing", queue="phantom", timeouts=PATIENT)
        await taken.wait()
        await _has_ended(bare, "phantom", "ghost-1-0a1b2c")
        async with bare.runner(agent("says_nothing"), queue="phantom"):
            status = await bare.end(execution_id)
        over.set()

    history = await bare.workflow(execution_id).fetch_history()
    begun = [e for e in history.events if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED]
    failures = [e.activity_task_started_event_attributes.last_failure for e in begun]
    assert status.phase is Phase.COMPLETED
    assert "RunnerCrashed" in [failure.application_failure_info.type for failure in failures]


async def test_an_agent_that_a_dead_runner_never_began_is_e201_and_safe_to_retry(bare: Harness) -> None:
    taken, over = asyncio.Event(), asyncio.Event()

    @activity.defn(name=ENSURE_THREAD)
    async def prepares(request: ThreadRequest) -> Thread:
        return Thread(thread_id="of-nobody")

    @activity.defn(name=EXECUTE_AGENT)
    async def holds_on(request: AgentRequest) -> None:
        taken.set()
        await over.wait()

    async with ghost(bare, "spectre", "ghost-2-0a1b2c", [prepares, holds_on]):
        execution_id = await bare.start("says_nothing", queue="spectre", timeouts=PATIENT)
        await taken.wait()
        await _has_ended(bare, "spectre", "ghost-2-0a1b2c")
        failure = failure_of(await bare.end(execution_id))
        over.set()

    assert (failure.code, failure.retryable) == ("E201", True)
    assert "signal SIGKILL before it began the agent" in failure.message
    assert any("the hull is breached" in fact for fact in failure.evidence)

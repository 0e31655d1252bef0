"""What the store knows of an attempt ends its execution, though Temporal never hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from temporalio.api.enums.v1 import EventType

from projector.envelope import LEASE_EVENT_ID, NewEvent, execution_stream, runner_stream
from projector.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptStarted,
    ConditionKind,
    ConditionObserved,
    RunnerAwaited,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    Timeouts,
    ToolCallStarted,
    WritableEvent,
)
from projector.execution_status import Phase
from projector.failures import ErrorReport
from projector.live_statuses import LiveStatuses
from tests.tables import project
from tests.temporal.harness import Harness, failure_of
from workflows.queues.attempt_watch import SETTLE, SETTLE_OF_THE_DEAD, AttemptWatch
from workflows.queues.nudges import Nudges

PATIENT: Final = Timeouts(schedule_to_start=60, heartbeat=60, start_to_close=120)
BUSY: Final = timedelta(seconds=20)
"""By how much a busy machine may be late: less than the minute that Temporal's timeouts would take."""
LUGGER: Final = "lugger-41-ab12"


@pytest.fixture(scope="module")
async def dock(bare: Harness) -> AsyncIterator[Harness]:
    async with bare.beside("dock", lock_timeout=5.0, orchestrated=True) as harness:
        yield harness


async def write(harness: Harness, execution_id: str, *events: WritableEvent, writer: str = f"runner:{LUGGER}") -> None:
    """Append what a runner stored that Temporal has lost."""
    now = datetime.now(UTC)
    new = [
        NewEvent(LEASE_EVENT_ID if isinstance(event, AttemptStarted) else f"{now}-{place}", now, writer, event, 1)
        for place, event in enumerate(events)
    ]
    await asyncio.to_thread(harness.store.append, execution_stream(execution_id), new)


async def taken(harness: Harness, queue: str) -> str:
    """An execution that a runner began, while Temporal believes that it still waits for one."""
    execution_id = await harness.start("surveyor", queue=queue, timeouts=PATIENT)
    await harness.until_event(execution_id, RunnerAwaited)
    await write(harness, execution_id, AttemptStarted(runner_id=LUGGER, task_queue=queue, lease="the lugger's"))
    return execution_id


async def nudges(harness: Harness, execution_id: str) -> int:
    """How often the workflow was nudged."""
    history = await harness.workflow(execution_id).fetch_history()
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED for event in history.events)


async def test_a_result_that_only_the_store_has_completes_the_execution(dock: Harness) -> None:
    execution_id = await taken(dock, "adrift")
    stored = datetime.now(UTC)
    await write(dock, execution_id, AttemptFinished(output="a sail", output_bytes=8))
    status = await dock.end(execution_id)
    assert (status.phase, status.output) == (Phase.COMPLETED, "a sail")
    assert status.recovered
    assert status.finished_at is not None
    assert timedelta(seconds=SETTLE) <= status.finished_at - stored < timedelta(seconds=SETTLE + 1) + BUSY


async def test_an_error_that_only_the_store_has_ends_the_execution(dock: Harness) -> None:
    execution_id = await taken(dock, "aground")
    await write(
        dock, execution_id, AttemptFailed(report=ErrorReport(type="ValueError", message="the lead line parted"))
    )
    failure = failure_of(await dock.end(execution_id))
    assert (failure.code, str(failure.cause)) == ("E401", "ValueError: the lead line parted")


async def test_an_execution_whose_workflow_waits_for_the_store_is_nudged_at_once(dock: Harness) -> None:
    execution_id = await taken(dock, "becalmed-adrift")
    waits = ConditionObserved(kind=ConditionKind.DEGRADED, reason="Temporal has lost the attempt")
    await write(dock, execution_id, waits, writer="orchestrator")
    stored = datetime.now(UTC)
    await write(dock, execution_id, AttemptFinished(output="a sail", output_bytes=8))
    status = await dock.end(execution_id)
    assert status.phase is Phase.COMPLETED and status.finished_at is not None
    assert status.finished_at - stored < timedelta(seconds=SETTLE)


async def test_an_execution_whose_runner_is_known_to_be_dead_is_nudged(dock: Harness) -> None:
    execution_id = await taken(dock, "wrecked")
    await write(dock, execution_id, ToolCallStarted(call_id="1", tool="sextant"))
    now, stream = datetime.now(UTC), runner_stream(LUGGER)
    story = [
        NewEvent("1", now, f"runner:{LUGGER}", RunnerStarting(task_queue="wrecked")),
        NewEvent("2", now, f"runner:{LUGGER}", RunnerReady(task_queue="wrecked", slots=1)),
        NewEvent("exit", now, "supervisor", RunnerExited(task_queue="wrecked", signal="SIGSEGV", crashes=1)),
    ]
    await asyncio.to_thread(dock.store.append, stream, story)
    async with asyncio.timeout(SETTLE_OF_THE_DEAD + 1 + BUSY.total_seconds()):
        while not await nudges(dock, execution_id):
            await asyncio.sleep(0.05)
    status = await dock.end(execution_id)
    failure = failure_of(status)
    assert failure.code == "E201"
    assert "SIGSEGV" in failure.message and "sextant" in failure.message


async def test_an_execution_that_is_at_work_is_left_alone(ship: Harness) -> None:
    execution_id = await ship.start("ticks", "4")
    await ship.until_event(execution_id, AttemptStarted)
    statuses = LiveStatuses(ship.store)
    watch = AttemptWatch(statuses, Nudges(ship.temporal), settle=0.0, settle_of_the_dead=0.0)
    await statuses.refresh()
    await watch.look()
    assert (await ship.end(execution_id)).phase is Phase.COMPLETED
    assert await nudges(ship, execution_id) == 0


async def test_a_watch_that_begins_later_sees_an_outcome_by_the_last_event(dock: Harness) -> None:
    execution_id = await taken(dock, "found-later")
    await write(dock, execution_id, AttemptFinished(output="a sail", output_bytes=8))
    await asyncio.to_thread(project, dock.store)
    statuses = LiveStatuses(dock.store)
    watch = AttemptWatch(statuses, Nudges(dock.temporal), settle=0.0)
    await watch.look()
    assert await nudges(dock, execution_id) == 0, "what has not caught up may be long past"
    await statuses.refresh()
    await watch.look()
    await watch.look()
    assert (await dock.end(execution_id, within=SETTLE)).phase is Phase.COMPLETED
    assert await nudges(dock, execution_id) == 1, "a second one only after some seconds"


async def test_a_nudge_that_nobody_takes_is_no_trouble(dock: Harness) -> None:
    await Nudges(dock.temporal).send(["the-flying-dutchman", "the-flying-dutchman", "with/a/slash"])

"""Stores of their own in which nothing but the test reconciles, and hands to do it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from projector.envelope import NewEvent, execution_stream
from projector.event_writer import EventWriter
from projector.events import ConditionKind, ExecutionRequested, Timeouts
from projector.execution_status import ExecutionStatus
from projector.live_statuses import LiveStatuses
from runner.contracts import WORKFLOW, ExecutionInput
from tests.temporal.harness import Harness, agent
from workflows.reconciliation.reconcile_report import ReconcileReport
from workflows.reconciliation.reconciler import Reconciler

PATIENT: Final = Timeouts(schedule_to_start=60, heartbeat=5, start_to_close=120)
NEVER: Final = 86_400.0
"""A reconcile interval at which an orchestrator's own reconciler makes one pass when it starts, and no other."""

_names: Final = (f"harbour-{number}" for number in count(1))


@asynccontextmanager
async def harbour(bare: Harness, *, orchestrated: bool = False) -> AsyncIterator[Harness]:
    """A store and queues of its own; if it is orchestrated, nothing but the test reconciles."""
    settings = bare.settings.model_copy(update={"reconcile_interval": NEVER})
    place = replace(bare, settings=settings).beside(next(_names), lock_timeout=5, orchestrated=orchestrated)
    async with place as harness:
        yield harness


@asynccontextmanager
async def reconciler(harness: Harness, **settings: float) -> AsyncIterator[Reconciler]:
    """A reconciler with settings of its own."""
    writer = EventWriter(harness.store)
    try:
        yield Reconciler(
            harness.temporal,
            harness.store,
            writer,
            LiveStatuses(harness.store),
            harness.settings.model_copy(update=settings),
        )
    finally:
        await asyncio.to_thread(writer.close)


async def reconcile(harness: Harness, **settings: float) -> ReconcileReport:
    """One pass."""
    async with reconciler(harness, **settings) as one:
        report = await one.once()
    assert report.troubles == ()
    return report


async def passes_until(harness: Harness, execution_id: str, kind: type, *, within: float = 20, **settings: Any) -> None:
    """One pass after the other until the execution has an event of a kind."""
    async with reconciler(harness, reconcile_interval=0.2, **settings) as one:
        running = asyncio.create_task(one.run())
        try:
            await harness.until_stored(execution_id, kind, within=within)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def written(report: ReconcileReport, execution_id: str) -> list[str]:
    return [each.type for each in report.written if each.execution_id == execution_id]


def conditions(status: ExecutionStatus) -> dict[ConditionKind, str]:
    return {condition.kind: condition.reason for condition in status.conditions}


async def store_request(
    harness: Harness, execution_id: str, input: str = "", *, name: str = "dives", age: float = 0.0
) -> ExecutionInput:
    """Store a request as the client does; returns the input that its workflow would get."""
    asked = ExecutionRequested(
        agent=agent(name), input=input, task_queue=harness.settings.agent_queue, timeouts=PATIENT
    )
    at = datetime.now(UTC) - timedelta(seconds=age)
    new = NewEvent(id=uuid.uuid4().hex, time=at, writer="client", event=asked)
    await asyncio.to_thread(harness.store.append, execution_stream(execution_id), [new])
    return ExecutionInput(
        execution_id=execution_id,
        agent=asked.agent,
        input=input,
        task_queue=asked.task_queue,
        timeouts=PATIENT,
    )


async def launch(harness: Harness, execution_id: str, request: Any, **options: Any) -> str:
    """Start a workflow as nobody's client; returns the id of its run."""
    handle = await harness.temporal.start_workflow(
        WORKFLOW, request, id=execution_id, task_queue=harness.settings.orchestrator_queue, **options
    )
    assert handle.first_execution_run_id is not None
    return handle.first_execution_run_id


async def until_closed(harness: Harness, execution_id: str) -> None:
    """Wait until Temporal has ended the workflow, however."""
    async with asyncio.timeout(20):
        while (await harness.workflow(execution_id).describe()).close_time is None:
            await asyncio.sleep(0.05)

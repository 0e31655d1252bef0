"""Stopping an execution on request, whatever it is at; and every refusal to do so."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError

from projector.errors import ExecutionEnded, ExecutionNotFound
from projector.events import (
    AttemptFailed,
    CancellationRequested,
    ConditionObserved,
    ExecutionCancelled,
    MessageAppended,
    Timeouts,
    ToolCallStarted,
)
from projector.execution_status import ExecutionStatus, Phase
from tests.temporal.harness import Harness, agent, types_of


async def _cancelled(ship: Harness, name: str, kind: type, input: str = "", **options: str) -> ExecutionStatus:
    """An execution that was cancelled when its first event of a kind was there, at its end."""
    execution_id = await ship.start(name, input, **options)  # type: ignore[arg-type]
    await ship.until_event(execution_id, kind)
    await ship.executions.cancel(execution_id, "the captain changed his mind")
    return await ship.end(execution_id)


async def test_an_execution_that_waits_for_a_runner_is_cancelled_at_once(bare: Harness) -> None:
    status = await _cancelled(bare, "surveyor", ConditionObserved, queue="nobody ever comes")

    assert (status.phase, status.failure, status.started_at) == (Phase.CANCELLED, None, None)
    assert types_of(await bare.history(status.execution_id)) == [
        "ExecutionRequested",
        "ExecutionStarted",
        "RunnerAwaited",
        "ConditionObserved",
        "CancellationRequested",
        "ExecutionCancelled",
    ]


@pytest.mark.parametrize(
    ("name", "kind", "input"),
    [("tidy", MessageAppended, ""), ("deaf", MessageAppended, ""), ("blocks", ToolCallStarted, "4")],
)
async def test_an_execution_that_runs_is_cancelled_in_the_store_and_in_temporal(
    ship: Harness, name: str, kind: type, input: str
) -> None:
    status = await _cancelled(ship, name, kind, input)
    history = await ship.history(status.execution_id)
    workflow = ship.workflow(status.execution_id)

    assert status.phase is Phase.CANCELLED
    assert CancellationRequested(reason="the captain changed his mind") in [record.event for record in history]
    assert len([record for record in history if isinstance(record.event, ExecutionCancelled)]) == 1
    with pytest.raises(WorkflowFailureError) as caught:
        await workflow.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert (await workflow.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_an_agent_that_is_cancelled_may_clean_up(ship: Harness) -> None:
    status = await _cancelled(ship, "tidy", MessageAppended)
    attempt = next(
        record.event for record in await ship.history(status.execution_id) if isinstance(record.event, AttemptFailed)
    )

    assert (ship.folder / "threads" / f"thread-{status.execution_id}" / "sluice").read_text() == "closed"
    assert (attempt.report.kind, attempt.report.type) == ("cancelled", "Cancelled")


async def test_an_agent_that_cleans_up_for_longer_than_a_heartbeat_is_cancelled_and_not_lost(bare: Harness) -> None:
    timeouts = Timeouts(schedule_to_start=30, heartbeat=1, start_to_close=30)
    async with bare.runner(agent("takes_its_leave"), queue="farewell", extra={"EXECUTION_STATUS_GRACE": "20"}):
        execution_id = await bare.start("takes_its_leave", "2", queue="farewell", timeouts=timeouts)
        await bare.until_event(execution_id, MessageAppended)
        await bare.executions.cancel(execution_id)
        status = await bare.end(execution_id)

    assert (status.phase, status.failure) == (Phase.CANCELLED, None)


async def test_an_agent_that_finishes_in_spite_of_it_has_completed(ship: Harness) -> None:
    status = await _cancelled(ship, "stubborn", MessageAppended)

    assert (status.phase, status.output) == (Phase.COMPLETED, "finished all the same")
    assert status.cancellation_requested
    assert [message.text for message in status.last_messages][-1] == "I was told to go, and finished first."


async def test_a_neighbour_of_a_cancelled_execution_goes_on(ship: Harness) -> None:
    neighbour = asyncio.create_task(ship.run("ticks", "1.5"))
    cancelled = await _cancelled(ship, "deaf", MessageAppended)
    status = await neighbour

    assert cancelled.runner == status.runner
    assert (status.phase, status.output) == (Phase.COMPLETED, 15)


async def test_a_workflow_that_is_cancelled_in_temporal_itself_is_cancelled_here_too(ship: Harness) -> None:
    execution_id = await ship.start("tidy")
    await ship.until_event(execution_id, MessageAppended)
    await ship.workflow(execution_id).cancel()
    status = await ship.end(execution_id)

    assert (status.phase, status.cancellation_requested) == (Phase.CANCELLED, False)


async def test_an_execution_that_has_ended_cannot_be_cancelled_and_nothing_is_stored(ship: Harness) -> None:
    completed = await ship.run("says_nothing")
    cancelled = await _cancelled(ship, "tidy", MessageAppended)

    for status in (completed, cancelled):
        before = await ship.history(status.execution_id)
        with pytest.raises(ExecutionEnded, match=f"has already ended: it is {status.phase}"):
            await ship.executions.cancel(status.execution_id)
        assert await ship.history(status.execution_id) == before


async def test_an_execution_that_does_not_exist_cannot_be_cancelled(ship: Harness) -> None:
    with pytest.raises(ExecutionNotFound, match="there is no execution 'the-flying-dutchman'"):
        await ship.executions.cancel("the-flying-dutchman")
    assert await ship.history("the-flying-dutchman") == []

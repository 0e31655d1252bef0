"""An agent that works: every event in its order, and every reader told the same."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowExecutionStatus

from projector.events import ExecutionCompleted, HeartbeatRecorded
from projector.execution_status import ExecutionStatus, Phase, fold
from projector.opening import open_queries
from tests.temporal.harness import Harness, agent, types_of

OUTPUT = {"depth": 42, "soundings": [41, 42, 43], "charted": True, "by": None}


@pytest.fixture(scope="module")
async def sounding(ship: Harness) -> ExecutionStatus:
    """An execution of the surveyor, at its end."""
    return await ship.run("surveyor", "How deep is the bank?", session_id="voyage-7")


async def test_every_event_is_there_in_its_order_and_without_a_gap(ship: Harness, sounding: ExecutionStatus) -> None:
    history = await ship.history(sounding.execution_id)

    assert [record.version for record in history] == list(range(1, len(history) + 1))
    assert [record.position for record in history] == sorted(record.position for record in history)
    assert [name for name in types_of(history) if name != "HeartbeatRecorded"] == [
        "ExecutionRequested",
        "ExecutionStarted",
        "RunnerAwaited",
        "ThreadEnsured",
        "RunnerAwaited",
        "AttemptStarted",
        "MessageAppended",
        "ToolCallStarted",
        "ProgressReported",
        "ToolCallFinished",
        "ToolCallStarted",
        "ToolCallFinished",
        "ProgressReported",
        "MessageAppended",
        "AttemptFinished",
        "ExecutionCompleted",
    ]


async def test_each_event_says_who_wrote_it(ship: Harness, sounding: ExecutionStatus) -> None:
    writers = {record.type: record.writer.partition(":")[0] for record in await ship.history(sounding.execution_id)}

    assert writers["ExecutionRequested"] == "client"
    assert writers["AttemptStarted"] == writers["MessageAppended"] == writers["AttemptFinished"] == "runner"
    assert writers["ExecutionStarted"] == writers["ThreadEnsured"] == writers["ExecutionCompleted"] == "orchestrator"


async def test_a_heartbeat_in_the_middle_counts_what_was_done_until_then(
    ship: Harness, sounding: ExecutionStatus
) -> None:
    beats = [
        record.event
        for record in await ship.history(sounding.execution_id)
        if isinstance(record.event, HeartbeatRecorded)
    ]

    assert beats
    assert (beats[0].events_processed, beats[0].messages, beats[0].tool_calls) == (3, 1, 1)
    assert beats[0].phase == "working"


async def test_the_status_tells_what_the_agent_did(sounding: ExecutionStatus) -> None:
    assert (sounding.phase, sounding.output, sounding.failure) == (Phase.COMPLETED, OUTPUT, None)
    assert (sounding.agent, sounding.session_id, sounding.thread_id) == (
        agent("surveyor"),
        "voyage-7",
        "thread-voyage-7",
    )
    assert (sounding.events_processed, sounding.messages, sounding.tool_calls) == (8, 2, 2)
    assert (sounding.in_flight, sounding.condition, sounding.attempt) == (None, None, 1)


async def test_the_row_in_the_query_tables_is_the_fold_of_the_history(ship: Harness, sounding: ExecutionStatus) -> None:
    async with open_queries(ship.settings) as queries:
        row = await queries.execution(sounding.execution_id)

    assert row == fold(None, await ship.history(sounding.execution_id))


async def test_temporal_has_the_same_result_and_shows_how_it_ended(ship: Harness, sounding: ExecutionStatus) -> None:
    workflow = ship.workflow(sounding.execution_id)
    result = await workflow.result()
    described = await workflow.describe()

    assert result["output"] == OUTPUT
    assert described.status is WorkflowExecutionStatus.COMPLETED
    assert await described.static_summary() == agent("surveyor")


async def test_executions_of_one_session_share_a_thread_with_its_folder(ship: Harness) -> None:
    first = await ship.run("says_nothing", session_id="voyage-8")
    second = await ship.run("says_nothing", session_id="voyage-8")
    alone = await ship.run("says_nothing")

    assert first.thread_id == second.thread_id != alone.thread_id
    assert (ship.folder / "threads" / "thread-voyage-8").is_dir()


async def test_an_agent_that_ends_without_a_result_completes_with_none(ship: Harness) -> None:
    status = await ship.run("says_nothing")
    end = (await ship.history(status.execution_id))[-1].event

    assert (status.phase, status.output) == (Phase.COMPLETED, None)
    assert isinstance(end, ExecutionCompleted) and end.recovered == ""

"""An agent that takes too long, a runner that is told to stop, and a runner that is the wrong one."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.worker import Worker

from projector.envelope import runner_stream
from projector.events import AttemptFailed, ExecutionRequested, RunnerStopped, Timeouts, ToolCallStarted
from projector.execution_status import ExecutionStatus, Phase
from projector.opening import open_queries
from runner.contracts import ENSURE_THREAD, EXECUTE_AGENT, WORKFLOW, Thread, ThreadRequest
from tests.temporal.harness import GRACE, Harness, agent, failure_of
from tests.temporal.operators import reset

BRIEF: Final = Timeouts(schedule_to_start=30, heartbeat=2, start_to_close=1.5)
ROOMY: Final = Timeouts(schedule_to_start=30, heartbeat=2, start_to_close=90)


async def test_an_agent_that_runs_too_long_is_e301_and_its_runner_lets_it_go(ship: Harness) -> None:
    status = await ship.run("drifts", timeouts=BRIEF)
    failure = failure_of(status)
    left = (await ship.until_stored(status.execution_id, AttemptFailed)).event

    assert (failure.code, failure.category) == ("E301", "execution_timed_out")
    last = r"longer than its limit of 1\.5 s \(last event: (ProgressReported|HeartbeatRecorded) at "
    assert re.search(last, failure.message), failure.message
    assert "--start-to-close" in failure.remedy
    assert isinstance(left, AttemptFailed)
    assert (left.report.kind, left.report.type) == ("cancelled", "Abandoned")
    assert (await ship.status(status.execution_id)).failure == failure


# --- told to stop --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shutdown:
    """How a runner that was told to stop ended, and the executions that it had."""

    code: int
    seconds: float
    runner_id: str
    quick: ExecutionStatus
    slow: ExecutionStatus
    blocked: ExecutionStatus


@pytest.fixture(scope="module")
async def shutdown(bare: Harness) -> Shutdown:
    plans = {"quick": ("is_silent", "0.8"), "slow": ("is_silent", "60"), "blocked": ("blocks", "60")}
    async with bare.runner(agent("is_silent"), agent("blocks"), queue="dry dock") as runner:
        ids = [await bare.start(name, input, queue="dry dock", timeouts=ROOMY) for name, input in plans.values()]
        begun = await asyncio.gather(*(bare.until_event(execution_id, ToolCallStarted) for execution_id in ids))
        began = time.monotonic()
        runner.process.send_signal(signal.SIGTERM)
        code = await runner.exits()
        seconds = time.monotonic() - began
        ends = await asyncio.gather(*map(bare.end, ids))
    return Shutdown(code, seconds, begun[0].status.runner or "", *ends)


def test_an_agent_that_finishes_within_the_grace_completes(shutdown: Shutdown) -> None:
    assert (shutdown.quick.phase, shutdown.quick.output) == (Phase.COMPLETED, "the fog has lifted")


@pytest.mark.parametrize("which", ["slow", "blocked"])
def test_an_agent_that_does_not_is_e204_and_the_message_names_its_tool(shutdown: Shutdown, which: str) -> None:
    failure = failure_of(getattr(shutdown, which))

    assert (failure.code, failure.category) == ("E204", "runner_shut_down")
    assert "the runner was shut down before the agent had finished" in failure.message
    assert "while it used the tool" in failure.message


def test_the_runner_exits_with_0_within_its_grace(shutdown: Shutdown) -> None:
    assert shutdown.code == 0
    assert shutdown.seconds < GRACE + 2


async def test_the_runner_says_that_it_stopped(bare: Harness, shutdown: Shutdown) -> None:
    history = await asyncio.to_thread(bare.store.read, runner_stream(shutdown.runner_id))
    async with open_queries(bare.settings) as queries:
        (row,) = await queries.runners("dry dock")

    assert history[-1].event == RunnerStopped(reason="told to stop")
    assert (row.runner_id, row.state) == (shutdown.runner_id, "stopped")


async def test_who_waits_on_its_queue_afterwards_is_told_who_was_there_last(bare: Harness, shutdown: Shutdown) -> None:
    impatient = ROOMY.model_copy(update={"schedule_to_start": 1.0})
    failure = failure_of(await bare.run("is_silent", "1", queue="dry dock", timeouts=impatient))

    assert failure.code == "E102"
    assert f"the last one, {shutdown.runner_id}, was stopped at " in failure.message


# --- the wrong runner ----------------------------------------------------------------------------------------------


async def test_an_agent_that_the_runner_does_not_serve_is_e104_and_those_it_has_are_named(bare: Harness) -> None:
    async with bare.runner(agent("dives"), agent("ticks"), queue="bathyscaphe"):
        failure = failure_of(await bare.run("surveyor", queue="bathyscaphe"))

    assert (failure.code, failure.category, failure.retryable) == ("E104", "runner_mismatch", True)
    assert f"this runner does not serve the agent '{agent('surveyor')}'" in failure.message
    assert f"it serves: {agent('dives')}, {agent('ticks')}" in failure.message


@activity.defn(name=ENSURE_THREAD)
async def prepares(request: ThreadRequest) -> Thread:
    return Thread(thread_id="thread-of-another-version")


@activity.defn(name=EXECUTE_AGENT)
async def wants_a_number(request: int) -> int:
    return request


@pytest.mark.parametrize(
    ("queue", "activities", "says"),
    [
        ("newer", [prepares], "execute_agent"),
        ("older", [prepares, wants_a_number], "Failed decoding arguments"),
    ],
)
async def test_a_runner_of_another_version_is_e104(
    bare: Harness, queue: str, activities: list[Callable[..., Any]], says: str
) -> None:
    async with Worker(bare.temporal, task_queue=queue, activities=activities):
        failure = failure_of(await bare.run("surveyor", queue=queue))

    assert (failure.code, failure.retryable) == ("E104", True)
    assert says in "\n".join([failure.message, *failure.evidence])


async def test_a_workflow_with_an_input_that_cannot_be_read_fails_instead_of_hanging(bare: Harness) -> None:
    workflow = await bare.temporal.start_workflow(
        WORKFLOW, {"execution": "of something else"}, id="unreadable", task_queue=bare.settings.orchestrator_queue
    )

    with pytest.raises(WorkflowFailureError):
        async with asyncio.timeout(10):
            await workflow.result()
    assert (await workflow.describe()).status is WorkflowExecutionStatus.FAILED


async def test_a_workflow_that_another_client_started_has_its_whole_history_too(ship: Harness) -> None:
    request = {
        "execution_id": "stowaway",
        "agent": agent("says_nothing"),
        "input": "found in the hold",
        "task_queue": ship.settings.agent_queue,
    }
    await ship.temporal.start_workflow(WORKFLOW, request, id="stowaway", task_queue=ship.settings.orchestrator_queue)
    await ship.workflow("stowaway").result()
    status = await ship.end("stowaway")
    first = (await ship.history("stowaway"))[0].event

    assert (status.phase, status.agent, status.input) == (
        Phase.COMPLETED,
        agent("says_nothing"),
        "found in the hold",
    )
    assert isinstance(first, ExecutionRequested)


@pytest.mark.parametrize(
    ("workflow_id", "changed"),
    [
        ("a twin", {"execution_id": "a twin"}),
        ("a-twin", {"execution_id": "the-other-twin"}),
        ("a-smuggler", {"execution_id": "a-smuggler", "session_id": "../../crew"}),
    ],
    ids=["an id with a space", "another execution's id", "a session that leads elsewhere"],
)
async def test_a_workflow_that_another_client_started_badly_is_refused_at_once(
    ship: Harness, workflow_id: str, changed: dict[str, str]
) -> None:
    request = {"agent": agent("says_nothing"), "task_queue": ship.settings.agent_queue, **changed}
    workflow = await ship.temporal.start_workflow(
        WORKFLOW, request, id=workflow_id, task_queue=ship.settings.orchestrator_queue
    )

    with pytest.raises(WorkflowFailureError):
        async with asyncio.timeout(10):
            await workflow.result()
    assert await ship.history("the-other-twin") == []
    assert not (ship.folder / "crew").exists()


async def test_an_agent_at_work_is_not_failed_because_another_run_finds_no_slot(bare: Harness) -> None:
    limits = Timeouts(schedule_to_start=3, heartbeat=2, start_to_close=60)
    async with bare.runner(agent("is_silent"), queue="one-berth", extra={"EXECUTION_STATUS_SLOTS": "1"}):
        execution_id = await bare.start("is_silent", "8", queue="one-berth", timeouts=limits)
        await bare.until_event(execution_id, ToolCallStarted)
        await reset(bare.temporal, execution_id)
        status = await bare.end(execution_id)

    assert (status.phase, status.output) == (Phase.COMPLETED, "the fog has lifted")
    assert status.recovered


async def test_a_runner_whose_settings_cannot_be_read_is_the_reason_of_those_that_wait(bare: Harness) -> None:
    execution_id = await bare.start("says_nothing", queue="bad-stars", timeouts=ROOMY)
    broken = {"EXECUTION_STATUS_SLOTS": "abc"}
    async with bare.starting_runner(agent("says_nothing"), queue="bad-stars", extra=broken) as runner:
        assert await runner.exits() == 4
    failure = failure_of(await bare.end(execution_id))

    assert failure.code == "E101"
    assert "EXECUTION_STATUS_SLOTS='abc' cannot be used" in failure.message

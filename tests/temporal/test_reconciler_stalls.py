"""The reconciler on a real Temporal: what stands still is shown as such, and given up when its time is up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest, UnpauseWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from projector.events import (
    AttemptFinished,
    ConditionCleared,
    ConditionKind,
    ConditionObserved,
    ExecutionFailed,
    ToolCallStarted,
)
from projector.execution_status import Phase
from tests.temporal.broken_workflows import Mutineer, served_by
from tests.temporal.harness import Harness, agent, failure_of
from tests.temporal.operators import pause, unpause
from tests.temporal.reconciling import (
    PATIENT,
    conditions,
    harbour,
    launch,
    passes_until,
    reconcile,
    store_request,
    written,
)
from workflows.dev_server import find_binary
from workflows.orchestrator import orchestrating
from workflows.reconciliation.workflow_conditions import fails_now
from workflows.reconciliation.workflow_reader import WorkflowReader


@pytest.mark.slow
async def test_a_workflow_that_keeps_failing_is_stalled_and_heals_when_a_good_orchestrator_comes(
    bare: Harness, tmp_path: Path
) -> None:
    sail = tmp_path / "sail"
    async with harbour(bare) as harness, harness.runner(agent("keeps_watch"), queue=harness.settings.agent_queue):
        queue = harness.settings.orchestrator_queue
        async with served_by(Mutineer, harness.temporal, queue):
            execution_id = await harness.start("keeps_watch", str(sail), timeouts=PATIENT)
            began = datetime.now(UTC)
            await passes_until(harness, execution_id, ConditionObserved)
            stalled = await harness.status(execution_id)
            quiet = await reconcile(harness)
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            await passes_until(harness, execution_id, ConditionCleared, within=40)
            healed = await harness.status(execution_id)
            sail.touch()
            status = await harness.end(execution_id)

    assert stalled.condition is not None
    assert (stalled.condition.kind, stalled.condition.observer) == (ConditionKind.STALLED, "reconciler")
    assert (stalled.condition.since - began).total_seconds() < 5
    assert "the orchestrator cannot advance the workflow: KeyError: 'no such chart'" in stalled.condition.reason
    assert "no such chart" in stalled.condition.stack
    assert written(quiet, execution_id) == []
    assert ConditionKind.STALLED not in conditions(healed)
    assert (status.phase, status.output) == (Phase.COMPLETED, "a sail")


async def test_a_workflow_that_is_not_healed_in_its_time_is_e604(bare: Harness) -> None:
    async with (
        harbour(bare) as harness,
        served_by(Mutineer, harness.temporal, harness.settings.orchestrator_queue),
    ):
        execution_id = await harness.start("dives", timeouts=PATIENT)
        await passes_until(harness, execution_id, ExecutionFailed, stuck_after=1.0)
        failure = failure_of(await harness.status(execution_id))

    assert failure.code == "E604"
    assert "KeyError: 'no such chart' (WORKFLOW_WORKER_UNHANDLED_FAILURE)" in failure.message
    assert "The agent had not begun." in failure.message
    assert failure.cause is not None and failure.cause.type == "KeyError"
    assert any("has kept failing since" in line for line in failure.evidence)


async def test_an_agent_that_finishes_under_a_stuck_workflow_is_completed(bare: Harness, tmp_path: Path) -> None:
    sail = tmp_path / "sail"
    async with harbour(bare) as harness, harness.runner(agent("keeps_watch"), queue=harness.settings.agent_queue):
        queue = harness.settings.orchestrator_queue
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            execution_id = await harness.start("keeps_watch", str(sail), timeouts=PATIENT)
            await harness.until_event(execution_id, ToolCallStarted)
        async with served_by(Mutineer, harness.temporal, queue):
            await harness.workflow(execution_id).signal("reconsider")
            # Its time is up at once, but a runner is at work: it is not given up.
            await passes_until(harness, execution_id, ConditionObserved, within=40, stuck_after=0.1)
            await until_it_fails_now(harness, execution_id)
            await reconcile(harness, stuck_after=0.1)
            waiting = await harness.status(execution_id)
            sail.touch()
            await harness.until_stored(execution_id, AttemptFinished)
            await reconcile(harness)
            status = await harness.status(execution_id)

    assert (waiting.phase, ConditionKind.STALLED in conditions(waiting)) == (Phase.IN_PROGRESS, True)
    assert (status.phase, status.output) == (Phase.COMPLETED, "a sail")
    assert "the runner stored the result before" in status.recovered


async def until_it_fails_now(harness: Harness, execution_id: str) -> None:
    """Wait until nothing but an agent at work keeps the workflow from being given up."""
    async with asyncio.timeout(20):
        while True:
            facts = await WorkflowReader(harness.temporal).look(execution_id)
            if facts is not None and fails_now(facts, datetime.now(UTC)):
                assert facts.agent_is_running
                return
            await asyncio.sleep(0.1)


async def test_without_any_orchestrator_the_execution_says_so_until_one_comes(bare: Harness) -> None:
    async with harbour(bare) as harness, harness.runner(agent("says_nothing"), queue=harness.settings.agent_queue):
        execution_id = await harness.start("says_nothing", timeouts=PATIENT)
        await reconcile(harness)
        early = await harness.status(execution_id)
        await passes_until(harness, execution_id, ConditionObserved)
        waiting = await harness.status(execution_id)
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            status = await harness.end(execution_id)

    assert early.conditions == ()
    queue = harness.settings.orchestrator_queue
    assert (
        f"no orchestrator takes the workflow's task from queue '{queue}'" in conditions(waiting)[ConditionKind.STALLED]
    )
    assert status.phase is Phase.COMPLETED


async def test_a_paused_activity_shows_who_and_why_until_it_is_unpaused(bare: Harness, tmp_path: Path) -> None:
    sail = tmp_path / "sail"
    async with (
        harbour(bare, orchestrated=True) as harness,
        harness.runner(agent("keeps_watch"), queue=harness.settings.agent_queue),
    ):
        execution_id = await harness.start("keeps_watch", str(sail), timeouts=PATIENT)
        await harness.until_event(execution_id, ToolCallStarted)
        await pause(harness.temporal, execution_id)
        first, second = await reconcile(harness), await reconcile(harness)
        paused = await harness.status(execution_id)
        await unpause(harness.temporal, execution_id)
        third = await reconcile(harness)
        going_on = await harness.status(execution_id)
        sail.touch()
        status = await harness.end(execution_id)

    assert [written(report, execution_id) for report in (first, second, third)] == [
        ["ConditionObserved"],
        [],
        ["ConditionCleared"],
    ]
    reason = conditions(paused)[ConditionKind.PAUSED]
    assert reason.startswith("an operator paused an activity of the workflow: execute_agent, at ")
    assert "by harbour-master, fog" in reason
    assert ConditionKind.PAUSED not in conditions(going_on)
    assert (status.phase, status.output) == (Phase.COMPLETED, "a sail")


@asynccontextmanager
async def engine_that_pauses() -> AsyncIterator[Client]:
    """A Temporal whose operators may pause whole workflows; others refuse."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "never"]
    arguments += ["--dynamic-config-value", "frontend.WorkflowPauseEnabled=true"]
    server = await asyncio.create_subprocess_exec(
        find_binary(), *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    client = await Client.connect(f"127.0.0.1:{port}", data_converter=pydantic_data_converter)
                    await client.start_workflow("Raft", id="raft", task_queue="nowhere")
                    break
                except RuntimeError:
                    await asyncio.sleep(0.1)
        yield client
    finally:
        server.kill()
        await server.wait()


async def test_a_paused_workflow_shows_who_and_why_until_it_is_unpaused(bare: Harness) -> None:
    async with harbour(bare) as place, engine_that_pauses() as client:
        harness = replace(place, temporal=client)
        await launch(harness, "anchored", await store_request(harness, "anchored"))
        about = {"namespace": client.namespace, "workflow_id": "anchored", "identity": "harbour-master"}
        await client.workflow_service.pause_workflow_execution(PauseWorkflowExecutionRequest(reason="fog", **about))
        first, second = await reconcile(harness), await reconcile(harness)
        paused = await harness.status("anchored")
        await client.workflow_service.unpause_workflow_execution(UnpauseWorkflowExecutionRequest(**about))
        third = await reconcile(harness)

    assert [written(report, "anchored") for report in (first, second, third)] == [
        ["ConditionObserved"],
        [],
        ["ConditionCleared"],
    ]
    reason = conditions(paused)[ConditionKind.PAUSED]
    assert reason.startswith("an operator paused the workflow: at ")
    assert "by harbour-master, fog" in reason

"""The reconciler on a real Temporal: every way in which a workflow ends without code of ours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from projector.events import AttemptFinished, ExecutionStarted, ToolCallStarted
from projector.execution_status import Phase
from tests.temporal.broken_workflows import Impostor, served_by
from tests.temporal.harness import Harness, agent, failure_of
from tests.temporal.reconciling import PATIENT, harbour, launch, reconcile, store_request, until_closed, written
from workflows.orchestrator import orchestrating
from workflows.reconciliation.workflow_reader import WorkflowReader


async def test_a_workflow_that_is_terminated_while_it_waits_is_e602_within_ten_seconds(bare: Harness) -> None:
    """With the defaults, and nothing but the orchestrator that every installation has."""
    execution_id = await bare.start("dives", queue="nobody-at-the-pier", timeouts=PATIENT)
    await bare.until_event(execution_id, ExecutionStarted)
    await bare.workflow(execution_id).terminate(reason="fog in the channel")
    terminated = datetime.now(UTC)
    status = await bare.end(execution_id, within=10)
    failure = failure_of(status)

    assert bare.settings.reconcile_interval == 5.0
    assert status.finished_at is not None
    assert (status.finished_at - terminated).total_seconds() < 10
    assert (failure.code, failure.category) == ("E602", "workflow_terminated")
    assert "fog in the channel (by " in failure.message
    assert "The agent had not begun." in failure.message
    assert any("the workflow is terminated since" in line for line in failure.evidence)


async def test_a_workflow_that_is_terminated_while_its_agent_works_is_e602_and_the_agent_stops(bare: Harness) -> None:
    async with harbour(bare, orchestrated=True) as harness:
        queue = harness.settings.agent_queue
        async with harness.runner(agent("dives"), queue=queue):
            execution_id = await harness.start("dives", timeouts=PATIENT)
            await harness.until_event(execution_id, ToolCallStarted)
            await harness.workflow(execution_id).terminate(reason="the bell leaks")
            report = await reconcile(harness)
            status = await harness.status(execution_id)
            again = await reconcile(harness)

    assert written(report, execution_id) == ["ExecutionFailed"]
    assert written(again, execution_id) == []
    failure = failure_of(status)
    assert failure.code == "E602"
    assert "the bell leaks" in failure.message
    assert "The agent was using the tool 'diving_bell'" in failure.message


async def test_a_result_that_only_the_store_has_outranks_the_termination(bare: Harness, tmp_path: Path) -> None:
    """The orchestrator dies, the agent finishes, an operator gives the workflow up."""
    sail = tmp_path / "sail"
    async with harbour(bare) as harness, harness.runner(agent("keeps_watch"), queue=harness.settings.agent_queue):
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            execution_id = await harness.start("keeps_watch", str(sail), timeouts=PATIENT)
            await harness.until_event(execution_id, ToolCallStarted)
        sail.touch()
        await harness.until_event(execution_id, AttemptFinished)
        await harness.workflow(execution_id).terminate(reason="nobody answers")
        report = await reconcile(harness)
        status = await harness.status(execution_id)

    assert written(report, execution_id) == ["ExecutionCompleted"]
    assert (status.phase, status.output) == (Phase.COMPLETED, "a sail")
    assert "terminated: nobody answers" in status.recovered


async def test_a_workflow_that_runs_into_its_own_limit_is_e603(bare: Harness) -> None:
    async with (
        harbour(bare, orchestrated=True) as harness,
        harness.runner(agent("dives"), queue=harness.settings.agent_queue),
    ):
        at_work = await store_request(harness, "limit-at-work")
        await launch(harness, "limit-at-work", at_work, execution_timeout=timedelta(seconds=4))
        await harness.until_event("limit-at-work", ToolCallStarted)
        waiting = await store_request(harness, "limit-waiting")
        waiting = waiting.model_copy(update={"task_queue": "nobody-at-the-pier"})
        await launch(harness, "limit-waiting", waiting, run_timeout=timedelta(seconds=1))
        await asyncio.gather(*(until_closed(harness, name) for name in ("limit-at-work", "limit-waiting")))
        await reconcile(harness)
        failures = [failure_of(await harness.status(name)) for name in ("limit-at-work", "limit-waiting")]

    assert [failure.code for failure in failures] == ["E603", "E603"]
    assert "The workflow's limit of 4 s was over." in failures[0].message
    assert "was using the tool 'diving_bell'" in failures[0].message
    assert "The workflow's limit of 1 s was over. The agent had not begun." in failures[1].message


async def test_an_input_that_the_workflow_cannot_read_is_e604_with_the_real_error(bare: Harness) -> None:
    async with harbour(bare, orchestrated=True) as harness:
        await store_request(harness, "unreadable")
        await launch(harness, "unreadable", {"execution_id": 7, "agent": ["a", "list"]})
        await until_closed(harness, "unreadable")
        await reconcile(harness)
        failure = failure_of(await harness.status("unreadable"))

    assert failure.code == "E604"
    assert "cannot advance the workflow: ValidationError: " in failure.message
    assert "for ExecutionInput\nexecution_id\n" in failure.message
    assert any("the workflow is failed" in line for line in failure.evidence)


async def test_what_a_stranger_under_our_name_did_is_told_as_it_was(bare: Harness) -> None:
    tales = {
        "stranger-result": "returns a result",
        "stranger-tale": "returns a tale",
        "stranger-verdict": "fails with a verdict",
        "stranger-cancelled": "waits",
    }
    async with (
        harbour(bare) as harness,
        served_by(Impostor, harness.temporal, harness.settings.orchestrator_queue),
    ):
        for name, what in tales.items():
            await launch(harness, name, await store_request(harness, name, what))
        await harness.workflow("stranger-cancelled").cancel()
        await asyncio.gather(*(until_closed(harness, name) for name in tales))
        await reconcile(harness)
        result, tale, verdict, cancelled = [await harness.status(name) for name in tales]

    assert (result.phase, result.output) == (Phase.COMPLETED, {"depth": 42})
    assert "the result is the workflow's" in result.recovered
    assert (tale.phase, tale.output) == (Phase.COMPLETED, "I was a pirate")
    failure = failure_of(verdict)
    assert (failure.code, failure.category) == ("E203", "runner_lost")
    assert (failure.message, failure.remedy) == ("Lost contact with the runner.", "Look at the lighthouse.")
    assert cancelled.phase is Phase.CANCELLED


async def test_a_start_that_was_lost_is_e601_when_its_time_is_up_and_not_before(bare: Harness) -> None:
    async with harbour(bare) as harness:
        await store_request(harness, "lost", age=31)
        await store_request(harness, "fresh", age=29)
        report = await reconcile(harness)
        lost, fresh = await harness.status("lost"), await harness.status("fresh")

    failure = failure_of(lost)
    assert (failure.code, failure.retryable) == ("E601", True)
    assert "the request was stored at" in failure.message and "it never started" in failure.message
    assert fresh.phase is Phase.PENDING
    assert written(report, "fresh") == []


async def test_a_workflow_that_starts_after_its_loss_was_declared_runs_nothing(bare: Harness) -> None:
    async with harbour(bare) as harness:
        request = await store_request(harness, "too-late", age=60)
        await reconcile(harness)
        before = await harness.history("too-late")
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            await launch(harness, "too-late", request)
            await until_closed(harness, "too-late")

        assert failure_of(await harness.status("too-late")).code == "E601"
        assert await harness.history("too-late") == before


async def test_a_workflow_that_was_deleted_is_e602_and_says_that_it_is_gone(bare: Harness) -> None:
    async with harbour(bare, orchestrated=True) as harness:
        execution_id = await harness.start("dives", queue="nobody-at-the-pier", timeouts=PATIENT)
        await harness.until_event(execution_id, ExecutionStarted)
        await harness.temporal.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=harness.temporal.namespace, workflow_execution=WorkflowExecution(workflow_id=execution_id)
            )
        )
        async with asyncio.timeout(20):
            while await WorkflowReader(harness.temporal).look(execution_id) is not None:
                await asyncio.sleep(0.05)
        await reconcile(harness)
        failure = failure_of(await harness.status(execution_id))

    assert failure.code == "E602"
    assert "it was deleted, or its retention is over" in failure.message

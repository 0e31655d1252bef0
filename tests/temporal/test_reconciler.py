"""The reconciler on a real Temporal: every way in which a workflow ends, or stands still, without code of ours."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    PauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from projector.envelope import NewEvent, execution_stream
from projector.event_writer import EventWriter
from projector.events import (
    AttemptFinished,
    ConditionCleared,
    ConditionKind,
    ConditionObserved,
    ExecutionFailed,
    ExecutionRequested,
    ExecutionStarted,
    Timeouts,
    ToolCallStarted,
)
from projector.execution_status import ExecutionStatus, Phase
from projector.live_statuses import LiveStatuses
from runner.contracts import WORKFLOW, ExecutionInput
from tests.made_up_secrets import TOKENS
from tests.temporal.broken_workflows import Impostor, Mutineer, served_by
from tests.temporal.engine import engine_in
from tests.temporal.harness import Harness, agent, failure_of, types_of
from tests.temporal.operators import pause, reset, unpause
from tests.temporal.processes import command, program, until
from workflows.dev_server import find_binary
from workflows.orchestrator import orchestrating
from workflows.reconciliation.reconcile_report import ReconcileReport
from workflows.reconciliation.reconciler import Reconciler
from workflows.reconciliation.workflow_conditions import fails_now
from workflows.reconciliation.workflow_reader import WorkflowReader

PATIENT: Final = Timeouts(schedule_to_start=60, heartbeat=5, start_to_close=120)
NEVER: Final = 86_400.0
"""A reconcile interval at which an orchestrator's own reconciler makes one pass when it starts, and no other."""

TOKEN: Final = TOKENS[0]
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


# --- ends that no workflow code sees -------------------------------------------------------------------------------


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


# --- Temporal has no such workflow ---------------------------------------------------------------------------------


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


# --- workflows that cannot advance ---------------------------------------------------------------------------------


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


# --- what an operator holds, moves or begins anew ------------------------------------------------------------------


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


async def test_a_workflow_that_is_continued_as_new_is_followed(bare: Harness) -> None:
    async with (
        harbour(bare) as harness,
        served_by(Impostor, harness.temporal, harness.settings.orchestrator_queue),
    ):
        run_id = await launch(harness, "voyage", await store_request(harness, "voyage", "sails on"))
        started = NewEvent(f"{run_id}-started", datetime.now(UTC), "orchestrator", ExecutionStarted(run_id=run_id))
        await asyncio.to_thread(harness.store.append, execution_stream("voyage"), [started])
        await until_other_run(harness, "voyage", run_id)
        first, second = await reconcile(harness), await reconcile(harness)
        followed = await harness.status("voyage")
        await harness.workflow("voyage").terminate(reason="the war is over")
        await reconcile(harness)
        failure = failure_of(await harness.status("voyage"))

    assert (written(first, "voyage"), written(second, "voyage")) == (["ExecutionStarted", "RunnerAwaited"], [])
    assert followed.run_id not in (None, run_id)
    assert failure.code == "E602"
    assert any(str(followed.run_id) in line for line in failure.evidence)


async def until_other_run(harness: Harness, execution_id: str, run_id: str) -> None:
    async with asyncio.timeout(20):
        while (await harness.workflow(execution_id).describe()).run_id == run_id:
            await asyncio.sleep(0.05)


async def test_a_reset_is_followed_and_noted_once_with_the_orchestrators_own_word(bare: Harness) -> None:
    async with harbour(bare) as harness:
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            execution_id = await harness.start("dives", queue="nobody-at-the-pier", timeouts=PATIENT)
            await harness.until_event(execution_id, ExecutionStarted)
        first_run = (await harness.status(execution_id)).run_id
        run_id = await reset(harness.temporal, execution_id)
        report = await reconcile(harness)
        followed = await harness.status(execution_id)
        async with orchestrating(harness.temporal, harness.store, settings=harness.settings):
            await harness.workflow(execution_id).cancel()
            status = await harness.end(execution_id)
        runs = [r.event.run_id for r in await harness.history(execution_id) if isinstance(r.event, ExecutionStarted)]

    assert written(report, execution_id)[0] == "ExecutionStarted"
    assert followed.run_id == run_id
    assert runs == [first_run, run_id]
    assert status.phase is Phase.CANCELLED


# --- several, and none ---------------------------------------------------------------------------------------------


async def test_reconcilers_that_run_at_once_write_one_verdict_and_one_condition(bare: Harness) -> None:
    async with harbour(bare, orchestrated=True) as harness:
        names = [f"twin-{number}" for number in range(6)]
        for name in names:
            await harness.start("dives", queue="nobody-at-the-pier", timeouts=PATIENT, execution_id=name)
            await harness.until_event(name, ExecutionStarted)
        for name in names[:3]:
            await harness.workflow(name).terminate(reason="two captains")
        for name in names[3:]:
            await pause(harness.temporal, name, "ensure_thread")
        async with reconciler(harness) as one, reconciler(harness) as other, reconciler(harness) as third:
            reports = await asyncio.gather(one.once(), other.once(), third.once())
        histories = [types_of(await harness.history(name)) for name in names]
        observed = [
            [r for r in await harness.history(name) if r.writer == "reconciler" and r.type == "ConditionObserved"]
            for name in names
        ]

    assert all(report.troubles == () for report in reports)
    assert [types.count("ExecutionFailed") for types in histories] == [1, 1, 1, 0, 0, 0]
    assert [len(each) for each in observed] == [0, 0, 0, 1, 1, 1]


async def test_a_temporal_that_is_away_is_outlasted(bare: Harness, tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine, harbour(bare) as place:
        client = await Client.connect(engine.address, data_converter=pydantic_data_converter)
        harness = replace(place, temporal=client)
        await launch(harness, "castaway", await store_request(harness, "castaway"))
        await harness.workflow("castaway").terminate(reason="no ship came")
        await engine.kill()
        async with reconciler(harness, reconcile_interval=0.2) as one:
            away = await one.once()
            running = asyncio.create_task(one.run())
            await engine.start()
            status = await harness.end("castaway")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    assert [trouble.execution_id for trouble in away.troubles] == ["castaway"]
    assert "Temporal does not answer" in away.troubles[0].reason
    assert failure_of(status).code == "E602"


async def test_the_command_writes_what_is_missing_once(bare: Harness) -> None:
    async with harbour(bare) as harness:
        for name in ("wreck-1", "wreck-2"):
            await launch(harness, name, await store_request(harness, name))
            await harness.workflow(name).terminate(reason=f"rocks ahead, said {TOKEN.text}")
        first = await command("reconcile", "--once", "--json", extra=harness.surroundings)
        second = await command("reconcile", "--once", extra=harness.surroundings)
        status = await harness.status("wreck-1")

    lines = [json.loads(line) for line in first.out.splitlines()]
    assert (first.code, second.code, second.out) == (0, 0, "")
    assert {(line["execution_id"], line["type"]) for line in lines} == {
        ("wreck-1", "ExecutionFailed"),
        ("wreck-2", "ExecutionFailed"),
    }
    assert all(line["said"].startswith("E602 ") and "rocks ahead, said" in line["said"] for line in lines)
    assert not any(piece in first.out + first.err for piece in TOKEN.pieces())
    assert "compared 2 open executions with Temporal, wrote 2 events" in first.err
    assert "compared 0 open executions with Temporal, wrote 0 events" in second.err
    assert failure_of(status).code == "E602"


async def test_the_command_goes_on_until_it_is_told_to_stop(bare: Harness) -> None:
    async with harbour(bare) as harness:
        often = harness.surroundings | {"EXECUTION_STATUS_RECONCILE_INTERVAL": "0.2"}
        async with program("reconcile", "--json", folder=harness.folder, name="reconcile", extra=often) as running:
            await running.says("every 0.2 s")
            await launch(harness, "derelict", await store_request(harness, "derelict"))
            await harness.workflow("derelict").terminate(reason="abandoned")
            await harness.end("derelict")
            await until(lambda: "derelict" in running.printed())
            running.process.send_signal(signal.SIGTERM)
            code = await running.exits(within=10)

    assert (code, len(running.printed().splitlines())) == (0, 1)
    assert json.loads(running.printed())["type"] == "ExecutionFailed"


async def test_the_command_says_when_temporal_or_the_store_is_not_there(bare: Harness, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    away = bare.surroundings | {"TEMPORAL_ADDRESS": nobody, "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"}
    nowhere = bare.surroundings | {"EXECUTION_STATUS_STORE": str(tmp_path / "none.db")}
    unreachable, missing = await asyncio.gather(
        command("reconcile", "--once", extra=away), command("reconcile", "--once", extra=nowhere)
    )

    assert (unreachable.code, missing.code) == (4, 4)
    assert nobody in unreachable.err
    assert "there is no event store at" in missing.err


async def test_an_execution_of_another_temporal_is_shown_as_such_and_not_ended_before_long(bare: Harness) -> None:
    async with harbour(bare) as harness:
        await store_request(harness, "far-away", age=3600)
        started = ExecutionStarted(run_id="a-run-elsewhere", engine="a-namespace-elsewhere")
        new = NewEvent("a-run-elsewhere-started", datetime.now(UTC), "orchestrator", started)
        await asyncio.to_thread(harness.store.append, execution_stream("far-away"), [new])

        reports = [await reconcile(harness) for _ in range(2)]
        shown = await harness.status("far-away")
        last = await reconcile(harness, stuck_after=0.001)
        failure = failure_of(await harness.status("far-away"))

    assert [written(report, "far-away") for report in reports] == [["ConditionObserved"], []]
    assert "a-namespace-elsewhere" in conditions(shown)[ConditionKind.STALLED]
    assert written(last, "far-away") == ["ExecutionFailed"]
    assert (failure.code, failure.retryable) == ("E602", False)

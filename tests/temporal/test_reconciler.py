"""The reconciler on a real Temporal: it follows from run to run, and does its work once, whoever does it too."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from projector.envelope import NewEvent, execution_stream
from projector.events import ConditionKind, ExecutionStarted
from projector.execution_status import Phase
from tests.temporal.broken_workflows import Impostor, served_by
from tests.temporal.engine import engine_in
from tests.temporal.harness import Harness, failure_of, types_of
from tests.temporal.operators import pause, reset
from tests.temporal.reconciling import (
    PATIENT,
    conditions,
    harbour,
    launch,
    reconcile,
    reconciler,
    store_request,
    written,
)
from workflows.orchestrator import orchestrating


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

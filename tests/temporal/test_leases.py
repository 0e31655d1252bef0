"""The lease: whatever Temporal does with an execution, its agent is run once, and each further try is on record."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from projector.events import AttemptRefused, AttemptStarted, MessageAppended, RunnerAwaited, Timeouts, ToolCallStarted
from projector.execution_status import ExecutionStatus, Phase
from tests.temporal.faults import stand_still
from tests.temporal.harness import Harness, agent, failure_of, types_of
from tests.temporal.operators import pause, reset, unpause

PATIENT = Timeouts(schedule_to_start=30, heartbeat=2, start_to_close=60)


async def _began_once(harness: Harness, status: ExecutionStatus) -> bool:
    return types_of(await harness.history(status.execution_id)).count(AttemptStarted.__name__) == 1


async def test_an_agent_that_is_paused_and_unpaused_while_it_works_goes_on_and_is_not_run_again(
    bare: Harness, tmp_path: Path
) -> None:
    sail = tmp_path / "sail"
    async with bare.runner(agent("waits_for_a_file"), queue="pause-quay"):
        execution_id = await bare.start("waits_for_a_file", str(sail), queue="pause-quay", timeouts=PATIENT)
        await bare.until_event(execution_id, ToolCallStarted)
        await pause(bare.temporal, execution_id)
        # The runner hears of it as the answer to one of its next heartbeats, which are at most 0.7 s apart.
        await asyncio.sleep(PATIENT.heartbeat)
        await unpause(bare.temporal, execution_id)
        await asyncio.sleep(PATIENT.heartbeat)
        assert (await bare.status(execution_id)).phase is Phase.IN_PROGRESS
        sail.touch()
        status = await bare.end(execution_id)

    assert (status.phase, status.output, status.attempt) == (Phase.COMPLETED, "five sails", 1)
    assert await _began_once(bare, status)


async def test_a_paused_agent_that_is_cancelled_stops_and_is_not_run_again_when_it_is_unpaused(
    bare: Harness, tmp_path: Path
) -> None:
    async with bare.runner(agent("tidy"), queue="pause-pier"):
        execution_id = await bare.start("tidy", queue="pause-pier", timeouts=PATIENT)
        await bare.until_event(execution_id, MessageAppended)
        await pause(bare.temporal, execution_id)
        await asyncio.sleep(PATIENT.heartbeat)
        await bare.executions.cancel(execution_id, "the fog stays")
        status = await bare.end(execution_id)

    assert (status.phase, status.cancellation_reason) == (Phase.CANCELLED, "the fog stays")
    assert await _began_once(bare, status)


async def test_a_workflow_that_is_reset_while_its_agent_works_gets_the_result_of_that_very_run(
    bare: Harness, tmp_path: Path
) -> None:
    sail = tmp_path / "sail"
    async with bare.runner(agent("waits_for_a_file"), queue="reset-quay"):
        execution_id = await bare.start("waits_for_a_file", str(sail), queue="reset-quay", timeouts=PATIENT)
        await bare.until_event(execution_id, ToolCallStarted)
        run_id = await reset(bare.temporal, execution_id)
        refused = (await bare.until_event(execution_id, AttemptRefused)).record
        sail.touch()
        status = await bare.end(execution_id)

    assert isinstance(refused.event, AttemptRefused)
    assert "is not run twice" in refused.event.reason
    assert (status.phase, status.output, status.run_id) == (Phase.COMPLETED, "five sails", run_id)
    assert "before" in status.recovered
    assert await _began_once(bare, status)


async def test_a_workflow_that_is_reset_after_its_end_runs_nothing(ship: Harness) -> None:
    ended = await ship.run("says_nothing")
    before = await ship.history(ended.execution_id)
    await reset(ship.temporal, ended.execution_id)
    await ship.workflow(ended.execution_id).result()

    assert await ship.history(ended.execution_id) == before


async def test_a_frozen_runner_that_wakes_with_a_task_that_is_long_over_runs_nothing(bare: Harness) -> None:
    limits = Timeouts(schedule_to_start=2, heartbeat=1, start_to_close=30)
    async with bare.runner(agent("says_nothing"), queue="ice-floe") as runner:
        await stand_still(runner.process.pid, bare.settings)
        execution_id = await bare.start("says_nothing", queue="ice-floe", timeouts=limits)
        await bare.until_event(execution_id, RunnerAwaited)
        status = await bare.end(execution_id)
        before = len(await bare.history(execution_id))
        runner.process.send_signal(signal.SIGCONT)
        healthy = await bare.run("says_nothing", queue="ice-floe", timeouts=PATIENT)

    history = await bare.history(execution_id)
    failure = failure_of(status)
    assert healthy.phase is Phase.COMPLETED
    assert failure.code in ("E102", "E203") and failure.retryable
    assert AttemptStarted.__name__ not in types_of(history)
    assert set(types_of(history[before:])) <= {AttemptRefused.__name__}


async def test_two_runs_at_once_of_one_execution_begin_one_agent(bare: Harness, tmp_path: Path) -> None:
    sail = tmp_path / "sail"
    async with (
        bare.runner(agent("waits_for_a_file"), queue="reset-pier"),
        bare.runner(agent("waits_for_a_file"), queue="reset-pier"),
    ):
        execution_id = await bare.start("waits_for_a_file", str(sail), queue="reset-pier", timeouts=PATIENT)
        await bare.until_event(execution_id, ToolCallStarted)
        for _ in range(3):
            await reset(bare.temporal, execution_id)
        await bare.until_event(execution_id, AttemptRefused)
        sail.touch()
        status = await bare.end(execution_id)

    assert (status.phase, status.output) == (Phase.COMPLETED, "five sails")
    assert await _began_once(bare, status)

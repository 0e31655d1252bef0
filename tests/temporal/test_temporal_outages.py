"""Temporal goes away while agents are at work: none of them is declared dead for it, and no result is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from projector.events import AttemptFinished, Timeouts, ToolCallStarted
from projector.execution_status import Phase
from tests import engines
from tests.temporal.engine import Engine, engine_in, served
from tests.temporal.harness import Harness, agent, failure_of
from tests.temporal.processes import until
from workflows.settings import OrchestratorSettings

pytestmark = pytest.mark.slow

HEARTBEAT: Final = 3.0
LIMITS: Final = Timeouts(schedule_to_start=30, heartbeat=HEARTBEAT, start_to_close=120)
RETRIED_BY_THE_SDK: Final = 12.0
"""Seconds for which the SDK may try to deliver the end of an activity; it gives up after ten."""


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with engine_in(tmp_path_factory.mktemp("engine")) as running:
        yield running


@asynccontextmanager
async def _served(engine: Engine, folder: Path, kept: engines.Engine, *, queue: str) -> AsyncIterator[Harness]:
    settings = OrchestratorSettings(
        data_dir=folder,
        agent_queue=queue,
        orchestrator_queue=f"{queue}-orchestrator",
        heartbeat_timeout=HEARTBEAT,
        poll_interval=0.02,
        grace=2,
        reconcile_interval=1,
    )
    async with served(engine, settings, kept) as harness:
        yield harness


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_an_agent_goes_on_through_an_outage_that_is_longer_than_its_heartbeat_timeout(
    engine: Engine, store_engine: engines.Engine, tmp_path: Path, how: str
) -> None:
    async with (
        _served(engine, tmp_path, store_engine, queue=f"through-{how}") as harness,
        harness.runner(agent("ticks"), queue=f"through-{how}"),
    ):
        execution_id = await harness.start("ticks", "12", queue=f"through-{how}", timeouts=LIMITS)
        await harness.until(execution_id, lambda change: change.status.events_processed >= 3)
        if how == "killed":
            await engine.kill()
            await asyncio.sleep(HEARTBEAT + 1)
            await engine.start()
        else:
            os.kill(engine.pid, signal.SIGSTOP)
            await asyncio.sleep(HEARTBEAT + 1)
            os.kill(engine.pid, signal.SIGCONT)
        status = await harness.end(execution_id, within=60)
        kinds = [record.type for record in await harness.history(execution_id)]

    assert (status.phase, status.output, status.events_processed) == (Phase.COMPLETED, 120, 120)
    assert kinds.count("AttemptStarted") == 1
    if how == "killed":  # a server that only froze may hear the heartbeats that wait for it before its timer strikes
        assert "the runner stored the result before" in status.recovered
        assert "ConditionObserved" in kinds


async def test_a_result_that_temporal_never_got_is_taken_from_the_store(
    engine: Engine, store_engine: engines.Engine, tmp_path: Path
) -> None:
    sail = tmp_path / "sail"
    async with (
        _served(engine, tmp_path, store_engine, queue="lost-answer") as harness,
        harness.runner(agent("waits_for_a_file"), queue="lost-answer"),
    ):
        execution_id = await harness.start("waits_for_a_file", str(sail), queue="lost-answer", timeouts=LIMITS)
        await harness.until_event(execution_id, ToolCallStarted)
        await engine.kill()
        sail.touch()
        await harness.until_event(execution_id, AttemptFinished)
        await asyncio.sleep(RETRIED_BY_THE_SDK)
        await engine.start()
        status = await harness.end(execution_id, within=30)

    assert (status.phase, status.output) == (Phase.COMPLETED, "five sails")
    assert "the runner" in status.recovered and "stored the result" in status.recovered


async def test_a_runner_that_dies_while_temporal_is_away_has_crashed_and_is_not_lost(
    engine: Engine, store_engine: engines.Engine, tmp_path: Path
) -> None:
    async with (
        _served(engine, tmp_path, store_engine, queue="both-gone") as harness,
        harness.runner(agent("dives"), queue="both-gone", supervised=True) as runner,
    ):
        execution_id = await harness.start("dives", queue="both-gone", timeouts=LIMITS)
        change = await harness.until_event(execution_id, ToolCallStarted)
        await engine.kill()
        assert change.status.runner is not None
        os.kill(int(change.status.runner.rsplit("-", 2)[1]), signal.SIGKILL)
        await until(lambda: "the runner ended" in runner.said())
        await engine.start()
        failure = failure_of(await harness.end(execution_id, within=30))

    assert failure.code == "E201"
    assert "SIGKILL" in failure.message and "diving_bell" in failure.message

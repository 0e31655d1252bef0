"""Running what never began again, by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pytest

from projector.errors import EngineUnreachable
from projector.events import ExecutionRetried, ExecutionStarted, Timeouts
from projector.execution_status import ExecutionStatus, Phase
from projector.opening import hygiene_from_environment
from tests.temporal.harness import TIMEOUTS, Harness, agent, failure_of, types_of
from tests.temporal.processes import command
from tests.temporal.retrying import linked, untouched, wreck
from workflows.client import ExecutionClient, ExecutionRequest
from workflows.orchestrator import orchestrating
from workflows.recovery import retry_automatically, retry_unnamed
from workflows.settings import OrchestratorSettings

IMPATIENT: Final = Timeouts(schedule_to_start=1, heartbeat=2, start_to_close=30)
NOBODY: Final = "nobody-ever"
"""A queue without runners."""


def patient(ship: Harness, retries: int, pause: float = 0.2) -> OrchestratorSettings:
    return ship.settings.model_copy(update={"auto_retries": retries, "auto_retry_pause": pause})


async def began_after(ship: Harness, execution_id: str) -> timedelta:
    """How long after the request the workflow began."""
    history = await ship.history(execution_id)
    return next(record.time for record in history if isinstance(record.event, ExecutionStarted)) - history[0].time


async def test_by_default_nothing_is_retried_by_itself(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "left-alone", voyage)
    assert OrchestratorSettings().auto_retries == 0
    assert await retry_automatically(ship.executions, ship.settings, old) is None
    assert await untouched(ship, old)


async def test_what_never_began_is_retried_so_often_and_no_oftener(bare: Harness) -> None:
    async with bare.beside("in-a-row", lock_timeout=5.0, orchestrated=True) as dock:
        settings = patient(dock, 2, pause=0.5)
        first = await dock.start("says_nothing", queue=NOBODY, timeouts=IMPATIENT, execution_id="becalmed")
        row: list[ExecutionStatus] = []
        current: str | None = first
        while current is not None:
            row.append(await dock.end(current))
            current = await retry_automatically(dock.executions, settings, current)

        assert [status.execution_id for status in row] == ["becalmed", "becalmed-r1", "becalmed-r2"]
        assert [status.auto_retry for status in row] == [0, 1, 2]
        assert [failure_of(status).code for status in row] == ["E102"] * 3
        for old, new in pairwise(row):
            assert (await dock.status(old.execution_id)).retried_as == new.execution_id
            assert new.retry_of == old.execution_id
        waited = [await began_after(dock, status.execution_id) for status in row]
        assert waited[1] >= timedelta(seconds=0.5) and waited[2] >= timedelta(seconds=1), "each waits twice as long"
        shown, told = await asyncio.gather(
            command("show", "becalmed-r2", extra=dock.surroundings),
            command("events", "becalmed-r1", extra=dock.surroundings),
        )
        assert "becalmed-r1 (automatic retry 2)" in shown.out
        assert "automatic retry 1 of becalmed" in told.out
        # A person may still go on, and is not told that the ids are used up.
        by_hand = await retry_unnamed(dock.executions, "becalmed-r2")
        assert by_hand is not None and by_hand.execution_id == "becalmed-r3"
        assert (await dock.status("becalmed-r3")).auto_retry == 0


async def test_asking_again_or_at_once_starts_no_second_one(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "two-orchestrators", voyage)
    asked = await asyncio.gather(
        *(retry_automatically(ship.executions, patient(ship, 3), old) for _ in range(5)),
    )
    assert set(asked) == {f"{old}-r1"}
    assert (await linked(ship, old, f"{old}-r1")).phase is Phase.COMPLETED
    assert await retry_automatically(ship.executions, patient(ship, 3), old) == f"{old}-r1"

    assert types_of(await ship.history(old)).count("ExecutionRetried") == 1
    assert types_of(await ship.history(f"{old}-r1")).count("AttemptStarted") == 1
    assert await retry_automatically(ship.executions, patient(ship, 3), f"{old}-r1") is None, "it completed"


async def test_a_retry_that_temporal_did_not_hear_of_is_taken_up_again(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "cut-off", voyage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
        settings = ship.settings.model_copy(update={"connect_timeout": 0.5})
        cut_off = ExecutionClient(settings, ship.store, hygiene_from_environment(), writer="orchestrator")
        with pytest.raises(EngineUnreachable, match="could not start 'cut-off-r1' yet"):
            await retry_automatically(cut_off, patient(ship, 1), old)
    waiting = await ship.status("cut-off-r1")
    assert waiting.phase is Phase.PENDING, "a start that will be tried again is no failure"
    again = ExecutionClient(
        ship.settings, ship.store, hygiene_from_environment(), connection=ship.temporal, writer="orchestrator"
    )
    assert await retry_automatically(again, patient(ship, 1), old) == "cut-off-r1"

    assert (await linked(ship, old, "cut-off-r1")).phase is Phase.COMPLETED
    assert (await ship.history("cut-off-r1"))[0].writer == "orchestrator"


async def test_what_began_is_never_retried_by_itself(ship: Harness) -> None:
    ended = await ship.run("blunderer", execution_id="began-and-raised")
    assert failure_of(ended).code == "E401"
    assert await retry_automatically(ship.executions, patient(ship, 5), ended.execution_id) is None
    assert (await ship.status(ended.execution_id)).retried_as is None


async def test_what_somebody_retried_already_is_not_retried_by_itself(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "in-good-hands", voyage)
    by_hand = await ship.executions.retry(old)
    assert await retry_automatically(ship.executions, patient(ship, 5), old) is None
    assert (await ship.status(old)).retried_as == by_hand.execution_id


async def test_an_id_that_is_another_s_or_an_input_that_is_lost_is_left_to_people(ship: Harness, voyage: str) -> None:
    old, other = wreck(ship, "namesake", voyage), wreck(ship, "namesake-r1", "elsewhere")
    assert await retry_automatically(ship.executions, patient(ship, 5), old) is None
    assert await untouched(ship, old, other)
    assert await retry_automatically(ship.executions, patient(ship, 5), "never-heard-of") is None


@asynccontextmanager
async def retrying(bare: Harness, name: str, retries: int) -> AsyncIterator[Harness]:
    """A store and an orchestrator that retries by itself."""
    async with bare.beside(name, lock_timeout=5.0, orchestrated=False) as harness:
        settings = patient(harness, retries)
        async with orchestrating(harness.temporal, harness.store, settings=settings):
            yield replace(harness, settings=settings)


async def test_the_orchestrator_retries_what_nobody_took(bare: Harness) -> None:
    async with retrying(bare, "patient", 2) as dock:
        await dock.start("says_nothing", queue=NOBODY, timeouts=IMPATIENT, execution_id="fogbound")
        for each in ("fogbound", "fogbound-r1"):
            await dock.until_stored(each, ExecutionRetried)
        ended = [await dock.end(each) for each in ("fogbound", "fogbound-r1", "fogbound-r2")]
        # The workflow ends after its verdict has had all its consequences.
        with pytest.raises(Exception, match="Workflow execution failed"):
            await dock.workflow("fogbound-r2").result()
        last = await dock.status("fogbound-r2")

        assert [failure_of(status).code for status in ended] == ["E102"] * 3
        assert [status.retry_of for status in ended] == [None, "fogbound", "fogbound-r1"]
        assert (last.auto_retry, last.retried_as) == (2, None)
        assert await dock.executions.status("fogbound-r3") is None


async def test_the_orchestrator_retries_no_agent_that_raised(bare: Harness) -> None:
    async with retrying(bare, "prudent", 3) as dock:
        queue = dock.settings.agent_queue
        async with dock.runner(agent("blunderer"), queue=queue):
            ended = await dock.end(
                (
                    await dock.executions.start(
                        ExecutionRequest(agent=agent("blunderer"), execution_id="headstrong", timeouts=TIMEOUTS)
                    )
                ).execution_id
            )
            with pytest.raises(Exception, match="Workflow execution failed"):
                await dock.workflow("headstrong").result()

        assert failure_of(ended).code == "E401"
        assert (await dock.status("headstrong")).retried_as is None
        assert await dock.executions.status("headstrong-r1") is None

"""Running one failed execution again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from projector.errors import ExecutionExists
from projector.execution_status import Phase
from tests.temporal.harness import Harness, types_of
from tests.temporal.processes import command
from tests.temporal.retrying import head, linked, refused, retry, untouched, wreck


async def test_one_that_was_already_retried_is_refused_and_its_retry_is_named(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "twice-shy", voyage)
    first = (await retry(ship, old)).out.strip()
    await linked(ship, old, first)
    before = await head(ship)

    refused(await retry(ship, old), 2, f"'{old}' was already retried as '{first}'", "--again")
    assert await head(ship) == before
    shown = await command("show", old, extra=ship.surroundings)
    assert f"already retried as {first}; once more: `execution-status retry {old} --again`" in shown.out


async def test_one_may_be_retried_again_by_somebody_who_asks_for_it(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "once-bitten", voyage)
    plain = await retry(ship, old, "--again")
    first = plain.out.strip()
    assert (plain.code, plain.err) == (0, ""), "there is nothing to say about the first one"
    assert (await linked(ship, old, first)).phase is Phase.COMPLETED
    again = await retry(ship, old, "--again")
    second = again.out.strip()

    assert (again.code, again.err) == (0, f"'{old}' was already retried as '{first}': this is one more\n")
    assert (await linked(ship, old, second)).phase is Phase.COMPLETED
    assert first != second
    assert (await ship.status(first)).auto_retry == 0


async def test_a_retry_with_an_id_of_its_own_may_be_asked_for_again(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "asked-twice", voyage)
    asked = await asyncio.gather(*(ship.executions.retry(old, new_id="asked-twice-again") for _ in range(4)))
    assert {each.execution_id for each in asked} == {"asked-twice-again"}
    await linked(ship, old, "asked-twice-again")
    again = await ship.executions.retry(old, new_id="asked-twice-again")

    assert again.execution_id == "asked-twice-again"
    assert types_of(await ship.history(old)).count("ExecutionRetried") == 1
    assert types_of(await ship.history("asked-twice-again")).count("AttemptStarted") == 1


async def test_a_retry_does_not_take_the_id_of_something_else(ship: Harness, voyage: str) -> None:
    old, other = wreck(ship, "on-the-rocks", voyage), wreck(ship, "another-wreck", voyage)
    with pytest.raises(ExecutionExists):
        await ship.executions.retry(old, new_id=other)
    assert await untouched(ship, old, other)


async def test_a_retry_may_begin_later(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "next-tide", voyage)
    started = await ship.executions.retry(old, start_delay=timedelta(seconds=1.5))
    waiting = await ship.status(started.execution_id)
    ended = await linked(ship, old, started.execution_id)

    assert waiting.last_event == "ExecutionRequested"
    assert ended.requested_at and ended.started_at
    assert ended.started_at - ended.requested_at >= timedelta(seconds=1.5)


async def test_one_that_is_to_begin_later_can_be_stopped_at_once(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "tide-too-late", voyage)
    started = await ship.executions.retry(old, start_delay=timedelta(minutes=10))
    await ship.executions.cancel(started.execution_id, "fog")

    ended = await ship.end(started.execution_id, within=10)
    assert (ended.phase, ended.cancellation_reason, ended.attempt) == (Phase.CANCELLED, "fog", 0)

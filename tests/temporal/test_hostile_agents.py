"""Whatever an agent raises, yields or returns ends the execution with its own reason, never with a timeout."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from projector.events import AttemptFailed, AttemptFinished, AttemptStarted, Timeouts, Unreadable
from projector.execution_status import ExecutionStatus, Phase
from tests.hostile import HOSTILE
from tests.temporal.harness import Harness, failure_of
from tests.temporal.odd_agents import NOT_STEPS, ODD, RESULTS

AT_ONCE: Final = 6
"""How many run together: the errors of 100 MB need room."""
PATIENT: Final = Timeouts(schedule_to_start=60, heartbeat=20, start_to_close=60)
"""Making a text of 100 MB holds up every thread of the runner; a timeout here must mean that the reason was lost."""

REFUSED: Final = {
    "3 MB": ("ResultTooLarge", "3,000,002 bytes"),
    "a lock": ("ResultNotSerialisable", "lock"),
    "a cycle": ("ResultNotSerialisable", "ircular"),
    "half a whale": ("ResultNotSerialisable", "surrogates not allowed"),
    "a nest of 10,000": ("ResultNotSerialisable", "not plain JSON data"),
}
ACCEPTED: Final = {
    "NaN": {"depth": "NaN", "height": "Infinity"},
    "a set of bytes": ["anchor"],
}

Ends = dict[str, ExecutionStatus]


async def _run_all(ship: Harness, name: str, inputs: list[str]) -> Ends:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(input: str) -> ExecutionStatus:
        async with room:
            return await ship.run(name, input, within=60, timeouts=PATIENT)

    return dict(zip(inputs, await asyncio.gather(*map(one, inputs)), strict=True))


@pytest.fixture(scope="module")
async def pessimists(ship: Harness) -> Ends:
    return await _run_all(ship, "pessimist", list(HOSTILE))


@pytest.fixture(scope="module")
async def results(ship: Harness) -> Ends:
    return await _run_all(ship, "gives_a_result", list(RESULTS))


@pytest.fixture(scope="module")
async def odd_steps(ship: Harness) -> Ends:
    return await _run_all(ship, "takes_odd_steps", list(ODD))


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_error_ends_the_execution_with_its_own_reason(pessimists: Ends, name: str) -> None:
    hostile, failure = HOSTILE[name], failure_of(pessimists[name])

    assert failure.cause is not None
    assert failure.cause.type.startswith(hostile.root)
    assert hostile.says in failure.cause.message
    assert hostile.says in failure.message
    assert "AttemptFailed: " in failure.evidence[0]


@pytest.mark.parametrize("name", HOSTILE)
async def test_the_verdict_on_a_hostile_error_is_sooner_than_any_timeout(
    ship: Harness, pessimists: Ends, name: str
) -> None:
    history = await ship.history(pessimists[name].execution_id)
    began = next(record.time for record in history if isinstance(record.event, AttemptStarted))

    assert (history[-1].time - began).total_seconds() < PATIENT.heartbeat


async def test_hostile_errors_are_the_agents_own_unless_a_provider_is_to_blame(pessimists: Ends) -> None:
    codes = {name: failure_of(status).code for name, status in pessimists.items()}

    assert {name for name, code in codes.items() if code != "E401"} == {"10,000 nested groups"}
    assert codes["10,000 nested groups"] == "E402"  # at its heart the far side hung up


async def test_the_runner_that_met_every_hostile_error_still_works(ship: Harness, pessimists: Ends) -> None:
    status = await ship.run("says_nothing")

    assert {each.runner for each in pessimists.values()} == {status.runner}
    assert status.phase is Phase.COMPLETED


@pytest.mark.parametrize("name", REFUSED)
async def test_a_result_that_cannot_travel_is_refused_with_the_reason(results: Ends, name: str) -> None:
    failure = failure_of(results[name])
    kind, says = REFUSED[name]

    assert failure.code == "E403"
    assert failure.cause is not None and failure.cause.type == kind
    assert says in failure.message


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_result_with_values_that_json_lacks_is_made_fit(ship: Harness, results: Ends, name: str) -> None:
    assert results[name].phase is Phase.COMPLETED
    assert results[name].output == ACCEPTED[name]
    assert (await ship.workflow(results[name].execution_id).result())["output"] == ACCEPTED[name]


async def test_a_result_reaches_temporal_as_it_is_and_the_store_clean(ship: Harness, results: Ends) -> None:
    status = results["a NUL"]

    assert status.output == {"log": "beforeafter"}
    assert (await ship.workflow(status.execution_id).result())["output"] == {"log": "before\0after"}


async def test_a_large_result_reaches_temporal_whole_and_the_store_as_a_preview(ship: Harness, results: Ends) -> None:
    status = results["1 MB"]

    assert status.phase is Phase.COMPLETED
    assert (await ship.workflow(status.execution_id).result())["output"] == RESULTS["1 MB"]()
    assert status.output["truncated"] is True
    assert status.output["original_bytes"] > 1_000_000


@pytest.mark.parametrize("name", ODD)
async def test_odd_steps_are_stored_in_a_form_that_can_be_read_again(ship: Harness, odd_steps: Ends, name: str) -> None:
    status = odd_steps[name]
    history = await ship.history(status.execution_id)

    assert (status.phase, status.output) == (Phase.COMPLETED, "still afloat")
    assert status.events_processed == len(ODD[name]())
    assert not [record for record in history if isinstance(record.event, Unreadable)]
    assert max(len(record.event.model_dump_json()) for record in history) <= 65_536


@pytest.mark.parametrize("name", NOT_STEPS)
async def test_a_thing_that_is_no_step_fails_the_execution_and_is_named(ship: Harness, name: str) -> None:
    failure = failure_of(await ship.run("not_a_step", name))

    assert failure.code == "E401"
    assert f"the agent yielded {type(NOT_STEPS[name]).__name__}, which is not a step" in failure.message


@pytest.mark.parametrize(
    ("name", "root", "says"),
    [
        ("deserter", "asyncio.CancelledError", "over the side"),
        ("talks_like_temporal", "temporalio.exceptions.CancelledError", "called off by nobody"),
        ("saboteur", "SystemExit", "3"),
    ],
)
async def test_an_end_that_nobody_asked_for_is_the_agents_failure(
    ship: Harness, name: str, root: str, says: str
) -> None:
    status = await ship.run(name)
    failure = failure_of(status)

    assert failure.code == "E401"
    assert failure.cause is not None
    assert (failure.cause.type, failure.cause.message) == (root, says)


@pytest.mark.parametrize("name", ["slams_the_hatch", "jams_the_hatch"])
async def test_how_an_agent_closes_after_its_result_cannot_change_or_delay_the_end(ship: Harness, name: str) -> None:
    status = await ship.run(name)
    history = await ship.history(status.execution_id)
    began = next(record.time for record in history if isinstance(record.event, AttemptStarted))

    assert (status.phase, status.output) == (Phase.COMPLETED, "all stowed")
    assert (history[-1].time - began).total_seconds() < PATIENT.heartbeat
    assert [type(record.event) for record in history[-2:-1]] == [AttemptFinished]
    assert not [record for record in history if isinstance(record.event, AttemptFailed)]

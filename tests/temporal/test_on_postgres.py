"""A short cut through all of it with the store on PostgreSQL; with `--store postgres` the whole suite runs there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from projector.events import AttemptFinished, ExecutionStarted, MessageAppended, TerminalEvent, ToolCallStarted
from projector.execution_status import ExecutionStatus, Phase, fold
from projector.opening import open_queries
from projector.projecting.rebuild import rebuild
from tests.engines import POSTGRES
from tests.tables import folded, statuses
from tests.temporal import agents
from tests.temporal.harness import HEALTHY_QUEUE, Harness, agent, failure_of, installed
from tests.temporal.processes import Ended, command, program, until
from tests.temporal.supervising import TIMEOUTS, runners, served

NOTHING = agent("says_nothing")


@pytest.fixture(scope="module")
async def port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """An installation whose store is on PostgreSQL, with a runner that serves every test agent."""
    folder = tmp_path_factory.mktemp("port")
    async with (
        installed(folder, POSTGRES, startup_grace=0.5, reconcile_interval=1.0) as harness,
        harness.runner(*agents.SERVED, queue=HEALTHY_QUEUE),
    ):
        yield harness


@pytest.fixture(scope="module")
async def sounding(port: Harness) -> ExecutionStatus:
    return await port.run("surveyor", "How deep is the bank?", session_id="voyage-7")


async def test_an_agent_s_work_is_there_in_its_order_and_its_row_is_the_fold(
    port: Harness, sounding: ExecutionStatus
) -> None:
    history = await port.history(sounding.execution_id)

    assert sounding.phase is Phase.COMPLETED
    assert [record.version for record in history] == list(range(1, len(history) + 1))
    assert [record.position for record in history] == sorted(record.position for record in history)
    await port.projected()
    async with open_queries(port.settings) as queries:
        assert await queries.execution(sounding.execution_id) == fold(None, history)


async def test_every_command_that_reads_says_the_same(port: Harness, sounding: ExecutionStatus) -> None:
    await port.projected()
    asked = ("show", sounding.execution_id), ("list", "--session", "voyage-7"), ("replay", sounding.execution_id)
    shown, listed, replayed = await asyncio.gather(
        *(command(*words, "--json", extra=port.surroundings) for words in asked)
    )

    status = json.loads(shown.out)
    assert (status["phase"], status["version"]) == ("COMPLETED", sounding.version)
    assert json.loads(listed.out) == status
    assert json.loads(replayed.out.splitlines()[-1])["version"] == sounding.version


async def test_a_watch_that_is_killed_goes_on_at_its_position_to_the_end(port: Harness) -> None:
    sail = port.folder / "a sail of the watch"
    execution_id = await port.start("waits_for_a_file", str(sail))
    async with port.watch(execution_id, "first-watch") as first:
        await until(lambda: "ToolCallStarted" in first.printed(), within=20)
    sail.touch()
    seen = [json.loads(line) for line in first.printed().splitlines(keepends=True) if line.endswith("\n")]
    rest = await command("watch", execution_id, "--json", "--after", str(seen[-1]["position"]), extra=port.surroundings)

    assert rest.code == 0
    versions = [line["version"] for line in [*seen, *map(json.loads, rest.out.splitlines())]]
    assert versions == list(range(1, (await port.end(execution_id)).version + 1))


async def test_a_runner_that_cannot_start_is_e101_and_says_why(port: Harness) -> None:
    async with port.starting_runner("ballast.nowhere:agent", queue="dry dock") as runner:
        assert await runner.exits() == 1
    failure = failure_of(await port.run("surveyor", queue="dry dock"))

    assert failure.code == "E101"
    assert "No module named 'ballast'" in failure.message
    assert [(row.state, row.error_type) for row in await runners(port, "dry dock")] == [
        ("startup_failed", "ModuleNotFoundError")
    ]


async def test_a_runner_that_is_killed_is_e201_long_before_a_heartbeat_is_missed(port: Harness) -> None:
    async with served(port, "reef", agent("dives")) as (_, runner):
        execution_id = await port.start("dives", queue="reef", timeouts=TIMEOUTS)
        await port.until_event(execution_id, ToolCallStarted)
        os.kill(runner.pid, signal.SIGKILL)
        failure = failure_of(await port.end(execution_id, within=15))

    assert failure.code == "E201"
    assert "signal SIGKILL" in failure.message and "while it used the tool 'diving_bell'" in failure.message


async def test_executions_that_fail_alike_are_one_group_and_a_retry_is_linked(port: Harness) -> None:
    first, second = await asyncio.gather(port.run("blunderer"), port.run("blunderer"))
    await port.projected()
    groups = await command("failures", "--json", extra=port.surroundings)
    retried = await command("retry", first.execution_id, extra=port.surroundings)
    again = await port.end(retried.out.strip())

    assert failure_of(second).code == failure_of(again).code == "E401"
    assert again.retry_of == first.execution_id
    assert (await port.status(first.execution_id)).retried_as == again.execution_id
    assert [
        group["executions"] for group in map(json.loads, groups.out.splitlines()) if "test error" in group["message"]
    ] == [2]


async def test_a_workflow_that_is_terminated_is_e602(port: Harness) -> None:
    execution_id = await port.start("dives", queue="nobody-at-the-pier", timeouts=TIMEOUTS)
    await port.until_event(execution_id, ExecutionStarted)
    await port.workflow(execution_id).terminate(reason="fog in the channel")
    failure = failure_of(await port.end(execution_id, within=15))

    assert failure.code == "E602"
    assert "fog in the channel" in failure.message


async def test_an_execution_that_runs_is_cancelled(port: Harness) -> None:
    execution_id = await port.start("tidy")
    await port.until_event(execution_id, MessageAppended)
    ended = await command("cancel", execution_id, "--reason", "the ferry has left", extra=port.surroundings)
    status = await port.end(execution_id)

    assert ended.code == 0
    assert (status.phase, status.cancellation_reason) == (Phase.CANCELLED, "the ferry has left")


async def test_a_verdict_that_is_due_while_nobody_can_write_comes_later_and_once(port: Harness) -> None:
    async with (
        port.beside("locked", lock_timeout=0.5, orchestrated=True) as harness,
        harness.runner(agent("waits_for_a_file"), queue=harness.settings.agent_queue) as runner,
    ):
        sail = harness.folder / "a sail"
        execution_id = await harness.start("waits_for_a_file", str(sail))
        await harness.until_event(execution_id, ToolCallStarted)
        with harness.locked():
            sail.touch()
            await runner.says("appends wait for the store")
            ended_meanwhile = (await harness.status(execution_id)).phase.is_terminal
        status = await harness.end(execution_id)
        await harness.until_stored(execution_id, AttemptFinished)
        history = await harness.history(execution_id)

    assert not ended_meanwhile
    assert (status.phase, status.output) == (Phase.COMPLETED, "five sails")
    assert len([record for record in history if isinstance(record.event, TerminalEvent)]) == 1
    assert len({record.id for record in history}) == len(history)


async def test_after_all_that_the_tables_are_what_the_store_says(port: Harness) -> None:
    await port.projected()
    report = await asyncio.to_thread(rebuild, port.store, verify_only=True)

    assert report.differences == ()
    assert await asyncio.to_thread(statuses, port.store) == await asyncio.to_thread(folded, port.store)


# --- everything with one command -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """What commands said while `up` ran on a database, and how it ended."""

    followed: Ended
    listed: Ended
    shown: Ended
    watched: Ended
    checked: Ended
    verified: Ended
    code: int
    said: str


@pytest.fixture(scope="module")
async def day(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    folder = tmp_path_factory.mktemp("up on postgres")
    with POSTGRES.make_place(folder) as place:
        here = {"EXECUTION_STATUS_DATA_DIR": str(folder / "data"), "EXECUTION_STATUS_GRACE": "2"}
        there = here | {"EXECUTION_STATUS_STORE": place}
        async with program("up", "--store", place, "--agent", NOTHING, folder=folder, name="up", extra=here) as running:
            await running.says("now: execution-status start")
            followed = await command(
                "start", "--agent", NOTHING, "--id", "tide-1", "--follow", "--json", extra=there, within=90
            )
            listed, shown, watched, checked = await asyncio.gather(
                command("list", "--json", extra=there),
                command("show", "tide-1", "--json", extra=there),
                command("watch", "tide-1", "--json", "--store", place, extra=here),
                command("doctor", "--json", extra=there),
            )
            verified = await command("rebuild", "--verify", "--json", extra=there)
            running.process.send_signal(signal.SIGINT)
            code = await running.exits()
        yield Day(followed, listed, shown, watched, checked, verified, code, running.said())


def test_up_serves_an_execution_to_its_end(day: Day) -> None:
    assert day.followed.code == 0, day.followed
    assert json.loads(day.followed.out.splitlines()[-1])["type"] == "ExecutionCompleted"
    assert "event store  postgresql://" in day.said


def test_other_processes_list_show_and_watch_it(day: Day) -> None:
    status = json.loads(day.shown.out)

    assert (day.listed.code, day.shown.code, day.watched.code) == (0, 0, 0)
    assert (status["execution_id"], status["phase"]) == ("tide-1", "COMPLETED")
    assert json.loads(day.listed.out) == status
    assert [json.loads(line)["version"] for line in day.watched.out.splitlines()] == list(
        range(1, status["version"] + 1)
    )


def test_doctor_and_verify_are_content(day: Day) -> None:
    assert day.checked.code == 0, day.checked
    assert (day.verified.code, json.loads(day.verified.out)["differences"]) == (0, [])


def test_up_ends_when_it_is_told(day: Day) -> None:
    assert day.code == 0
    assert "Traceback" not in day.said

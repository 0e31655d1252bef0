"""Running failed executions again: one, a whole group of them, and those that never began by themselves."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any, Final

import pytest

from projector.catalogue import Code
from projector.envelope import END_EVENT_ID, NewEvent, execution_stream
from projector.errors import EngineUnreachable, ExecutionExists
from projector.events import ExecutionFailed, ExecutionRequested, ExecutionRetried, ExecutionStarted, Timeouts
from projector.execution_status import ExecutionStatus, Phase
from projector.failures import Cause, Truncation, build_failure
from projector.opening import hygiene_from_environment
from tests.temporal.harness import TIMEOUTS, Harness, agent, failure_of, types_of
from tests.temporal.processes import COMMAND, ROOT, Ended, command, environment
from workflows.client import ExecutionClient, ExecutionRequest
from workflows.orchestrator import orchestrating
from workflows.recovery import retry_automatically, retry_unnamed
from workflows.settings import OrchestratorSettings

ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
IMPATIENT: Final = Timeouts(schedule_to_start=1, heartbeat=2, start_to_close=30)
NOBODY: Final = "nobody-ever"
"""A queue without runners."""

_voyages: Final = count(1)


@pytest.fixture
def voyage() -> str:
    """A session of the test's own, by which its group is told from others."""
    return f"voyage-{next(_voyages)}"


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def wreck(
    ship: Harness,
    execution_id: str,
    voyage: str,
    *,
    code: Code = Code.RUNNER_UNAVAILABLE,
    ended: float = 1.0,
    requested: ExecutionRequested | None = None,
) -> str:
    """Leave a failed execution in the store that ended so many minutes ago; run again, it completes."""
    request = requested or ExecutionRequested(
        agent=agent("says_nothing"),
        input="How deep?",
        session_id=voyage,
        task_queue=ship.settings.agent_queue,
        timeouts=TIMEOUTS,
    )
    failure = build_failure(code, cause=Cause(type="Storm", message="the harbour was closed"), queue="survey")
    ship.store.append(
        execution_stream(execution_id),
        [
            NewEvent("asked", minutes_ago(ended + 1), "client", request),
            NewEvent(END_EVENT_ID, minutes_ago(ended), "orchestrator", ExecutionFailed(failure=failure)),
        ],
    )
    return execution_id


async def retry(ship: Harness, *arguments: str, extra: dict[str, str] | None = None) -> Ended:
    return await command("retry", *arguments, extra=ship.surroundings | (extra or {}))


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def refused(ended: Ended, code: int, *parts: str) -> None:
    """A refusal is its exit code and one line on stderr."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err
    for part in parts:
        assert part in ended.err


async def head(ship: Harness) -> int:
    return await asyncio.to_thread(ship.store.head)


async def untouched(ship: Harness, *execution_ids: str) -> bool:
    """Whether these hold nothing but their request and their end."""
    return all(
        [types_of(await ship.history(each)) == ["ExecutionRequested", "ExecutionFailed"] for each in execution_ids]
    )


async def linked(ship: Harness, old: str, new: str) -> ExecutionStatus:
    """The end of a retry, which must be linked with what it repeats in both directions."""
    status = await ship.end(new)
    before = await ship.status(old)
    assert (status.retry_of, before.retried_as, before.late_events) == (old, new, 0)
    assert before.phase is Phase.FAILED
    return status


# --- one -----------------------------------------------------------------------------------------------------------


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


# --- a group -------------------------------------------------------------------------------------------------------


async def test_a_dry_run_shows_the_group_and_does_nothing(ship: Harness, voyage: str) -> None:
    ids = [wreck(ship, f"dry-{number}", voyage) for number in range(3)]
    wreck(ship, "dry-other-cause", voyage, code=Code.AGENT_FAILED)
    await ship.projected()
    before = await head(ship)
    group = ("--code", "E102", "--session", voyage, "--dry-run")
    table, as_json = await asyncio.gather(retry(ship, *group), retry(ship, *group, "--json"))

    assert (table.code, table.err) == (0, "3 would be retried\n")
    assert table.out.splitlines()[0].split() == ["ID", "AGE", "AGENT", "MESSAGE"]
    assert [row.split()[0] for row in table.out.splitlines()[1:]] == ids[::-1]
    assert re.search(r"dry-0 +2m( \d+s)? +tests.temporal.agents:says_nothing +E102 No runner took", table.out)
    assert [line["execution_id"] for line in lines(as_json)] == ids[::-1]
    assert lines(as_json)[0].keys() == {"execution_id", "code", "message", "finished_at"}
    assert lines(as_json)[0]["code"] == "E102"
    assert lines(as_json)[0]["message"] == failure_of(await ship.status(ids[-1])).message
    assert datetime.fromisoformat(lines(as_json)[0]["finished_at"]) < minutes_ago(0.9)
    assert await head(ship) == before


async def test_a_group_is_retried_one_by_one_and_each_is_linked_both_ways(ship: Harness, voyage: str) -> None:
    ids = [wreck(ship, f"fleet-{number}", voyage) for number in range(3)]
    others = [wreck(ship, "fleet-e101", voyage, code=Code.RUNNER_STARTUP_FAILED), wreck(ship, "fleet-far", "far-away")]
    await ship.projected()
    group = ("--category", "runner_unavailable", "--session", voyage, "--yes")
    ended = await retry(ship, *group, "--json")
    pairs = {line["execution_id"]: line["retried_as"] for line in lines(ended)}

    assert (ended.code, ended.err) == (0, "3 of 3 retried\n")
    assert pairs == {each: f"{each}-r1" for each in reversed(ids)}
    for old, new in pairs.items():
        assert (await linked(ship, old, new)).phase is Phase.COMPLETED
    assert await untouched(ship, *others)

    again = await retry(ship, *group)
    assert (again.code, again.out) == (0, "")
    assert again.err == "no failed execution is like that and was not retried yet\n"


async def test_those_that_were_retried_already_are_left_out_also_while_no_row_says_so(
    ship: Harness, voyage: str
) -> None:
    retried, waiting = wreck(ship, "back-at-sea", voyage), wreck(ship, "in-the-dock", voyage)
    await ship.projected()
    link = ExecutionRetried(retried_as="back-at-sea-again")
    ship.store.append(execution_stream(retried), [NewEvent("link", datetime.now(UTC), "client", link)])
    ended = await retry(ship, "--code", "e102", "--session", voyage, "--yes")

    assert (ended.code, ended.out) == (0, f"{waiting} → {waiting}-r1\n")


async def test_of_a_time_and_up_to_a_number_the_newest_are_taken(ship: Harness, voyage: str) -> None:
    for minutes in (300, 100, 50, 20, 5):
        wreck(ship, f"{voyage}-{minutes}-minutes-ago", voyage, ended=minutes)
    await ship.projected()

    async def shown(*arguments: str) -> list[int]:
        ended = await retry(ship, "--code", "E102", "--session", voyage, "--dry-run", "--json", *arguments)
        assert ended.code == 0, ended
        return [int(line["execution_id"].split("-")[2]) for line in lines(ended)]

    day = f"{minutes_ago(60 * 24):%Y-%m-%d}"
    assert list(
        await asyncio.gather(
            shown("--since", "1h"),
            shown("--since", "2h", "--until", "30m"),
            shown("--until", minutes_ago(90).isoformat()),
            shown("--since", day, "--limit", "2"),
            shown("--since", "30s"),
        )
    ) == [[5, 20, 50], [50, 100], [100, 300], [5, 20], []]


async def test_without_a_terminal_and_without_yes_nothing_is_retried(ship: Harness, voyage: str) -> None:
    ids = [wreck(ship, "unasked-1", voyage), wreck(ship, "unasked-2", voyage)]
    await ship.projected()

    refused(await retry(ship, "--code", "E102", "--session", voyage), 2, "no terminal", "--dry-run", "--yes")
    assert await untouched(ship, *ids)


async def test_one_that_cannot_be_started_does_not_stop_the_others(ship: Harness, voyage: str) -> None:
    cut = ExecutionRequested(
        agent=agent("says_nothing"),
        input="a very long",
        session_id=voyage,
        task_queue=ship.settings.agent_queue,
        truncated=(Truncation(field="input", original_bytes=900_000, sha256="5994471abb01112afcc18159f6cc74b4"),),
    )
    ids = [
        wreck(ship, "bound-north", voyage),
        wreck(ship, "overloaded", voyage, requested=cut),
        wreck(ship, "bound-south", voyage),
    ]
    wreck(ship, "bound-south-r1", "not-a-retry")
    await ship.projected()
    ended = await retry(ship, "--code", "E102", "--session", voyage, "--yes", "--json")
    *said, summary = ended.err.splitlines()

    assert ended.code == 4
    assert lines(ended) == [{"execution_id": "bound-north", "retried_as": "bound-north-r1"}]
    assert summary == "1 of 3 retried; could not be: bound-south, overloaded"
    assert "an execution 'bound-south-r1' exists already" in said[0]
    assert "the input of 'overloaded' was too large to be kept" in said[1]
    assert (await linked(ship, "bound-north", "bound-north-r1")).phase is Phase.COMPLETED
    assert await untouched(ship, *ids[1:])


async def test_while_temporal_is_away_a_group_is_left_as_it_is(ship: Harness, voyage: str) -> None:
    ids = [wreck(ship, "ashore-1", voyage), wreck(ship, "ashore-2", voyage)]
    await ship.projected()
    extra = {"TEMPORAL_ADDRESS": "127.0.0.1:1", "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"}
    ended = await retry(ship, "--code", "E102", "--session", voyage, "--yes", extra=extra)

    refused(ended, 4, "127.0.0.1:1")
    assert await untouched(ship, *ids)


async def test_two_people_with_the_same_command_start_one_retry_each(ship: Harness, voyage: str) -> None:
    ids = [wreck(ship, f"doubled-{number}", voyage) for number in range(4)]
    await ship.projected()
    before = await head(ship)
    ended = await asyncio.gather(*(retry(ship, "--code", "E102", "--session", voyage, "--yes") for _ in range(2)))
    assert [each.code for each in ended] == [0, 0], ended
    for old in ids:
        assert (await linked(ship, old, f"{old}-r1")).phase is Phase.COMPLETED
        assert types_of(await ship.history(f"{old}-r1")).count("AttemptStarted") == 1

    since = await asyncio.to_thread(lambda: ship.store.tail(after=before, limit=10_000))
    requests = [record for record in since if isinstance(record.event, ExecutionRequested)]
    assert sorted(record.stream for record in requests) == [execution_stream(f"{old}-r1") for old in ids]


USAGE: Final[tuple[tuple[list[str], str], ...]] = (
    ([], "name what to retry: the id of one execution, or a group by --code or --category"),
    (["--since", "1h"], "name what to retry"),
    (["adrift", "--code", "E101"], "'adrift' is one execution"),
    (["adrift", "--dry-run"], "give the one or the others"),
    (["adrift", "--since", "1h"], "give the one or the others"),
    (["--code", "E000"], "'E000' is not a failure code"),
    (["--category", "bad_luck"], "'bad_luck' is not a failure category"),
    (["--code", "E101", "--since", "yesterday"], "'yesterday' is not a time: say how long ago"),
    (["--code", "E101", "--until", "-1h"], "'-1h' is not a time"),
    (["--code", "E101", "--since", "1h", "--until", "2h"], "nothing can have ended in that time"),
    (["--code", "E101", "--limit", "0"], "--limit"),
    (["--code", "E101", "--again"], "--again is for one execution"),
)


async def test_what_makes_no_sense_is_refused_in_one_line(ship: Harness) -> None:
    room = asyncio.Semaphore(3)

    async def one(arguments: Sequence[str]) -> Ended:
        async with room:
            return await retry(ship, *arguments)

    before = await head(ship)
    ended = await asyncio.gather(*(one(arguments) for arguments, _ in USAGE))
    for each, (_, words) in zip(ended, USAGE, strict=True):
        refused(each, 2, words)
    assert await head(ship) == before


# --- a group, asked about on a terminal ----------------------------------------------------------------------------


def at_a_terminal(ship: Harness, answer: str, *arguments: str, piped: bool = False) -> tuple[int, str, str]:
    """Run the command on a terminal and answer its question; returns exit code, what it showed, and what it piped."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, "retry", *arguments],
        env=environment(ship.surroundings | {"TERM": "xterm-256color"}),
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen, answered = b"", False
    try:
        while select.select([ours], [], [], 60)[0] and (part := os.read(ours, 65536)):
            seen += part
            if not answered and b"[y/N] " in seen:
                os.write(ours, answer.encode() + b"\n")
                answered = True
    except OSError:  # how Linux says that the other side has closed
        pass
    finally:
        os.close(ours)
        if not answered:
            process.kill()
        out = process.stdout.read().decode() if process.stdout else ""
        code = process.wait(30)
        if process.stdout:
            process.stdout.close()
    return code, ESCAPE.sub("", seen.decode()).replace("\r\n", "\n"), out


async def test_a_person_who_says_yes_gets_them_retried(ship: Harness, voyage: str) -> None:
    ids = [wreck(ship, "asked-1", voyage), wreck(ship, "asked-2", voyage)]
    await ship.projected()
    code, seen, _ = await asyncio.to_thread(at_a_terminal, ship, "y", "--code", "E102", "--session", voyage)

    assert code == 0
    listed, _, done = seen.partition("Retry these 2? [y/N] ")
    assert all(each in listed for each in ids)
    assert "asked-1 → asked-1-r1" in done and "2 of 2 retried" in done
    for old in ids:
        assert (await linked(ship, old, f"{old}-r1")).phase is Phase.COMPLETED


async def test_results_may_be_piped_while_the_question_is_asked(ship: Harness, voyage: str) -> None:
    old = wreck(ship, "piped", voyage)
    await ship.projected()
    code, seen, out = await asyncio.to_thread(
        lambda: at_a_terminal(ship, "yes", "--code", "E102", "--session", voyage, "--json", piped=True)
    )

    assert code == 0
    assert old in seen and "Retry it? [y/N]" in seen
    assert out == f'{{"execution_id": "{old}", "retried_as": "{old}-r1"}}\n', "and nothing of the question"


@pytest.mark.parametrize("answer", ["n", "", "yesterday", "\x04"], ids=["no", "nothing", "a word", "end of input"])
async def test_a_person_who_does_not_say_yes_gets_nothing_retried(ship: Harness, voyage: str, answer: str) -> None:
    old = wreck(ship, f"spared-{voyage}", voyage)
    await ship.projected()
    code, seen, _ = await asyncio.to_thread(at_a_terminal, ship, answer, "--code", "E102", "--session", voyage)

    assert code == 0
    assert "nothing was retried" in seen
    assert await untouched(ship, old)


async def test_the_question_says_when_the_agents_had_begun(ship: Harness, voyage: str) -> None:
    wreck(ship, "half-done", voyage, code=Code.RUNNER_CRASHED)
    await ship.projected()
    group = ("--code", "E201", "--session", voyage)
    _, seen, _ = await asyncio.to_thread(at_a_terminal, ship, "n", *group)
    dry = await retry(ship, *group, "--dry-run")

    warning = ", although its agent had begun, and what was done already is not undone"
    assert f"Retry it{warning}?" in seen
    assert dry.err == f"1 would be retried{warning}\n"


# --- by itself -----------------------------------------------------------------------------------------------------


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


# --- by itself, by the orchestrator --------------------------------------------------------------------------------


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

"""The commands that ask for something, as people type them: what they print, what they refuse, how they exit."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from projector.bounds import LONGEST
from projector.events import ExecutionFailed, ExecutionRequested, ExecutionRetried
from projector.execution_status import Phase
from runner.contracts import INPUT_LIMIT
from tests.processes import child
from tests.store_processes import hold_lock, open_sqlite, sqlite_locked
from tests.temporal.harness import Harness, agent, failure_of, types_of
from tests.temporal.processes import Ended, command

NOTHING: Final = agent("says_nothing")


async def start(ship: Harness, *arguments: str, extra: dict[str, str] | None = None, stdin: bytes = b"") -> Ended:
    return await command("start", *arguments, extra=ship.surroundings | (extra or {}), stdin=stdin)


def assert_one_line(ended: Ended, code: int, *parts: str) -> None:
    """A refusal is its exit code and one line on stderr."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err
    for part in parts:
        assert part in ended.err


@pytest.fixture(scope="module")
async def followed(ship: Harness) -> dict[str, Ended]:
    """`start --follow` of one that completes and one that fails."""
    names = {"completes": ("surveyor", []), "fails": ("blunderer", ["--json"])}
    ended = await asyncio.gather(
        *(
            start(ship, "--agent", agent(name), "--input", "How deep?", "--id", f"cli-{how}", "--follow", *flags)
            for how, (name, flags) in names.items()
        )
    )
    return dict(zip(names, ended, strict=True))


async def test_start_prints_the_id_and_nothing_else(ship: Harness) -> None:
    plain, as_json = await asyncio.gather(
        start(ship, "--agent", NOTHING),
        start(ship, "--agent", NOTHING, "--id", "cli-json", "--session", "voyage-9", "--json"),
    )

    assert (plain.code, plain.err, as_json.code, as_json.err) == (0, "", 0, "")
    assert json.loads(as_json.out) == {"execution_id": "cli-json"}
    assert (await ship.end(plain.out.strip())).phase is Phase.COMPLETED
    assert (await ship.end("cli-json")).session_id == "voyage-9"


def test_start_and_follow_exits_with_0_when_the_execution_completes(followed: dict[str, Ended]) -> None:
    ended = followed["completes"]

    assert ended.code == 0
    assert ended.out.startswith("cli-completes\n")
    assert "COMPLETED" in ended.out


def test_start_and_follow_exits_with_1_when_it_fails_and_ends_with_the_reason(followed: dict[str, Ended]) -> None:
    lines = [json.loads(line) for line in followed["fails"].out.splitlines()]

    assert followed["fails"].code == 1
    assert [line["version"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["status"]["message"] == "ValueError: test error"


async def test_the_input_may_come_from_a_file_or_from_standard_input(ship: Harness, tmp_path: Path) -> None:
    orders = tmp_path / "orders.txt"
    orders.write_text("Sound the bank, größer als 40 fathoms.\n", encoding="utf-8")
    await asyncio.gather(
        start(ship, "--agent", NOTHING, "--id", "cli-file", "--input", f"@{orders}"),
        start(ship, "--agent", NOTHING, "--id", "cli-pipe", "--input", "-", stdin="von der Brücke".encode()),
    )

    assert (await ship.end("cli-file")).input == "Sound the bank, größer als 40 fathoms.\n"
    assert (await ship.end("cli-pipe")).input == "von der Brücke"


async def test_the_longest_times_that_are_allowed_can_be_used(ship: Harness) -> None:
    longest = str(LONGEST)
    limits = ("--schedule-to-start", longest, "--heartbeat-timeout", longest, "--start-to-close", longest)
    ended = await start(ship, "--agent", NOTHING, "--id", "cli-patient", *limits)

    assert (ended.code, ended.err) == (0, "")
    assert (await ship.end("cli-patient")).phase is Phase.COMPLETED


async def test_an_id_that_is_taken_is_refused_and_the_first_execution_is_untouched(
    ship: Harness, followed: dict[str, Ended]
) -> None:
    before = await ship.history("cli-completes")
    ended = await start(ship, "--agent", NOTHING, "--id", "cli-completes")

    assert_one_line(ended, 2, "an execution 'cli-completes' exists already", "choose another --id")
    assert await ship.history("cli-completes") == before


REFUSED: Final = (
    (["--id", "two words"], "'two words' is not an execution id"),
    (["--id", "x" * 201], "is not an execution id"),
    (["--id", "../../etc/passwd"], "is not an execution id"),
    (["--session", "a/b"], "'a/b' is not a session id"),
    (["--agent", "no colon"], "'no colon' is not an agent: name it as package.module:attribute"),
    (["--agent", "os:"], "is not an agent"),
    (["--input", "@no/such/orders.txt"], "the input file no/such/orders.txt cannot be read: No such file"),
    (["--input", "@."], "the input file . cannot be read: Is a directory"),
    (["--heartbeat-timeout", "-1"], "--heartbeat-timeout"),
    (["--start-to-close", "soon"], "--start-to-close"),
    (["--schedule-to-start", "0"], "--schedule-to-start"),
    (["--start-to-close", "nan"], "--start-to-close"),
    (["--start-to-close", "1e300"], "--start-to-close"),
    (["--start-to-close", str(LONGEST + 1)], "--start-to-close"),
    (["--queue", ""], "--queue is empty"),
)


@pytest.fixture(scope="module")
async def refused(ship: Harness) -> list[Ended]:
    """Everything that makes no sense, four at a time; none of it may leave an event."""
    room = asyncio.Semaphore(4)

    async def one(arguments: list[str]) -> Ended:
        async with room:
            return await start(ship, *([] if "--agent" in arguments else ["--agent", NOTHING]), *arguments)

    head = await asyncio.to_thread(ship.store.head)
    ended = await asyncio.gather(*(one(arguments) for arguments, _ in REFUSED))
    assert await asyncio.to_thread(ship.store.head) == head
    return ended


@pytest.mark.parametrize("at", range(len(REFUSED)), ids=[" ".join(arguments)[:40] for arguments, _ in REFUSED])
def test_what_makes_no_sense_is_refused_in_one_line_and_nothing_is_stored(refused: list[Ended], at: int) -> None:
    assert_one_line(refused[at], 2, REFUSED[at][1])


async def test_an_input_file_that_is_not_utf_8_is_refused_with_the_byte(ship: Harness, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("für".encode("latin-1"))

    assert_one_line(
        await start(ship, "--agent", NOTHING, "--input", f"@{latin}"), 2, f"{latin} is not UTF-8: byte 1 is 0xfc"
    )


async def test_an_input_that_is_too_large_is_refused_and_the_limit_named(ship: Harness, tmp_path: Path) -> None:
    large = tmp_path / "large.txt"
    large.write_text("x" * (INPUT_LIMIT + 1))
    both = await asyncio.gather(
        start(ship, "--agent", NOTHING, "--input", f"@{large}"),
        start(ship, "--agent", NOTHING, "--input", "-", stdin=large.read_bytes()),
    )

    for ended in both:
        assert_one_line(ended, 2, "more than 1,000,000 bytes")


async def test_when_temporal_cannot_be_reached_the_execution_exists_and_is_e601(ship: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    extra = {"TEMPORAL_ADDRESS": nobody, "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"}
    ended = await start(ship, "--agent", NOTHING, "--id", "cli-unreachable", extra=extra)
    shown = await command("show", "cli-unreachable", "--json", extra=ship.surroundings)
    status = json.loads(shown.out)

    assert_one_line(ended, 4, "execution 'cli-unreachable' is FAILED E601", nobody)
    assert shown.code == 0
    assert (status["phase"], status["code"], status["retryable"]) == ("FAILED", "E601", True)
    assert nobody in status["message"]
    assert types_of(await ship.history("cli-unreachable")) == ["ExecutionRequested", "ExecutionFailed"]


async def test_a_namespace_that_does_not_exist_is_e601_too(ship: Harness) -> None:
    extra = {"TEMPORAL_NAMESPACE": "atlantis", "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"}
    ended = await start(ship, "--agent", NOTHING, "--id", "cli-atlantis", extra=extra)

    assert_one_line(ended, 4, "FAILED E601", "atlantis")
    assert failure_of(await ship.status("cli-atlantis")).code == "E601"


async def test_a_workflow_that_starts_although_its_execution_has_failed_runs_nothing(ship: Harness) -> None:
    """As when the client's start was accepted, and the answer lost."""
    execution_id = await ship.start("says_nothing", execution_id="cli-late")
    ended = await ship.end(execution_id)
    await ship.workflow(execution_id).result()
    before = await ship.history(execution_id)
    request = {"execution_id": execution_id, "agent": agent("blunderer"), "task_queue": ship.settings.agent_queue}
    again = await ship.temporal.start_workflow(
        "InvokeAgentExecution", request, id=execution_id, task_queue=ship.settings.orchestrator_queue
    )
    await again.result()

    assert ended.phase is Phase.COMPLETED
    assert await ship.history(execution_id) == before


async def test_a_retry_is_a_new_execution_of_the_same_linked_both_ways(
    ship: Harness, followed: dict[str, Ended]
) -> None:
    ended = await command("retry", "cli-fails", "--json", extra=ship.surroundings)
    retried_as = json.loads(ended.out)["execution_id"]
    status = await ship.end(retried_as)
    old = [record.event for record in await ship.history("cli-fails")]
    first = (await ship.history(retried_as))[0].event

    assert (ended.code, status.retry_of, failure_of(status).code) == (0, "cli-fails", "E401")
    assert isinstance(first, ExecutionRequested)
    assert (first.agent, first.input) == (agent("blunderer"), "How deep?")
    assert ExecutionRetried(retried_as=retried_as) in old
    assert (await ship.status("cli-fails")).failure == next(
        event.failure for event in old if isinstance(event, ExecutionFailed)
    )


async def test_one_that_runs_cannot_be_retried_but_can_be_cancelled(ship: Harness) -> None:
    execution_id = await ship.start("tidy", execution_id="cli-running")
    await ship.until(execution_id, lambda change: change.status.phase is Phase.IN_PROGRESS)
    retried = await command("retry", execution_id, extra=ship.surroundings)
    cancelled = await command("cancel", execution_id, "--reason", "fog", extra=ship.surroundings)
    status = await ship.end(execution_id)
    twice = await command("cancel", execution_id, extra=ship.surroundings)

    assert_one_line(retried, 2, "is IN_PROGRESS: only one that has ended can be retried")
    assert (cancelled.code, cancelled.out) == (0, "")
    assert "execution-status watch cli-running" in cancelled.err
    assert status.phase is Phase.CANCELLED
    assert_one_line(twice, 2, "has already ended: it is CANCELLED")


@pytest.mark.parametrize("name", ["cancel", "retry"])
async def test_an_unknown_or_malformed_id_is_refused(ship: Harness, name: str) -> None:
    unknown, malformed = await asyncio.gather(
        command(name, "the-flying-dutchman", extra=ship.surroundings),
        command(name, "a ghost ship", extra=ship.surroundings),
    )

    assert_one_line(unknown, 3, "there is no execution 'the-flying-dutchman'")
    assert_one_line(malformed, 2, "'a ghost ship' is not an execution id")


@pytest.mark.parametrize("arguments", [["cancel", "any"], ["retry", "any"]])
async def test_without_a_store_nothing_is_made(ship: Harness, tmp_path: Path, arguments: Sequence[str]) -> None:
    missing = tmp_path / "nowhere" / "store.db"
    ended = await command(*arguments, extra=ship.surroundings | {"EXECUTION_STATUS_STORE": str(missing)})

    assert_one_line(ended, 4, f"there is no event store at {missing} yet")
    assert not missing.parent.exists()


async def test_doctor_is_content_with_a_healthy_installation(ship: Harness) -> None:
    ended = await command("doctor", "--json", extra=ship.surroundings)
    checks = {check["check"]: check for check in map(json.loads, ended.out.splitlines())}

    assert ended.code == 0, ended
    assert all(check["ok"] for check in checks.values())
    assert ship.address in checks["temporal"]["said"]
    assert "ready" in checks["runners"]["said"]


async def test_doctor_names_the_process_that_keeps_everybody_from_writing(ship: Harness, tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    open_sqlite(place).close()
    with child(hold_lock, sqlite_locked, place) as becalmed:
        becalmed.hear()
        pid = becalmed.stand_still()
        ended = await command("doctor", extra=ship.surroundings | {"EXECUTION_STATUS_STORE": place})

    assert ended.code == 4
    said = next(line for line in ended.out.splitlines() if "write lock" in line)
    assert said.startswith(f"BAD  write lock: nothing can be stored: process {pid} (")
    assert f"is stopped (SIGSTOP): continue it (`kill -CONT {pid}`)" in said


async def test_doctor_names_what_is_wrong_and_exits_with_4(ship: Harness, tmp_path: Path) -> None:
    foreign = tmp_path / "shopping.db"
    foreign.write_text("rope, tar, ship's biscuit\n" * 400)
    extra = {"TEMPORAL_NAMESPACE": "atlantis", "EXECUTION_STATUS_STORE": str(foreign)}
    ended = await command("doctor", extra=ship.surroundings | extra)

    assert ended.code == 4
    assert "BAD  temporal: " in ended.out and "atlantis" in ended.out
    assert f"BAD  event store: {foreign} is not an" in ended.out
    assert foreign.read_text().startswith("rope, tar")

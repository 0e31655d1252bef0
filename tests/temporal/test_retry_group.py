"""Running a whole group of failed executions again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from projector.catalogue import Code
from projector.envelope import NewEvent, execution_stream
from projector.events import ExecutionRequested, ExecutionRetried
from projector.execution_status import Phase
from projector.failures import Truncation
from tests.temporal.harness import Harness, agent, failure_of, types_of
from tests.temporal.processes import Ended
from tests.temporal.retrying import head, lines, linked, minutes_ago, refused, retry, untouched, wreck


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
    ([], "name what to retry: the id of one execution, or a group by --code, --category or --cause"),
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

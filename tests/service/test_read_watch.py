"""`watch`: whoever watches sees each event once, in order, up to the end, and the exit code tells how it ended."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest

from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import runner_stream
from projector.events import RunnerReady, WritableEvent
from tests.histories import QUEUE, RUNNER, SHIPWRECK, SURVEY, VOYAGE, news
from tests.service.conftest import (
    AT_THE_QUAY,
    FLEET,
    LOST,
    NEVER_SAILED,
    RECALLED,
    TORN_LOGBOOK,
    WRECK,
    CommandLine,
    append,
    append_unreadable,
)

COMPLETED, NOT_COMPLETED, INTERRUPTED = 0, 1, 130


def types(*events: WritableEvent) -> list[str]:
    return [type(event).__name__ for event in events]


def next_line(watching: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line, as soon as it is printed."""
    assert watching.stdout
    line: dict[str, Any] = json.loads(watching.stdout.readline())
    return line


def the_rest(watching: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], str]:
    """What it prints until it ends by itself, and its messages."""
    out, err = watching.communicate(timeout=30)
    return [json.loads(line) for line in out.split("\n") if line], err


def said_first(watching: subprocess.Popen[str]) -> str:
    """Its first message: from then on it watches."""
    assert watching.stderr
    return watching.stderr.readline()


@pytest.mark.parametrize(
    ("execution_id", "code"),
    [(SURVEY, COMPLETED), (WRECK, NOT_COMPLETED), (LOST, NOT_COMPLETED), (NEVER_SAILED, NOT_COMPLETED)],
)
def test_a_watch_after_the_end_shows_all_of_it_and_ends(fleet: CommandLine, execution_id: str, code: int) -> None:
    ended = fleet("watch", execution_id, "--json")
    assert ended.code == code
    assert [line["type"] for line in ended.lines] == types(*FLEET[execution_id])
    assert all(line.keys() >= {"position", "version", "type", "status"} for line in ended.lines)
    assert ended.lines[-1]["status"] == fleet("show", execution_id, "--json").object


def test_a_watch_ends_at_the_end_also_where_something_came_after_it(fleet: CommandLine) -> None:
    ended = fleet("watch", RECALLED, "--json")
    assert ended.code == NOT_COMPLETED
    assert ended.lines[-1]["type"] == "ExecutionCancelled"


@pytest.mark.parametrize(("execution_id", "code"), [(SURVEY, COMPLETED), (WRECK, NOT_COMPLETED)])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_watch_resumed_at_the_end_prints_nothing_and_still_tells_how_it_ended(
    fleet: CommandLine, execution_id: str, code: int, options: tuple[str, ...]
) -> None:
    end = fleet("watch", execution_id, "--json").lines[-1]["position"]
    for position in (end, end + 1):
        ended = fleet("watch", execution_id, "--after", str(position), *options)
        assert (ended.code, ended.out, ended.err) == (code, "", "")


def test_people_see_one_line_an_event_and_then_the_verdict(fleet: CommandLine) -> None:
    lines = fleet("watch", WRECK).out.splitlines()
    assert [line.split()[2] for line in lines[: len(SHIPWRECK)]] == types(*SHIPWRECK)
    assert lines[len(SHIPWRECK)].split() == ["FAILED", "E401", "agent_failed"]
    assert lines[len(SHIPWRECK) + 1].split(maxsplit=1) == ["message", "ValueError: the lead line parted"]


def test_a_watch_that_began_before_sees_each_event_as_it_comes(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, WRECK, SHIPWRECK[0])
    with alone.started("watch", WRECK, "--json") as watching:
        seen = [next_line(watching)]
        for event in SHIPWRECK[1:]:
            append(store, WRECK, event)
            seen.append(next_line(watching))
        rest, err = the_rest(watching)
    assert (rest, err) == ([], "")
    assert watching.returncode == NOT_COMPLETED
    assert [line["type"] for line in seen] == types(*SHIPWRECK)
    assert [line["version"] for line in seen] == list(range(1, len(SHIPWRECK) + 1))


def test_a_watch_that_was_killed_goes_on_where_it_stopped(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, SURVEY, *VOYAGE[:5])
    with alone.started("watch", SURVEY, "--json") as watching:
        seen = [next_line(watching) for _ in range(3)]
        watching.send_signal(signal.SIGKILL)
    append(store, WRECK, *SHIPWRECK)  # somebody else's events lie between
    append(store, SURVEY, *VOYAGE[5:8])
    with alone.started("watch", SURVEY, "--json", "--after", str(seen[-1]["position"])) as watching:
        seen += [next_line(watching) for _ in range(5)]
        append(store, SURVEY, *VOYAGE[8:])
        rest, _ = the_rest(watching)
    assert watching.returncode == COMPLETED
    assert [line["version"] for line in seen + rest] == list(range(1, len(VOYAGE) + 1))
    assert [line["type"] for line in seen + rest] == types(*VOYAGE)


def test_a_watch_goes_on_while_another_process_holds_the_store(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, SURVEY, *VOYAGE[:2])
    with (
        alone.started("watch", SURVEY, "--json") as watching,
        closing(sqlite3.connect(alone.store, isolation_level=None)) as other,
    ):
        next_line(watching)
        other.execute("BEGIN EXCLUSIVE")
        assert next_line(watching)["version"] == 2
        other.execute("ROLLBACK")
        append(store, SURVEY, *VOYAGE[2:])
        rest, err = the_rest(watching)
    assert (watching.returncode, err) == (COMPLETED, "")
    assert [line["type"] for line in rest] == types(*VOYAGE[2:])


@pytest.mark.parametrize(
    "command",
    [
        ("watch", SURVEY),
        ("list",),
        ("show", SURVEY),
        ("events", SURVEY),
        ("replay", SURVEY),
        ("failures",),
        ("runners",),
    ],
    ids=" ".join,
)
def test_no_reading_command_waits_for_the_lock_of_a_writer(
    alone: CommandLine, store: SqliteEventStore, command: tuple[str, ...]
) -> None:
    append(store, SURVEY, *VOYAGE)
    with closing(sqlite3.connect(alone.store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert alone(*command, "--json").code == 0  # for as long as it took, the lock was held


def test_a_watch_passes_over_an_event_that_it_cannot_read(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, TORN_LOGBOOK, *VOYAGE[:5])
    append_unreadable(alone.store, TORN_LOGBOOK)
    append(store, TORN_LOGBOOK, VOYAGE[-1])
    ended = alone("watch", TORN_LOGBOOK, "--json")
    assert ended.code == COMPLETED
    assert [line["type"] for line in ended.lines] == [*types(*VOYAGE[:5]), "KrakenSighted", "ExecutionCompleted"]
    assert ended.lines[-1]["status"]["condition"]["kind"] == "degraded"


@pytest.mark.parametrize("arguments", [("watch", AT_THE_QUAY), ("watch",)], ids=" ".join)
def test_ctrl_c_ends_a_watch_quietly(fleet: CommandLine, arguments: tuple[str, ...]) -> None:
    with fleet.started(*arguments, "--after", "0", "--json") as watching:
        next_line(watching)
        watching.send_signal(signal.SIGINT)
        # What the first line's reader had taken beyond it is not seen here, so the rest may begin within a line.
        _, err = watching.communicate(timeout=30)
    assert (watching.returncode, err) == (INTERRUPTED, "")


def test_a_watch_whose_reader_has_gone_ends_quietly(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, SURVEY, VOYAGE[0])
    with alone.started("watch", SURVEY, "--json") as watching:
        next_line(watching)
        assert watching.stdout and watching.stderr
        watching.stdout.close()
        append(store, SURVEY, VOYAGE[1])
        assert watching.wait(30) == 0
        assert watching.stderr.read() == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_list_whose_reader_has_gone_ends_quietly(fleet: CommandLine, options: tuple[str, ...]) -> None:
    with fleet.started("list", *options) as listing:
        assert listing.stdout and listing.stderr
        listing.stdout.close()
        assert listing.wait(30) == 0
        assert listing.stderr.read() == ""


def test_without_an_id_every_execution_is_watched_from_now_on(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, SURVEY, *VOYAGE[:5])
    with alone.started("watch", "--json") as watching:
        assert said_first(watching) == "watching every execution from position 5 on; Ctrl-C ends it\n"
        append(store, WRECK, *SHIPWRECK[:2])
        store.append(runner_stream(RUNNER), news(RunnerReady(task_queue=QUEUE)))
        append(store, SURVEY, *VOYAGE[5:7])
        seen = [next_line(watching) for _ in range(4)]
    assert [(line["execution_id"], line["version"]) for line in seen] == [
        (WRECK, 1),
        (WRECK, 2),
        (SURVEY, 6),
        (SURVEY, 7),
    ]
    assert seen[2]["status"]["in_flight"]["tool"] == "sound_depth"


def test_without_an_id_a_position_says_where_to_begin(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, SURVEY, *VOYAGE)
    with alone.started("watch", "--after", "10") as watching:
        assert watching.stdout
        lines = [watching.stdout.readline().split() for _ in range(2)]
    assert [line[1:4] for line in lines] == [
        [SURVEY, "IN_PROGRESS", "AttemptFinished"],
        [SURVEY, "COMPLETED", "ExecutionCompleted"],
    ]

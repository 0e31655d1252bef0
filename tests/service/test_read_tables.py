"""The query tables as a person meets them: how fresh a list is, the projector as a program, rebuild and its proof."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

import pytest

from projector.engines.sqlite.store import SqliteEventStore
from tests.histories import SHIPWRECK, SURVEY, VOYAGE
from tests.service.conftest import WRECK, CommandLine, append, open_store, project

BEHIND = "the query tables are 12 events behind the store: is a projector running? (`execution-status project`)\n"


@pytest.mark.parametrize("command", [("list",), ("list", "--json"), ("failures",)], ids=" ".join)
def test_a_list_that_is_not_fresh_says_so(
    alone: CommandLine, store: SqliteEventStore, command: tuple[str, ...]
) -> None:
    append(store, WRECK, *SHIPWRECK)
    project(store)
    append(store, SURVEY, *VOYAGE)
    ended = alone(*command)
    assert (ended.code, ended.err) == (0, BEHIND)
    assert WRECK in ended.out and SURVEY not in ended.out


def test_one_event_behind_is_one_event(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, SURVEY, VOYAGE[0])
    assert "are 1 event behind the store" in alone("list").err


def test_a_list_waits_a_moment_for_a_projector_that_runs(alone: CommandLine, store: SqliteEventStore) -> None:
    with alone.started("project", "--poll-interval", "0.3") as projecting:
        assert projecting.stderr
        assert "the projector follows" in projecting.stderr.readline()
        for number in range(5):
            append(store, f"{SURVEY}-{number}", *VOYAGE)
            ended = alone("list", "--json", "--limit", "1")
            assert ended.err in ("", f"there are more: the same again with --after {number * 12 + 1}\n")
            assert ended.lines[0]["execution_id"] == f"{SURVEY}-{number}"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_projector_makes_its_store_follows_it_and_ends_when_told(alone: CommandLine, how: signal.Signals) -> None:
    with alone.started("project") as projecting:
        assert projecting.stderr
        assert projecting.stderr.readline() == f"the projector follows {alone.store}; Ctrl-C ends it\n"
        with closing(open_store(alone.store)) as store:
            append(store, WRECK, *SHIPWRECK)
        (group,) = alone("failures", "--json").lines
        assert (group["code"], group["executions"]) == ("E401", 1)
        projecting.send_signal(how)
        assert projecting.wait(30) == 0
        assert projecting.stderr.read() == ""


def test_two_projectors_on_one_store_do_not_count_twice(alone: CommandLine, store: SqliteEventStore) -> None:
    with alone.started("project") as one, alone.started("project") as other:
        assert one.stderr and other.stderr
        assert one.stderr.readline() and other.stderr.readline()
        for number in range(20):
            append(store, f"{WRECK}-{number}", *SHIPWRECK)
        (group,) = alone("failures", "--json").lines
    assert group["executions"] == 20


def _tamper(alone: CommandLine) -> None:
    with closing(sqlite3.connect(alone.store)) as connection, connection:
        connection.execute("UPDATE executions SET message = 'all is well' WHERE execution_id = ?", (WRECK,))
        connection.execute("DELETE FROM executions WHERE execution_id = ?", (SURVEY,))


def test_verify_proves_that_the_rows_are_right(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, WRECK, *SHIPWRECK)
    project(store)
    ended = alone("rebuild", "--verify")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("compared the query tables up to position 9 in ")
    assert ended.out.endswith("every row is as the store says\n")


def test_verify_names_the_rows_that_are_wrong_and_leaves_them(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, WRECK, *SHIPWRECK)
    append(store, SURVEY, *VOYAGE)
    project(store)
    _tamper(alone)
    for _ in range(2):
        ended = alone("rebuild", "--verify", "--json")
        assert ended.code == 1
        assert ended.object["position"] == 21
        assert ended.object["differences"] == [f"executions: {SURVEY}", f"executions: {WRECK}"]
    assert alone("rebuild", "--verify").out.splitlines()[1:] == [f"  executions: {SURVEY}", f"  executions: {WRECK}"]


def test_a_rebuild_heals_the_rows_and_says_which(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, WRECK, *SHIPWRECK)
    append(store, SURVEY, *VOYAGE)
    project(store)
    before = alone("list", "--json").out
    _tamper(alone)
    healed = alone("rebuild", "--json")
    assert healed.code == 0
    assert healed.object.keys() == {"position", "seconds", "differences"}
    assert len(healed.object["differences"]) == 2
    assert alone("rebuild", "--verify").code == 0
    assert alone("list", "--json").out == before


def _made_by_another_version(alone: CommandLine) -> None:
    """Make the rows those of an earlier version of this program, which said something else."""
    with closing(sqlite3.connect(alone.store)) as connection, connection:
        connection.execute("UPDATE executions SET phase = 'PENDING', status = replace(status, 'FAILED', 'PENDING')")
        connection.execute("DELETE FROM tracking WHERE application_name = 'projector.fold'")


def test_show_believes_no_rows_of_another_version(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, WRECK, *SHIPWRECK)
    project(store)
    before = alone("show", WRECK, "--json").object
    _made_by_another_version(alone)
    assert alone("list", "--json").object["phase"] == "PENDING", "or this would show nothing"
    assert alone("show", WRECK, "--json").object == before
    assert before["phase"] == "FAILED"


def test_the_projector_makes_rows_of_another_version_anew(alone: CommandLine, store: SqliteEventStore) -> None:
    append(store, WRECK, *SHIPWRECK)
    project(store)
    before = alone("list", "--json").out
    _made_by_another_version(alone)
    verified = alone("rebuild", "--verify", "--json")
    assert (verified.code, verified.object["differences"]) == (
        1,
        ["all tables: another version of this program has made them"],
    )
    with alone.started("project") as projecting:
        assert projecting.stderr and projecting.stderr.readline()
        append(store, SURVEY, *VOYAGE)
        newest, oldest = alone("list", "--json").out.splitlines()
    assert f"{SURVEY}" in newest
    assert oldest + "\n" == before
    assert alone("rebuild", "--verify").code == 0


def test_a_rebuild_needs_no_projector_and_leaves_no_files(alone: CommandLine) -> None:
    with closing(open_store(alone.store)) as store:
        append(store, SURVEY, *VOYAGE)
    assert alone("rebuild", "--json").object["position"] == 12
    ended = alone("list", "--json")
    assert (ended.err, len(ended.lines)) == ("", 1)
    assert [file.name for file in alone.store.parent.iterdir()] == ["store.db"]

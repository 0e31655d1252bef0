"""Backup, restore and archive as people use them: what is said, what is asked, and how each ends."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.histories import SURVEY, VOYAGE
from tests.service.conftest import (
    FLEET,
    LOST,
    MASQUERADE,
    NEVER_SAILED,
    OTHER_WRECK,
    PROGRAM,
    RECALLED,
    SOUNDING_NOW,
    TORN_LOGBOOK,
    WRECK,
    CommandLine,
    fill,
    open_store,
)
from tests.service.test_read_refusals import is_refused

ENDED = {SURVEY, WRECK, OTHER_WRECK, LOST, NEVER_SAILED, RECALLED, MASQUERADE}
USAGE, NOT_FOUND, UNUSABLE = 2, 3, 4
KEY = base64.b64encode(b"the key of the captain's cabin!!").decode()
OTHER_KEY = base64.b64encode(b"the key of the galley...").decode()


@pytest.fixture
def harbour(alone: CommandLine) -> CommandLine:
    """The command line of a store with the FLEET, for a test that changes it."""
    fill(alone.store)
    return alone


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "backup.jsonl.gz")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "long ago")


# --- backup and restore ----------------------------------------------------------------------------------


def test_a_store_is_made_again_from_its_backup(harbour: CommandLine, file: str, tmp_path: Path) -> None:
    made = harbour("backup", file)
    assert (made.code, made.err) == (0, "")
    assert made.out == f"{file} holds 79 events of 13 streams, up to position 79\n"
    new = str(tmp_path / "new" / "store.db")
    put_back = harbour("restore", file, "--store", new)
    assert (put_back.code, put_back.err) == (0, "")
    assert put_back.out == f"{new} holds 79 events of 13 streams, up to position 79\n"
    for command in (["list"], ["failures"], ["runners"], ["replay", SURVEY], ["events", TORN_LOGBOOK]):
        assert harbour(*command, "--json", "--store", new).out == harbour(*command, "--json").out
    assert harbour("rebuild", "--verify", "--store", new).code == 0


def test_both_tell_it_as_json(harbour: CommandLine, file: str, tmp_path: Path) -> None:
    made = harbour("backup", file, "--json").object
    assert made == {
        "file": file,
        "position": 79,
        "events": 79,
        "streams": 13,
        "encrypted": False,
        "sha256": made["sha256"],
    }
    assert re.fullmatch("[0-9a-f]{64}", made["sha256"])
    new = str(tmp_path / "new.db")
    put_back = harbour("restore", file, "--store", new, "--json").object
    assert put_back == {"store": new, "position": 79, "events": 79, "streams": 13}


def test_a_backup_is_replaced_on_demand_and_nothing_else_ever(harbour: CommandLine, file: str) -> None:
    assert harbour("backup", file).code == 0
    before = Path(file).stat().st_ino
    assert is_refused(harbour("backup", file), USAGE, "exists already", "--force")
    assert harbour("backup", file, "--force").code == 0
    assert Path(file).stat().st_ino != before
    for name in (str(harbour.store), f"{harbour.store}-wal", "/dev/null", str(harbour.store.parent)):
        Path(f"{harbour.store}-wal").touch()
        assert harbour("backup", name, "--force").code == USAGE
    assert harbour("rebuild", "--verify").code == 0


def test_a_backup_of_nothing_is_no_backup(alone: CommandLine, file: str) -> None:
    assert is_refused(alone("backup", file), UNUSABLE, "there is no event store at")
    assert not Path(file).exists() and not alone.store.exists()


def test_what_cannot_be_restored_is_told_in_one_line_and_makes_no_store(
    harbour: CommandLine, file: str, tmp_path: Path
) -> None:
    harbour("backup", file)
    whole = Path(file).read_bytes()
    (tmp_path / "notes.txt").write_text("not a backup")
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    new = tmp_path / "new.db"
    for name, code, words in (
        (str(tmp_path / "notes.txt"), UNUSABLE, "is no backup"),
        (str(tmp_path / "cut.jsonl.gz"), UNUSABLE, "is damaged"),
        (str(tmp_path / "absent"), USAGE, "cannot be read"),
        (str(tmp_path), USAGE, "folder"),
        (str(harbour.store), UNUSABLE, "is no backup"),
    ):
        assert is_refused(harbour("restore", name, "--store", str(new)), code, name, words)
        assert not new.exists()


def test_a_store_with_events_is_not_restored_into(harbour: CommandLine, file: str) -> None:
    harbour("backup", file)
    assert is_refused(harbour("restore", file), USAGE, "holds events already", "--store")
    assert harbour("rebuild", "--verify").code == 0


# --- archive ----------------------------------------------------------------------------------


def test_a_dry_run_shows_what_would_go_and_changes_nothing(harbour: CommandLine, folder: str) -> None:
    shown = harbour("archive", "--older-than", "30d", "--to", folder, "--dry-run", "--json")
    assert shown.code == 0
    assert {line["execution_id"] for line in shown.lines} == ENDED
    assert shown.lines[0] == {
        "execution_id": NEVER_SAILED,
        "phase": "FAILED",
        "finished_at": "2026-03-14T06:00:01+00:00",
        "events": 2,
    }
    said = f"7 executions with 52 events, which ended 2026-03-14 to 2026-03-14, would go into {folder}\n"
    assert shown.err == said
    table = harbour("archive", "--older-than", "30d", "--to", folder, "--dry-run")
    assert [line.split()[0] for line in table.out.splitlines()[1:]] == [line["execution_id"] for line in shown.lines]
    assert not Path(folder).exists()
    assert len(harbour("list", "--json").lines) == len(FLEET)


def test_what_was_archived_is_gone_from_the_store_and_read_from_the_archive(harbour: CommandLine, folder: str) -> None:
    commands = (["show"], ["show", "--at", "2"], ["events", "--after", "1"], ["replay"])
    before = {(i, *c): harbour(c[0], i, *c[1:], "--json").out for i in (WRECK, RECALLED) for c in commands}
    pretty = harbour("replay", SURVEY).out
    made = harbour("archive", "--older-than", "30d", "--to", folder, "--yes", "--json")
    assert (made.code, made.err) == (0, "")
    (path,) = Path(folder).iterdir()
    assert made.object == {"file": str(path), "executions": 7, "events": 52, "sha256": made.object["sha256"]}
    assert {line["execution_id"] for line in harbour("list", "--json").lines} == FLEET.keys() - ENDED
    assert harbour("failures", "--json").lines == []
    assert harbour("rebuild", "--verify").code == 0
    assert is_refused(harbour("show", WRECK), NOT_FOUND, WRECK)
    for (execution_id, name, *options), out in before.items():
        found = harbour(name, execution_id, *options, "--json", "--from-archive", folder)
        assert (found.code, found.out, found.err) == (0, out, "")
    assert harbour("replay", SURVEY, "--from-archive", str(path)).out == pretty
    for name in ("show", "events", "replay"):
        missing = harbour(name, SOUNDING_NOW, "--from-archive", folder)
        assert is_refused(missing, NOT_FOUND, f"'{SOUNDING_NOW}' in {folder}")


def test_an_archive_is_read_where_there_is_no_store(harbour: CommandLine, folder: str, tmp_path: Path) -> None:
    harbour("archive", "--older-than", "30d", "--to", folder, "--yes")
    elsewhere = CommandLine(tmp_path, tmp_path / "nothing" / "store.db")
    assert len(elsewhere("events", SURVEY, "--json", "--from-archive", folder).lines) == len(VOYAGE)
    assert not (tmp_path / "nothing").exists()


def test_an_archive_goes_into_the_data_folder_by_default(harbour: CommandLine, tmp_path: Path) -> None:
    made = harbour("archive", "--older-than", "30d", "--yes", "--data-dir", str(tmp_path / "data"))
    assert made.code == 0
    assert re.fullmatch(
        rf"{tmp_path}/data/archive/executions-\d{{4}}-\d\d-\d\d-1\.jsonl\.gz has 7 executions with 52 events\n",
        made.out,
    )


def test_nothing_to_archive_is_said(harbour: CommandLine, folder: str) -> None:
    for options in (["--dry-run"], ["--yes", "--json"]):
        ended = harbour("archive", "--older-than", "2026-03-14", "--to", folder, *options)
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == "no execution ended before 2026-03-14 00:00 UTC\n"


def test_nobody_is_archived_without_a_confirmation(harbour: CommandLine, folder: str) -> None:
    refused = harbour("archive", "--older-than", "30d", "--to", folder)
    assert is_refused(refused, USAGE, "only on a confirmation", "--dry-run", "--yes")
    assert is_refused(
        harbour("archive", "--older-than", "soon", "--to", folder, "--yes"), USAGE, "'soon' is not a time"
    )
    assert len(harbour("list", "--json").lines) == len(FLEET)


@contextmanager
def asked(line: CommandLine, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A command with a terminal to ask on; its results go into a pipe."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [*PROGRAM, *arguments],
            env=line.environment,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            yield ours, process
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("answer", ["n", "", "yes"])
def test_a_person_is_shown_what_it_is_about_and_asked(harbour: CommandLine, folder: str, answer: str) -> None:
    with asked(harbour, "archive", "--older-than", "30d", "--to", folder, "--json") as (terminal, process):
        os.write(terminal, answer.encode() + b"\n")
        out, err = process.communicate(timeout=60)
    what = "7 executions with 52 events, which ended 2026-03-14 to 2026-03-14,"
    assert process.returncode == 0
    assert f"Move {what} out of the store, into {folder}? [y/N] " in err
    assert all(execution_id in err for execution_id in ENDED)
    if answer == "yes":
        assert json.loads(out)["executions"] == 7
    else:
        assert out == "" and err.endswith("nothing was archived\n")
    assert len(harbour("list", "--json").lines) == (4 if answer == "yes" else len(FLEET))


# --- a key ----------------------------------------------------------------------------------


def test_a_store_is_encrypted_by_a_backup_as_it_is_told(harbour: CommandLine, file: str, tmp_path: Path) -> None:
    new = str(tmp_path / "new.db")
    refused = harbour("list", EXECUTION_STATUS_CIPHER_KEY=KEY)
    assert is_refused(refused, UNUSABLE, "EXECUTION_STATUS_CIPHER_KEY", "are not encrypted", "backup", "restore")
    assert harbour("backup", file).code == 0
    assert harbour("restore", file, "--store", new, EXECUTION_STATUS_CIPHER_KEY=KEY).code == 0
    for command in (["list"], ["replay", SURVEY]):
        found = harbour(*command, "--json", "--store", new, EXECUTION_STATUS_CIPHER_KEY=KEY)
        assert found.out == harbour(*command, "--json").out
    for key, words in ({}, "there is no key"), ({"EXECUTION_STATUS_CIPHER_KEY": OTHER_KEY}, "with another key"):
        for command in (["list"], ["events", SURVEY], ["rebuild"], ["watch"]):
            refused = harbour(*command, "--store", new, **key)
            assert is_refused(refused, UNUSABLE, words, "EXECUTION_STATUS_CIPHER_KEY")
    with closing(open_store(Path(new))) as store:
        assert all(b"fathoms" not in row.state for row in store.tail_stored(after=0, limit=1000))

"""An encrypted store from end to end: everything works through it, and what events say stands nowhere in its files."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from projector.keeping.event_file import EventFile
from tests.engines import SQLITE, Engine
from tests.processes import bytes_of
from tests.temporal.harness import agent
from tests.temporal.processes import Ended, command, family, program

KEY = base64.b64encode(b"the key of the captain's cabin!!").decode()
OTHER_KEY = base64.b64encode(b"the key of the galley...").decode()
SURVEYOR = agent("surveyor")
INPUT = "the bank behind the mill"

_BODIES = (
    "import sqlite3, sys; [sys.stdout.buffer.write(r[0]) for r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]"
)
"""What the file's events hold, printed by a process that has not opened the store in any other way."""


@dataclass(frozen=True)
class Life:
    """What an installation with a key did."""

    followed: Ended
    shown: dict[str, Ended]
    kept: dict[str, Ended]
    files: bytes
    bodies: bytes
    command_lines: list[str]
    said: str
    backup: Path


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory, store_engine: Engine) -> AsyncIterator[Life]:
    folder = tmp_path_factory.mktemp("locked")
    with store_engine.make_place(folder) as place:
        here = {"EXECUTION_STATUS_DATA_DIR": str(folder), "EXECUTION_STATUS_STORE": place}
        keyed = here | {"EXECUTION_STATUS_CIPHER_KEY": KEY, "EXECUTION_STATUS_GRACE": "2"}
        async with program("up", "--agent", SURVEYOR, folder=folder, name="up", extra=keyed) as up:
            await up.says("now: execution-status start")
            start = ("start", "--agent", SURVEYOR, "--input", INPUT, "--id", "sounding", "--follow", "--json")
            followed = await command(*start, extra=keyed)
            shown = {
                "right": await command("show", "sounding", "--json", extra=keyed),
                "wrong": await command("show", "sounding", extra=keyed | {"EXECUTION_STATUS_CIPHER_KEY": OTHER_KEY}),
                "none": await command("show", "sounding", extra=here),
            }
            backup = folder / "backup.jsonl.gz"
            kept = {
                "backup": await command("backup", str(backup), extra=keyed),
                "archive": await command("archive", "--older-than", "0s", "--yes", extra=keyed),
                "read": await command(
                    "events", "sounding", "--json", "--from-archive", str(folder / "archive"), extra=keyed
                ),
                "verify": await command("rebuild", "--verify", extra=keyed),
            }
            command_lines = [" ".join(process.cmdline()) for process in family(up.pid)]
            files, bodies = b"", b""
            if store_engine is SQLITE:
                files = b"".join(bytes_of(Path(name)) for name in (place, f"{place}-wal"))
            said = up.said() + up.printed()
        if store_engine is SQLITE:
            bodies = subprocess.run(
                [sys.executable, "-c", _BODIES, place, "SELECT state FROM stored_events"],
                check=True,
                capture_output=True,
            ).stdout
        yield Life(followed, shown, kept, files, bodies, command_lines, said, backup)


def test_an_agent_runs_to_its_end_through_it(life: Life) -> None:
    assert life.followed.code == 0, life.followed
    types = [json.loads(line)["type"] for line in life.followed.out.splitlines()]
    assert types[0] == "ExecutionRequested" and types[-1] == "ExecutionCompleted"
    assert "ToolCallFinished" in types and "MessageAppended" in types, "the runner has the key too"
    status: dict[str, Any] = json.loads(life.shown["right"].out)
    assert (status["phase"], status["input"]) == ("COMPLETED", INPUT)


def test_without_the_right_key_nobody_reads_it(life: Life) -> None:
    assert (life.shown["none"].code, life.shown["wrong"].code) == (4, 4)
    assert "there is no key" in life.shown["none"].err
    assert "with another key" in life.shown["wrong"].err


def test_what_events_say_stands_in_none_of_them(life: Life, store_engine: Engine) -> None:
    if store_engine is not SQLITE:
        pytest.skip("the bytes of a server's files are its own")
    for text in (b"42 fathoms down", INPUT.encode(), b"MessageAppended", b'"writer"'):
        assert text not in life.bodies
    assert len(life.bodies) > 200


def test_what_only_events_say_stands_nowhere_in_the_files(life: Life, store_engine: Engine) -> None:
    """The query tables hold the last messages in plain words, and nothing of what tools are given and answer."""
    if store_engine is not SQLITE:
        pytest.skip("the bytes of a server's files are its own")
    assert b"sounding" in life.files
    for text in (b'"bearing"', b'"units"', b"the echo was lost"):
        assert text not in life.files


def test_it_is_kept_encrypted(life: Life) -> None:
    assert {name: ended.code for name, ended in life.kept.items()} == dict.fromkeys(life.kept, 0), life.kept
    file = EventFile(life.backup)
    assert file.header.encrypted
    assert all(b"fathoms" not in event.body for event in file.events())
    assert "42 fathoms down" in life.kept["read"].out


def test_the_key_stands_in_no_log_and_in_no_command_line(life: Life) -> None:
    assert len(life.command_lines) > 1
    for text in (*life.command_lines, life.said, *(e.out + e.err for e in (*life.shown.values(), *life.kept.values()))):
        assert KEY not in text

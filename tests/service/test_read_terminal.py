"""What a person at a real terminal sees."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from tests.service.conftest import FLEET, LONG_MESSAGE, LOST, MARKUP, MASQUERADE, PROGRAM, WRECK, CommandLine

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(command: CommandLine, *arguments: str, width: int = 100, **environment: str) -> str:
    """Everything that a command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        env=command.environment | {"TERM": "xterm-256color"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # how Linux says that the other side has closed
        pass
    finally:
        os.close(ours)
        process.wait(30)
    return seen.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_lines_that_fit(fleet: CommandLine) -> None:
    seen = on_a_terminal(fleet, "list", width=110)
    shown = ESCAPE.sub("", seen)
    assert seen != shown
    assert "─" in shown
    assert max(map(len, shown.splitlines())) <= 110
    rows = shown.splitlines()[2:]
    assert [row.split()[0] for row in rows] == list(reversed(FLEET))
    assert next(row for row in rows if MASQUERADE in row).rstrip().endswith("…")


def test_a_narrow_terminal_loses_no_column(fleet: CommandLine) -> None:
    shown = ESCAPE.sub("", on_a_terminal(fleet, "list", "--code", "E203", width=60))
    assert shown.split("\n")[0].split() == ["ID", "PHASE", "AGENT", "AGE", "TOOK", "REASON"]
    assert "E203 Lost contact" in shown


def test_show_wraps_a_long_message_and_cuts_nothing(fleet: CommandLine) -> None:
    shown = ESCAPE.sub("", on_a_terminal(fleet, "show", LOST, width=72))
    assert max(map(len, shown.splitlines())) <= 72
    assert LONG_MESSAGE in " ".join(shown.split())


@pytest.mark.parametrize("command", [("list",), ("show", WRECK), ("events", WRECK), ("replay", WRECK)], ids=" ".join)
def test_no_color_means_plain_text_that_still_fits(fleet: CommandLine, command: tuple[str, ...]) -> None:
    seen = on_a_terminal(fleet, *command, NO_COLOR="1", width=130)
    assert "\x1b" not in seen and "─" not in seen
    if command[0] != "show":
        assert max(map(len, seen.splitlines())) <= 130


@pytest.mark.parametrize("command", ["show", "watch", "events", "replay"])
def test_nothing_that_an_agent_said_is_obeyed(fleet: CommandLine, command: str) -> None:
    seen = on_a_terminal(fleet, command, MASQUERADE, width=400)
    shown = ESCAPE.sub("", seen)
    assert MARKUP in shown
    assert "invoice<U+202E>fdp.exe" in shown
    assert "\u202e" not in seen and "\x1b]8;" not in seen


def test_help_names_every_command(fleet: CommandLine) -> None:
    ended = fleet("--help")
    assert ended.code == 0
    for name in ("list", "show", "events", "replay", "watch", "failures", "runners", "codes", "rebuild", "project"):
        assert re.search(rf"\b{name}\b", ended.out)


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    heavy = {"temporalio", "eventsourcing", "aiosqlite", "structlog", "pydantic_settings", "rich"}
    program = f"import sys, workflows.cli; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([PROGRAM[0], "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"

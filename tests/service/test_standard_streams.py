"""A command whose standard streams are closed or full: one line where there is a place for it, and the exit code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.histories import SURVEY
from tests.service.conftest import PROGRAM, CommandLine, Ended

COMMANDS = (("list",), ("show", SURVEY, "--json"), ("codes",), ("--help",), ("list", "--help"), ("rebuild", "--verify"))
CLOSED = "error: standard output is closed, so there is no place for an answer: leave it open, or use > /dev/null\n"


def redirected(command: CommandLine, how: str, *arguments: str, **environment: str) -> Ended:
    """Run a command as a shell does with these redirections; a signal would be a code above 128."""
    done = subprocess.run(
        ["sh", "-c", f'"$@" {how}; exit $?', "sh", *PROGRAM, *arguments],
        env=command.environment | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_stdout_a_command_says_so_and_does_nothing(fleet: CommandLine, arguments: tuple[str, ...]) -> None:
    assert redirected(fleet, ">&-", *arguments) == Ended(4, "", CLOSED)


@pytest.mark.parametrize("how", [">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", [("list",), ("codes",), ("show", "flying-dutchman")], ids=" ".join)
def test_without_stdout_and_stderr_there_is_still_the_exit_code(
    fleet: CommandLine, how: str, arguments: tuple[str, ...]
) -> None:
    assert redirected(fleet, how, *arguments) == Ended(4, "", "")


def test_without_stdout_nothing_is_started(alone: CommandLine) -> None:
    ended = redirected(alone, ">&-", "start", "--agent", "survey:agent", "--id", SURVEY)
    assert ended == Ended(4, "", CLOSED)
    assert not alone.store.exists()


def test_without_stderr_messages_do_not_get_among_the_data(fleet: CommandLine) -> None:
    whole = fleet("list", "--json", "--limit", "1")
    assert whole.err.startswith("there are more")
    assert redirected(fleet, "2>&-", "list", "--json", "--limit", "1") == Ended(0, whole.out, "")
    assert redirected(fleet, "2>&-", "show", "flying-dutchman") == Ended(3, "", "")


def test_without_stdin_what_reads_it_is_refused_and_the_rest_works(alone: CommandLine, fleet: CommandLine) -> None:
    assert redirected(fleet, "<&-", "list", "--json") == fleet("list", "--json")
    ended = redirected(alone, "<&-", "start", "--agent", "survey:agent", "--input", "-")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: standard input cannot be read: Bad file descriptor; ")
    assert ended.err.count("\n") == 1
    assert not alone.store.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_what_cannot_be_written_is_one_line(fleet: CommandLine, arguments: tuple[str, ...]) -> None:
    ended = redirected(fleet, "> /dev/full", *arguments)
    assert (ended.code, ended.err.count("\n")) == (4, 1), ended
    assert ended.err.startswith("error: [Errno 28] No space left on device: is the disk full, ")

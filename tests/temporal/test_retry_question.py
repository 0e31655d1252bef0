"""Running a group again, asked about on a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from typing import Final

import pytest

from projector.catalogue import Code
from projector.execution_status import Phase
from tests.temporal.harness import Harness
from tests.temporal.processes import COMMAND, ROOT, environment
from tests.temporal.retrying import linked, retry, untouched, wreck

ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


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

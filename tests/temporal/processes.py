"""Real processes for the tests: single commands, and programs that run until they are told to stop or killed.

A process lives as long as the block that started it; nothing else is ever ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-P", "-c", "from workflows.cli import main; main()")

_WITHOUT_POWERS: Final = """
import ctypes, os, sys
if os.geteuid() == 0:
    prctl, in_bounds, drop = ctypes.CDLL(None).prctl, 23, 24  # PR_CAPBSET_READ, PR_CAPBSET_DROP
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: gone after the next exec
        assert not prctl(in_bounds, capability) or prctl(drop, capability, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
UNPRIVILEGED: Final = (sys.executable, "-c", _WITHOUT_POWERS, *COMMAND)
"""A command to which the modes of files apply also when the tests run as root (Linux only)."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """A program that runs. What it writes goes into two files, so that it never waits for a reader."""

    process: Process
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    def printed(self) -> str:
        return self.out.read_text(errors="replace")

    def said(self) -> str:
        return self.err.read_text(errors="replace")

    async def says(self, words: str, *, within: float = 30.0) -> None:
        """Wait until these words stand in its standard error."""
        await until(lambda: words in self.said() or not self.is_running, within=within)
        assert words in self.said(), f"it ended with {self.process.returncode} and said: {self.said()}"

    async def exits(self, *, within: float = 30.0) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        async with asyncio.timeout(within):
            return await self.process.wait()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, in which the packages are found also when they are not installed."""
    found = os.pathsep.join(dict.fromkeys([*(entry for entry in sys.path if entry), str(ROOT)]))
    return {**os.environ, "PYTHONPATH": found, **(extra or {})}


@asynccontextmanager
async def program(
    *arguments: str,
    folder: Path,
    name: str,
    extra: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    prefix: tuple[str, ...] = COMMAND,
) -> AsyncIterator[Program]:
    """Run a command of ours for the length of the block, and kill it if it still runs then.

    Its output goes to `name`.out and `name`.err in `folder`.
    """
    out, err = folder / f"{name}.out", folder / f"{name}.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *prefix, *arguments, env=environment(extra), cwd=cwd, stdin=DEVNULL, stdout=stdout, stderr=stderr
        )
    try:
        yield Program(process, out, err)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def command(
    *arguments: str,
    extra: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    within: float = 60.0,
    cwd: Path = ROOT,
) -> Ended:
    """Run a command of ours to its end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environment(extra),
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def until(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    """Wait for something that only can be looked at."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    """The process's descendants."""
    return list(psutil.Process(pid).children(recursive=True))


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; one that only waits for its parent to look has ended too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

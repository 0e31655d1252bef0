"""Real processes for tests: made in milliseconds, killed without mercy.

A server process imports the project once and every child is forked from it, so that fifty kills take seconds. Targets
are functions of an importable module; a child says what it has to say through the pipe that is its first argument.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

from projector.process_state import state_of

CONTEXT: Final = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.store_processes", "tests.engines"])
PATIENCE: Final = 30.0
"""How long a test waits for a child before it fails, in seconds."""
_NOBODY: Final = 65534


class Child:
    """One child process and the pipe to it."""

    def __init__(self, target: Callable[..., None], *arguments: Any, is_parent: bool = False) -> None:
        """With `is_parent` it may have children of its own."""
        self.pipe, theirs = CONTEXT.Pipe()
        self.process: ForkServerProcess = CONTEXT.Process(
            target=target, args=(theirs, *arguments), daemon=not is_parent
        )
        self.process.start()
        theirs.close()

    def hear(self, timeout: float = PATIENCE) -> Any:
        """The next thing that the child says. Raises EOFError when it died instead."""
        assert self.pipe.poll(timeout), f"{self.process} has said nothing for {timeout} s"
        return self.pipe.recv()

    def tell(self, what: Any) -> None:
        """Say something to the child."""
        self.pipe.send(what)

    def rest(self) -> list[Any]:
        """Whatever the child said before it died."""
        said = []
        try:
            while self.pipe.poll(0):
                said.append(self.pipe.recv())
        except (EOFError, OSError):
            pass
        return said

    def join(self) -> None:
        """Wait for the child to end by itself, without an error."""
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0, f"{self.process} ended with {self.process.exitcode}"

    def stand_still(self) -> int:
        """SIGSTOP; returns its process id once it is stopped. It is killed in the end as any other."""
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + PATIENCE
        while state_of(pid) != "T":
            assert time.monotonic() < until, f"{self.process} does not stop"
            time.sleep(0.01)
        return pid

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join(PATIENCE)

    def close(self) -> None:
        """Kill it if it lives, and let go of it."""
        self.kill()
        self.pipe.close()
        self.process.close()


@contextmanager
def child(target: Callable[..., None], *arguments: Any, is_parent: bool = False) -> Iterator[Child]:
    """A child process that does not outlive the test."""
    made = Child(target, *arguments, is_parent=is_parent)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def children(target: Callable[..., None], many: list[tuple[Any, ...]]) -> Iterator[list[Child]]:
    """One child for each tuple of arguments."""
    made: list[Child] = []
    try:
        made.extend(Child(target, *arguments) for arguments in many)
        yield made
    finally:
        for each in made:
            each.close()


def become_nobody() -> None:
    """Give up root's right to write anything anywhere; does nothing for any other user."""
    if os.geteuid() == 0:
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def bytes_of(path: Path) -> bytes:
    """A file's content, read by another process.

    A process that has a store open and closes any of its files by itself loses SQLite's locks on all of them.
    """
    return subprocess.run(["cat", str(path)], check=True, capture_output=True).stdout

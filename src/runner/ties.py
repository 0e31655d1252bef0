"""What ties a runner to its supervisor: what it inherits, the id that both know it by, and whose death it heeds.

A runner without a supervisor has none of this and behaves the same.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import uuid
from dataclasses import dataclass


def new_mark() -> str:
    """The random part of a runner's id: process ids come again."""
    return uuid.uuid4().hex[:6]


def runner_id_of(pid: int, mark: str) -> str:
    """The id of the runner that runs in this process of this machine."""
    return f"{socket.gethostname()}-{pid}-{mark}"


@dataclass(frozen=True, slots=True)
class Ties:
    """File descriptors that a runner inherits, and its mark.

    It speaks over `link` (`runner.link`), and leaves the stacks of a process that stands still in `stacks`. `stderr` is
    where its standard error led before the supervisor came between.
    """

    mark: str
    link: int | None = None
    stacks: int | None = None
    stderr: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those that there are."""
        return tuple(fd for fd in (self.link, self.stacks, self.stderr) if fd is not None)

    @property
    def options(self) -> list[str]:
        """How the runner's command is told of them."""
        given = {"--link": self.link, "--stacks": self.stacks, "--stderr": self.stderr}
        told = [part for name, fd in given.items() if fd is not None for part in (name, str(fd))]
        return ["--mark", self.mark, *told]

    def keep_to_itself(self) -> None:
        """Hand none of them on: what an agent starts must not hold a pipe open after the runner's end."""
        for fd in self.descriptors:
            os.set_inheritable(fd, False)

    def regain_stderr(self) -> None:
        """Write to where the supervisor passed our standard error on to: it has died, and nobody reads any more."""
        if self.stderr is not None:
            os.dup2(self.stderr, 2)


def stop_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent, this one, dies (on Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(0)

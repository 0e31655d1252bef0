"""What a runner tells its supervisor, over a pipe that the runner inherits: one JSON object a line.

The supervisor needs it only when the runner can no longer speak for itself. So nothing here may hold the runner up or
fail it: a line that does not fit into the pipe, or that nobody reads, is dropped.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

ASK_FOR_STACKS: Final = signal.SIGUSR2
"""At this signal a runner that beats leaves the stacks of all its threads where its supervisor finds them, without
Python. It must be sent to none that has not beaten yet: it would end it."""

LINE_LIMIT: Final = 4096
"""Longest line in bytes: a pipe takes up to this many at once or not at all (PIPE_BUF)."""
STOPPING: Final = "stopping"
"""The stage of a runner that was told to stop."""


@dataclass(frozen=True, slots=True)
class StageReached:
    """The runner is at this stage of its life; `is_ready` means that it polls."""

    stage: str
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class AttemptOpened:
    """The runner runs an attempt; with the token it can be failed in Temporal by somebody else."""

    execution_id: str
    attempt: int
    task_token: bytes


@dataclass(frozen=True, slots=True)
class AttemptClosed:
    """The attempt is over, and Temporal is being told."""

    execution_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The runner's own watch runs: its process is not frozen, and Python in it goes on."""


Said = StageReached | AttemptOpened | AttemptClosed | Beat


class Link:
    """The runner's end of the pipe; without one (`fd` None) everything is dropped. Safe to use from any thread."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        if fd is not None:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)  # what an agent starts must not hold the pipe open

    def say(self, what: Said) -> None:
        """Tell the supervisor. Never blocks, never raises."""
        if self._fd is None:
            return
        line = _encoded(what)
        if len(line) > LINE_LIMIT:
            return
        with self._lock:
            try:
                os.write(self._fd, line)
            except OSError:  # full, or nobody reads any more
                return


class LinkReader:
    """The supervisor's end: bytes in, what was said out. What cannot be read is skipped."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Said]:
        """The whole lines so far."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LINE_LIMIT:]
        for line in lines:
            said = _decoded(line)
            if said is not None:
                yield said


def _encoded(what: Said) -> bytes:
    match what:
        case StageReached(stage, is_ready):
            body: dict[str, Any] = {"stage": stage[:500], "is_ready": is_ready}
        case AttemptOpened(execution_id, attempt, token):
            body = {"opened": execution_id, "attempt": attempt, "token": base64.b64encode(token).decode()}
        case AttemptClosed(execution_id, attempt):
            body = {"closed": execution_id, "attempt": attempt}
        case Beat():
            body = {"beat": True}
    return json.dumps(body).encode() + b"\n"


def _decoded(line: bytes) -> Said | None:
    try:
        match json.loads(line):
            case {"stage": str(stage), "is_ready": bool(is_ready)}:
                return StageReached(stage, is_ready)
            case {"opened": str(execution_id), "attempt": int(attempt), "token": str(token)}:
                return AttemptOpened(execution_id, attempt, base64.b64decode(token, validate=True))
            case {"closed": str(execution_id), "attempt": int(attempt)}:
                return AttemptClosed(execution_id, attempt)
            case {"beat": True}:
                return Beat()
            case _:
                return None
    except (ValueError, RecursionError):
        return None

"""One runner process, as its supervisor sees it: what it says over the link, its last words, its memory group."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runner.link import ASK_FOR_STACKS, STOPPING, AttemptClosed, AttemptOpened, Beat, LinkReader, Said, StageReached
from runner.supervision.last_words import STACKS_KEPT, STDERR_KEPT, LastWords
from runner.supervision.memory_group import MemoryGroup
from runner.ties import Ties, new_mark, runner_id_of

CLOSED_KEPT: Final = 15.0
"""How long an attempt that is over is remembered, in seconds: so long the SDK tries to tell Temporal of its end."""

_AT_ONCE: Final = 64 * 1024
_SETTLES_WITHIN: Final = 0.2
_STDERR: Final = 2


@dataclass(frozen=True, slots=True)
class RunnerPlan:
    """What a supervisor runs, and how.

    `environment` is added to this process's; output goes to `log_path`, or to where this process's own goes. `options`
    are further options of the runner's command. Times are in seconds.
    """

    agents: tuple[str, ...]
    task_queue: str
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    log_path: Path | None = None
    grace: float = 25.0
    stall_after: float = 3.0

    def command(self, ties: Ties) -> list[str]:
        """The command of a runner that stops when this process dies.

        -P keeps the current folder from hiding our packages.
        """
        program = [sys.executable, "-P", "-c", "from workflows.cli import main; main()"]
        agents = [part for agent in self.agents for part in ("--agent", agent)]
        tied = ["--no-supervisor", "--parent", str(os.getpid()), *ties.options]
        return [*program, "runner", *tied, *self.options, *agents]


class SupervisedRunner:
    """A runner process from its start to its end. Belongs to one event loop."""

    def __init__(
        self, process: asyncio.subprocess.Process, mark: str, link: int, stderr: LastWords, stacks: LastWords
    ) -> None:
        """`link` is the reading end of the pipe; it is closed with the process's end."""
        self.runner_id = runner_id_of(process.pid, mark)
        self.stage = "starting the process"
        self.is_ready = False
        self.is_beating = False
        self.attempts: dict[tuple[str, int], AttemptOpened] = {}
        self.memory = MemoryGroup(process.pid)
        self.stderr = stderr
        self.stacks = stacks
        self.began = self.beat_at = time.monotonic()
        self._process = process
        self._closed: list[tuple[float, AttemptOpened]] = []
        self._link = link
        self._reader = LinkReader()
        os.set_blocking(link, False)
        asyncio.get_running_loop().add_reader(link, self._hear)

    @classmethod
    async def start(cls, plan: RunnerPlan) -> SupervisedRunner:
        """Start a runner. Raises OSError when there can be no process or no log now."""
        log = await asyncio.to_thread(_opened, plan.log_path)
        link, their_link = os.pipe()
        stderr = LastWords(STDERR_KEPT, pass_on_to=_STDERR if log is None else log)
        stacks = LastWords(STACKS_KEPT)
        os.set_blocking(stacks.writer, False)  # who dumps stacks must never wait for us
        ties = Ties(new_mark(), their_link, stacks.writer, os.dup(_STDERR) if log is None else log)
        try:
            process = await asyncio.create_subprocess_exec(
                *plan.command(ties),
                env={**os.environ, **plan.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=stderr.writer,
                pass_fds=ties.descriptors,
                start_new_session=True,  # Ctrl-C reaches the parent, which stops its children in order
            )
        except BaseException:
            os.close(link)
            raise
        finally:
            stderr.let_go()
            for fd in ties.descriptors:
                os.close(fd)
        return cls(process, ties.mark, link, stderr, stacks)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    @property
    def ended_in_order(self) -> bool:
        """Whether it ended because somebody had told it to. An exit code of 0 alone may be an agent's doing."""
        return self._process.returncode == 0 and self.stage == STOPPING

    @property
    def age(self) -> float:
        """How long ago it was started, in seconds."""
        return time.monotonic() - self.began

    async def ended(self) -> int:
        """Wait for the end of the process and for its last words; returns its exit code, negative for a signal."""
        code = await self._process.wait()
        self._hear()
        self._hang_up()
        self.memory.look()
        await asyncio.to_thread(self.stderr.settle, _SETTLES_WITHIN)
        return code

    def ask_for_stacks(self) -> None:
        """Have it leave the stacks of all its threads in `stacks`; only for one that has beaten."""
        with suppress(ProcessLookupError):
            self._process.send_signal(ASK_FOR_STACKS)

    async def stop(self, patience: float) -> None:
        """SIGTERM, and SIGKILL when `patience` (seconds) is over."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), patience)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def undelivered(self) -> list[AttemptOpened]:
        """The attempts of whose end Temporal may not know: those that are open, and those that ended just now."""
        since = time.monotonic() - CLOSED_KEPT
        return [*self.attempts.values(), *(attempt for at, attempt in self._closed if at >= since)]

    def _hear(self) -> None:
        while True:
            try:
                data = os.read(self._link, _AT_ONCE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                return
            for said in self._reader.feed(data):
                self._take(said)

    def _take(self, said: Said) -> None:
        now = time.monotonic()
        match said:
            case StageReached():
                self.stage = said.stage
                self.is_ready = self.is_ready or said.is_ready
                self.beat_at = now
            case AttemptOpened():
                self.attempts[said.execution_id, said.attempt] = said
            case AttemptClosed():
                closed = self.attempts.pop((said.execution_id, said.attempt), None)
                self._closed = [(at, attempt) for at, attempt in self._closed if at >= now - CLOSED_KEPT]
                if closed is not None:
                    self._closed.append((now, closed))
            case Beat():
                self.is_beating, self.beat_at = True, now

    def _hang_up(self) -> None:
        if self._link >= 0:
            asyncio.get_running_loop().remove_reader(self._link)
            os.close(self._link)
            self._link = -1


def _opened(log_path: Path | None) -> int | None:
    return None if log_path is None else os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

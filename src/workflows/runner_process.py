"""A runner as a child process: started, started again when it ends, and stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import structlog

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
HEALTHY_AFTER: Final = 30.0
"""Seconds of life after which the next restart is quick again."""

log = structlog.get_logger("up")


def runner_command(agents: Sequence[str]) -> list[str]:
    """The command of a runner that stops when this process dies.

    -P keeps the current folder from hiding our packages.
    """
    names = [part for agent in agents for part in ("--agent", agent)]
    return [
        sys.executable,
        "-P",
        "-c",
        "from workflows.cli import main; main()",
        "runner",
        "--parent",
        str(os.getpid()),
        *names,
    ]


class RunnerChild:
    """One runner process and its successors."""

    def __init__(
        self,
        agents: Sequence[str],
        environment: Mapping[str, str],
        *,
        log_path: Path | None = None,
        grace: float = 25.0,
    ) -> None:
        """`environment` is added to this process's; output goes to `log_path`, or to stderr; `grace` is in seconds."""
        self._agents = tuple(agents)
        self._environment = {**os.environ, **environment}
        self._log_path = log_path
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run_once(self) -> int:
        """Start a runner and wait for its end; returns its exit code, negative for a signal."""
        output = await asyncio.to_thread(self._output)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *runner_command(self._agents),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the parent, which stops its children in order
            )
        finally:
            if output is not None:
                output.close()
        return await self._process.wait()

    async def keep_running(self) -> None:
        """Run it again and again, with growing pauses while it keeps dying; ends when cancelled."""
        pause = FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            code = await self.run_once()
            if asyncio.get_running_loop().time() - began > HEALTHY_AFTER:
                pause = FIRST_PAUSE
            log.warning("the runner ended; it is started again", exit_code=code, in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when its grace is over."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._grace + 5)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _output(self) -> IO[bytes] | None:
        return self._log_path.open("ab") if self._log_path is not None else None

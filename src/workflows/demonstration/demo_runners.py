"""The demonstration's runners: most under supervisors in this process, one with a supervisor that can be killed too."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from projector.console import say
from projector.errors import EngineUnreachable
from projector.opening import open_queries
from projector.projections.runners import RunnerState
from runner.supervision.supervisor import Restarts, Supervisor
from workflows.up import Installation, supervised

READY_WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class RunnerOrder:
    """A runner that a demonstration needs. `is_separate`: its supervisor is a process of its own."""

    queue: str
    agents: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_separate: bool = False


class DemoRunners:
    """Runners by queue, and what can be done to them."""

    def __init__(self, running: Installation) -> None:
        self._running = running
        self._supervisors: dict[str, Supervisor] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @asynccontextmanager
    async def started(self, orders: Sequence[RunnerOrder]) -> AsyncIterator[None]:
        """The runners for the length of the block, each ready or failed when it begins."""
        async with AsyncExitStack() as stack:
            ends = {order.queue: await self._start(order, stack) for order in orders}
            await self._until_settled(ends)
            yield

    async def kill(self, queue: str) -> int:
        """SIGKILL the runner; returns its process id."""
        pid = await self.pid(queue)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def kill_with_supervisor(self, queue: str) -> int:
        """SIGKILL the supervisor and the runner; returns the runner's process id."""
        pid = await self.pid(queue)
        self._processes[queue].kill()
        with suppress(ProcessLookupError):  # it is told to stop when its parent dies, and may be that quick
            os.kill(pid, signal.SIGKILL)
        return pid

    async def freeze(self, queue: str) -> int:
        """SIGSTOP the runner; returns its process id."""
        pid = await self.pid(queue)
        os.kill(pid, signal.SIGSTOP)
        return pid

    async def thaw(self, queue: str) -> None:
        """SIGCONT the runner."""
        with suppress(ProcessLookupError):
            os.kill(await self.pid(queue), signal.SIGCONT)

    async def pid(self, queue: str) -> int:
        """The process id of the latest runner of a queue."""
        async with open_queries(self._running.settings) as queries:
            return (await queries.runners(queue))[0].pid

    async def _start(self, order: RunnerOrder, stack: AsyncExitStack) -> asyncio.Future[int]:
        if order.is_separate:
            return await self._start_process(order, stack)
        log_path = self._running.settings.data_dir / f"{order.queue}.log"
        supervisor = self._supervisors[order.queue] = supervised(
            self._running, order.agents, task_queue=order.queue, environment=order.environment, log_path=log_path
        )
        task = asyncio.create_task(supervisor.run(Restarts.NEVER))

        async def stop() -> None:
            await supervisor.stop()
            await task

        stack.push_async_callback(stop)
        return task

    async def _start_process(self, order: RunnerOrder, stack: AsyncExitStack) -> asyncio.Future[int]:
        settings = self._running.settings
        names = [part for agent in order.agents for part in ("--agent", agent)]
        command = [sys.executable, "-P", "-c", "from workflows.cli import main; main()", "runner", *names]
        command += ["--parent", str(os.getpid()), "--queue", order.queue, "--data-dir", str(settings.data_dir)]
        with (settings.data_dir / f"{order.queue}.log").open("ab") as log:
            process = self._processes[order.queue] = await asyncio.create_subprocess_exec(
                *command,
                "--store",
                settings.store_address.url,
                env={**os.environ, "TEMPORAL_ADDRESS": self._running.address, **order.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        async def stop() -> None:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

        stack.push_async_callback(stop)
        return asyncio.ensure_future(process.wait())

    async def _until_settled(self, ends: Mapping[str, asyncio.Future[int]]) -> None:
        """Wait until every runner has said that it is ready, or why it could not start."""
        deadline = asyncio.get_running_loop().time() + READY_WITHIN
        async with open_queries(self._running.settings) as queries:
            while True:
                ended = {queue for queue, end in ends.items() if end.done()}
                settled = {r.task_queue for r in await queries.runners() if r.state is not RunnerState.STARTING}
                missing = set(ends) - settled
                if not missing:
                    return
                if missing & ended or asyncio.get_running_loop().time() > deadline:
                    queue = min(missing & ended or missing)
                    log = self._running.settings.data_dir / f"{queue}.log"
                    say((await asyncio.to_thread(log.read_text, errors="replace"))[-2000:])
                    raise EngineUnreachable(f"the runner on queue '{queue}' did not start: the end of its log is above")
                await asyncio.sleep(self._running.settings.poll_interval)

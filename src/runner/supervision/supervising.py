"""The composition root of a supervised runner: the store, Temporal, the signals, and the runner's own command."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from projector.logs import configure_logging
from projector.opening import hygiene_from_environment, lock_holder, open_store
from runner.settings import RunnerSettings
from runner.supervision.late_store import LateStore
from runner.supervision.supervised_runner import RunnerPlan
from runner.supervision.supervisor import Restarts, Supervisor
from runner.ties import stop_with

if TYPE_CHECKING:
    from temporalio.client import Client


def run_supervised(
    settings: RunnerSettings,
    agent_names: Sequence[str],
    *,
    options: Sequence[str] = (),
    verbose: bool = False,
    parent: int | None = None,
) -> int:
    """Run a runner in a child process until told to stop; returns its exit code.

    `options` are those of the runner's command that the child must be given too. A runner whose first start fails is
    not started again. With `parent` all stops, in order, when that process dies (on Linux).
    """
    if parent is not None:
        stop_with(parent)
    configure_logging(hygiene_from_environment().redactor, verbose=verbose)
    plan = RunnerPlan(
        tuple(agent_names),
        settings.agent_queue,
        options=tuple(options),
        grace=settings.grace,
        stall_after=settings.stall_after,
    )
    return asyncio.run(_supervise(settings, plan))


async def _supervise(settings: RunnerSettings, plan: RunnerPlan) -> int:
    hygiene = hygiene_from_environment()
    store = LateStore(lambda: open_store(settings, hygiene))

    async def connected() -> Client:
        # In a thread: the import takes long, and the runner has begun.
        await asyncio.to_thread(importlib.import_module, "runner.connection")
        from runner.connection import connect

        identity = f"supervisor:{socket.gethostname()}-{os.getpid()}"
        return await connect(settings.data_dir, timeout=settings.connect_timeout, identity=identity)

    supervisor = Supervisor(plan, store, hygiene, connected, partial(lock_holder, settings))
    stopping: list[asyncio.Task[None]] = []
    interrupted = False

    def told(number: int) -> None:
        nonlocal interrupted
        interrupted = interrupted or number == signal.SIGINT
        stopping.append(asyncio.create_task(supervisor.stop()))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told, number)
    try:
        code = await supervisor.run(Restarts.ONCE_READY)
        await asyncio.gather(*stopping)
    finally:
        await asyncio.to_thread(store.close)
    if code >= 0:
        return code
    return 130 if interrupted else 128 - code

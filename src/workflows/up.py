"""Everything on one machine: Temporal, the orchestrator, the projector and a runner, until told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from temporalio.client import Client

from projector.engines.ports import StoreEngine
from projector.errors import InputRejected
from projector.keeping.at_rest import environment_for
from projector.metrics_server import serving_metrics
from projector.opening import hygiene_from_environment, lock_holder, open_store
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from runner.connection import ADDRESS_FILE, configured_address, connect
from runner.supervision.supervised_runner import RunnerPlan
from runner.supervision.supervisor import Restarts, Supervisor
from workflows.dev_server import dev_server
from workflows.orchestrator import orchestrating
from workflows.service.beside import service_beside
from workflows.settings import OrchestratorSettings

EXAMPLES: Final = ("examples.file_agent:agent",)
NO_PAGE: Final = "none: `pip install 'execution-status[server]'` adds it"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Installation:
    """What runs on this machine. `address` is Temporal's."""

    settings: OrchestratorSettings
    store: StoreEngine
    client: Client
    address: str
    orchestrator: asyncio.Task[None]


@asynccontextmanager
async def installation(settings: OrchestratorSettings) -> AsyncIterator[Installation]:
    """Temporal, the orchestrator and the projector for the length of the block; runners are the caller's.

    Raises StoreError, EngineUnreachable, InputRejected when another one runs on the data folder.
    """
    async with AsyncExitStack() as stack:
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputRejected(
                f"the data folder {settings.data_dir} cannot be made: {error.strerror}; choose another --data-dir"
            ) from error
        stack.enter_context(_only_one(settings.data_dir))
        store = await asyncio.to_thread(open_store, settings, hygiene_from_environment())
        stack.callback(store.close)
        metrics = stack.enter_context(serving_metrics(settings.metrics_port, store))
        stack.enter_context(_projecting(store, settings.poll_interval))
        address = configured_address()
        if address is None:
            database = settings.data_dir / "temporal.db"
            server = await stack.enter_async_context(
                dev_server(database=database, log_path=settings.data_dir / "temporal.log")
            )
            address = server.address
            stack.enter_context(_left_address(settings.data_dir / ADDRESS_FILE, address))
        client = await connect(
            settings.data_dir, timeout=settings.connect_timeout, identity=f"orchestrator:{os.getpid()}"
        )
        orchestrator = await stack.enter_async_context(orchestrating(client, store, settings=settings, metrics=metrics))
        yield Installation(settings, store, client, address, orchestrator)


async def up(settings: OrchestratorSettings, agents: Sequence[str], say: Say) -> None:
    """Run everything with one runner until SIGINT or SIGTERM. Raises what `installation` raises."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        installation(settings) as running,
        service_beside(settings, running.store, hygiene_from_environment()) as page,
    ):
        runner = supervised(running, agents)
        keeping = asyncio.create_task(runner.run(Restarts.ALWAYS))
        say(f"Temporal     {running.address}")
        say(f"event store  {settings.store_address}")
        say(f"page         {page or NO_PAGE}")
        say(f"runner       serves {', '.join(agents)} on queue '{settings.agent_queue}'")
        say(f"now: execution-status start --agent {agents[0]} --follow      (Ctrl-C here stops everything)")
        try:
            told = asyncio.create_task(stopping.wait())
            await asyncio.wait({told, running.orchestrator}, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if running.orchestrator.done():
                await running.orchestrator
            say("stopping: agents that run have their grace to finish")
        finally:
            await runner.stop()
            await keeping


def supervised(
    running: Installation,
    agents: Sequence[str],
    *,
    task_queue: str | None = None,
    environment: Mapping[str, str] | None = None,
    log_path: Path | None = None,
) -> Supervisor:
    """A supervisor of runners that use the same store and the same Temporal; `environment` is added to theirs."""
    settings = running.settings
    queue = task_queue or settings.agent_queue
    plan = RunnerPlan(
        agents=tuple(agents),
        task_queue=queue,
        environment={
            "EXECUTION_STATUS_STORE": settings.store_address.url,
            "EXECUTION_STATUS_DATA_DIR": str(settings.data_dir.absolute()),
            "EXECUTION_STATUS_AGENT_QUEUE": queue,
            "EXECUTION_STATUS_GRACE": str(settings.grace),
            "EXECUTION_STATUS_STALL_AFTER": str(settings.stall_after),
            "EXECUTION_STATUS_METRICS_PORT": "0",  # this process has it
            "TEMPORAL_ADDRESS": running.address,
            **environment_for(settings),
            **(environment or {}),
        },
        log_path=log_path,
        grace=settings.grace,
        stall_after=settings.stall_after,
    )

    async def connected() -> Client:
        return running.client

    return Supervisor(plan, running.store, hygiene_from_environment(), connected, partial(lock_holder, settings))


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder. The kernel lets go of the lock when the process ends, however it ends."""
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputRejected(
                f"another `execution-status up` runs on {data_dir}: use it, end it, or choose another --data-dir"
            ) from None
        yield


@contextmanager
def _projecting(store: StoreEngine, poll_interval: float) -> Iterator[None]:
    stopping = threading.Event()
    runner = ProjectionRunner(store, store.database, renew=partial(rebuild, store))
    thread = threading.Thread(
        target=runner.run, args=(stopping,), kwargs={"poll_interval": poll_interval}, name="projector", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)


@contextmanager
def _left_address(path: Path, address: str) -> Iterator[None]:
    path.write_text(address + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)

"""The orchestrator: the worker that runs the workflows and appends their events."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from temporalio.client import Client
from temporalio.worker import Worker

from projector.engines.sqlite import SqliteEventStore
from projector.event_writer import EventWriter
from projector.opening import hygiene_from_environment, open_store
from runner.connection import connect
from workflows.execution_workflow import InvokeAgentExecution
from workflows.recording import Recording
from workflows.settings import OrchestratorSettings

CACHED_WORKFLOWS: Final = 1000


@asynccontextmanager
async def orchestrating(
    client: Client, store: SqliteEventStore, *, task_queue: str
) -> AsyncIterator[asyncio.Task[None]]:
    """Run an orchestrator for the length of the block; the task that it yields ends only if the worker fails."""
    writer = EventWriter(store)
    recording = Recording(store, writer)
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=[InvokeAgentExecution],
        activities=[recording.record_start, recording.record_thread, recording.record_outcome],
        max_cached_workflows=CACHED_WORKFLOWS,
        # A bug, or an input that cannot be read, fails the workflow instead of leaving it RUNNING for ever.
        workflow_failure_exception_types=[Exception],
    )
    running = asyncio.create_task(worker.run())
    try:
        yield running
    finally:
        if not running.done():
            await worker.shutdown()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(writer.close)


async def run_orchestrator(settings: OrchestratorSettings, say: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. Raises StoreError, SettingsRejected, EngineUnreachable."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    store = await asyncio.to_thread(open_store, settings, hygiene_from_environment())
    try:
        client = await connect(
            settings.data_dir, timeout=settings.connect_timeout, identity=f"orchestrator:{os.getpid()}"
        )
        async with orchestrating(client, store, task_queue=settings.orchestrator_queue) as running:
            say(f"orchestrator serves queue '{settings.orchestrator_queue}'")
            told = asyncio.create_task(stopping.wait())
            await asyncio.wait({told, running}, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if running.done():
                await running
    finally:
        store.close()

"""The orchestrator: the worker that runs the workflows and appends their events, and the jobs beside it that watch what
the store and Temporal say about executions that have not ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from temporalio.client import Client
from temporalio.worker import Worker

from projector.engines.ports import StoreEngine
from projector.event_writer import EventWriter
from projector.live_statuses import LiveStatuses
from projector.metrics_server import serving_metrics
from projector.opening import hygiene_from_environment, open_store
from runner.connection import connect, engine_of
from workflows.background import Job, running_jobs
from workflows.client import ExecutionClient
from workflows.execution_workflow import InvokeAgentExecution
from workflows.queues.attempt_watch import AttemptWatch
from workflows.queues.nudges import Nudges
from workflows.queues.preflight import Preflight
from workflows.queues.queue_watch import QueueWatch
from workflows.queues.task_queue import TaskQueues
from workflows.reconciliation.reconciler import Reconciler
from workflows.recording import WRITER, Recording
from workflows.recovery import retry_automatically
from workflows.settings import OrchestratorSettings
from workflows.verdict.gathering import Gathering

if TYPE_CHECKING:
    from projector.process_metrics import ProcessMetrics

CACHED_WORKFLOWS: Final = 1000
STICKY_FOR: Final = timedelta(seconds=2)
"""How long a workflow waits for the orchestrator that knows it before any other may go on with it: that one may be
dead. The SDK's own default of 10 s is a delay that every open execution would see."""


@asynccontextmanager
async def orchestrating(
    client: Client, store: StoreEngine, *, settings: OrchestratorSettings, metrics: ProcessMetrics | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run an orchestrator for the length of the block; the task that it yields ends only if the worker fails."""
    engine = await engine_of(client)
    writer = EventWriter(store)
    if metrics is not None:
        metrics.watch_writer(writer)
    statuses, queues, nudges = LiveStatuses(store), TaskQueues(client), Nudges(client)
    gathering = Gathering(store, queues, startup_grace=settings.startup_grace)
    executions = ExecutionClient(settings, store, hygiene_from_environment(), connection=client, writer=WRITER)
    recording = Recording(
        store,
        writer,
        gathering,
        preflight=Preflight(queues, statuses),
        recover=partial(retry_automatically, executions, settings),
        engine=engine,
    )
    queue_watch = QueueWatch(statuses, queues, writer, nudges, startup_grace=settings.startup_grace)
    attempt_watch = AttemptWatch(statuses, nudges)
    jobs = [
        Job("live statuses", partial(statuses.keep_fresh, settings.poll_interval)),
        Job("queue watch", queue_watch.run),
        Job("attempt watch", attempt_watch.run),
        Job("reconciler", Reconciler(client, store, writer, statuses, settings).run),
    ]
    worker = Worker(
        client,
        task_queue=settings.orchestrator_queue,
        workflows=[InvokeAgentExecution],
        activities=[recording.record_start, recording.record_thread, recording.record_outcome],
        max_cached_workflows=CACHED_WORKFLOWS,
        sticky_queue_schedule_to_start_timeout=STICKY_FOR,
        # A bug, or an input that cannot be read, fails the workflow instead of leaving it RUNNING for ever.
        workflow_failure_exception_types=[Exception],
    )
    running = asyncio.create_task(worker.run())
    try:
        async with running_jobs(jobs):
            yield running
    finally:
        if not running.done():
            await worker.shutdown()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(writer.close)


async def run_orchestrator(settings: OrchestratorSettings, say: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. Raises StoreError, EngineUnreachable."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    store = await asyncio.to_thread(open_store, settings, hygiene_from_environment())
    try:
        client = await connect(
            settings.data_dir, timeout=settings.connect_timeout, identity=f"orchestrator:{os.getpid()}"
        )
        with serving_metrics(settings.metrics_port, store) as metrics:
            async with orchestrating(client, store, settings=settings, metrics=metrics) as running:
                say(f"orchestrator serves queue '{settings.orchestrator_queue}'")
                told = asyncio.create_task(stopping.wait())
                await asyncio.wait({told, running}, return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
                if running.done():
                    await running
    finally:
        store.close()

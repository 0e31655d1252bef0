"""The command that compares the open executions with Temporal: one pass, or one after the other until it is told to
stop. It needs neither an orchestrator nor a projector.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from projector.console import print_json, say
from projector.event_writer import EventWriter
from projector.live_statuses import LiveStatuses
from projector.opening import hygiene_from_environment, open_existing_store
from runner.connection import connect
from workflows.reconciliation.reconcile_report import ReconcileReport
from workflows.reconciliation.reconciler import Reconciler
from workflows.settings import OrchestratorSettings

COULD_NOT_COMPARE = 4


async def reconcile(settings: OrchestratorSettings, *, once: bool, as_json: bool) -> int:
    """Reconcile, and print a line for each event that was written; returns the exit code.

    Raises StoreMissing, StoreError, SettingsRejected, EngineUnreachable.
    """
    store = await asyncio.to_thread(open_existing_store, settings, hygiene_from_environment())
    writer = EventWriter(store)
    try:
        client = await connect(
            settings.data_dir, timeout=settings.connect_timeout, identity=f"reconciler:{os.getpid()}"
        )
        reconciler = Reconciler(client, store, writer, LiveStatuses(store), settings)
        if once:
            report = await reconciler.once()
            _print(report, as_json=as_json)
            say(str(report))
            return COULD_NOT_COMPARE if report.troubles else 0
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        say(f"compares open executions with Temporal every {settings.reconcile_interval:g} s; Ctrl-C ends it")
        running = asyncio.create_task(reconciler.run(lambda report: _print(report, as_json=as_json)))
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, told):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return 0
    finally:
        await asyncio.to_thread(writer.close)
        store.close()


def _print(report: ReconcileReport, *, as_json: bool) -> None:
    for each in report.written:
        if as_json:
            print_json({"execution_id": each.execution_id, "type": each.type, "said": each.said})
        else:
            print(f"{each.execution_id}  {each.type}  {each.said}".rstrip(), flush=True)

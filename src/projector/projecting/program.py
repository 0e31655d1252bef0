"""The projector as a program of its own: the loop in a thread, until the process is told to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

from projector.metrics_server import serving_metrics
from projector.opening import open_store
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.settings import StoreSettings


async def project_until_told(settings: StoreSettings, say: Callable[[str], None]) -> None:
    """Keep the query tables up to date until SIGINT or SIGTERM; makes the store if need be. Raises StoreError."""
    # Not set by a signal handler proper: that may interrupt the very wait whose lock it needs.
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with closing(await asyncio.to_thread(open_store, settings)) as store:
        runner = ProjectionRunner(store, store.database, renew=partial(rebuild, store))
        with serving_metrics(settings.metrics_port, store):
            say(f"the projector follows {store.place}; Ctrl-C ends it")
            await asyncio.to_thread(runner.run, stopping, poll_interval=settings.poll_interval)

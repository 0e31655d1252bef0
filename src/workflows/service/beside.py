"""The service beside what else a program does: a thread with an event loop of its own, so that neither waits for the
other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Final

from projector.door.hygiene import Hygiene
from projector.engines.ports import StoreEngine
from projector.errors import InputRejected
from workflows.settings import OrchestratorSettings

STOPS_WITHIN: Final = 10.0
"""A service that has not stopped by then is left to the end of the process, in seconds."""


@asynccontextmanager
async def service_beside(
    settings: OrchestratorSettings, store: StoreEngine, hygiene: Hygiene
) -> AsyncIterator[str | None]:
    """Serve for the length of the block; gives the address, or None where the extra `server` is not installed.

    A port that nobody asked for and that is taken is exchanged for one that is free. Raises what `serving` raises.
    """
    address: Future[str] = Future()
    loop_and_stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def serve() -> None:
        try:
            asyncio.run(_serve(settings, store, hygiene, address, loop_and_stop))
        except BaseException as error:
            if not address.done():
                address.set_exception(error)

    thread = threading.Thread(target=serve, name="status-service", daemon=True)
    thread.start()
    try:
        try:
            found: str | None = await asyncio.wrap_future(address)
        except ImportError:
            found = None
        yield found
    finally:
        if loop_and_stop.done():
            loop, stop = loop_and_stop.result()
            if not loop.is_closed():
                loop.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(thread.join, STOPS_WITHIN)


async def _serve(
    settings: OrchestratorSettings,
    store: StoreEngine,
    hygiene: Hygiene,
    address: Future[str],
    loop_and_stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    from workflows.service.desk import desk
    from workflows.service.program import rules_of
    from workflows.service.serving import serving

    stop = asyncio.Event()
    loop_and_stop.set_result((asyncio.get_running_loop(), stop))
    async with desk(settings, store, hygiene) as made:
        ports = [settings.serve_port] if "serve_port" in settings.model_fields_set else [settings.serve_port, 0]
        for port in ports:
            try:
                async with serving(made, settings.serve_host, port, rules_of(settings)) as where:
                    address.set_result(where)
                    await stop.wait()
                return
            except InputRejected:
                if address.done() or port == ports[-1]:
                    raise

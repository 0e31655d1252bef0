"""A Temporal server of a test's own, that can be killed and started again with all that it knew."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from projector.opening import hygiene_from_environment, open_store
from runner.connection import ADDRESS_FILE, connect
from tests import engines
from tests.temporal.harness import Harness
from workflows.client import ExecutionClient
from workflows.dev_server import DevServer, dev_server
from workflows.orchestrator import orchestrating
from workflows.settings import OrchestratorSettings


@dataclass
class Engine:
    """The server. Its port stays the same."""

    database: Path
    port: int
    _running: list[tuple[AbstractAsyncContextManager[DevServer], DevServer]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running[-1][1].pid

    async def start(self) -> None:
        """Start it, on what it left behind."""
        block = dev_server(database=self.database, port=self.port, log_path=self.database.with_suffix(".log"))
        self._running.append((block, await block.__aenter__()))

    async def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """End it in order, if it runs."""
        while self._running:
            block, _ = self._running.pop()
            await block.__aexit__(None, None, None)


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[Engine]:
    """A server that runs, with its database in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    engine = Engine(folder / "temporal.db", port)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def served(
    engine: Engine, settings: OrchestratorSettings, store_engine: engines.Engine
) -> AsyncIterator[Harness]:
    """A store and an orchestrator on this server, in this process; the store's place is made here."""
    (settings.data_dir / ADDRESS_FILE).write_text(engine.address)
    with store_engine.make_place(settings.data_dir) as place:
        settings = settings.model_copy(update={"store": place})
        store = await asyncio.to_thread(open_store, settings)
        try:
            client = await connect(settings.data_dir, timeout=10, identity="orchestrator:1")
            executions = ExecutionClient(settings, store, hygiene_from_environment(), connection=client)
            async with orchestrating(client, store, settings=settings):
                yield Harness(settings, store, client, engine.address, executions)
        finally:
            store.close()

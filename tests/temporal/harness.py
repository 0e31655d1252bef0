"""One installation for all tests: a real Temporal, a store, an orchestrator, a projector, and hands to use them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from projector.engines.ports import StoreEngine
from projector.envelope import RecordedEvent, execution_stream
from projector.events import Timeouts
from projector.execution_status import ExecutionStatus, fold
from projector.failures import Failure
from projector.opening import hygiene_from_environment, open_queries, open_store
from projector.streams import StatusChange, follow
from tests.engines import SQLITE, Engine, engine_at
from tests.temporal.processes import COMMAND, ROOT, UNPRIVILEGED, Program, program
from workflows.client import ExecutionClient, ExecutionRequest
from workflows.orchestrator import orchestrating
from workflows.settings import OrchestratorSettings
from workflows.up import installation

HEALTHY_QUEUE: Final = "survey"
TIMEOUTS: Final = Timeouts(schedule_to_start=30, heartbeat=2, start_to_close=30)
GRACE: Final = 2.0

_numbers: Final = count(1)


def agent(name: str) -> str:
    """A test agent's full name; one of another module has its own already."""
    return name if ":" in name else f"tests.temporal.agents:{name}"


@dataclass(frozen=True)
class Harness:
    """What a test works with: a store, its orchestrator's Temporal, and a client of both."""

    settings: OrchestratorSettings
    store: StoreEngine
    temporal: Client
    address: str
    executions: ExecutionClient

    @property
    def folder(self) -> Path:
        return self.settings.data_dir

    @property
    def engine(self) -> Engine:
        """What its store is kept by."""
        return engine_at(self.settings.store_address)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the store's lock against every other writer for the length of the block."""
        return self.engine.locked(self.settings.store)

    @property
    def surroundings(self) -> dict[str, str]:
        """What a process of ours must be told so that it uses this store and this Temporal."""
        lock_timeout = self.settings.lock_timeout
        return {
            "EXECUTION_STATUS_STORE": self.settings.store_address.url,
            "EXECUTION_STATUS_DATA_DIR": str(self.settings.data_dir),
            "EXECUTION_STATUS_AGENT_QUEUE": self.settings.agent_queue,
            "EXECUTION_STATUS_ORCHESTRATOR_QUEUE": self.settings.orchestrator_queue,
            "EXECUTION_STATUS_GRACE": str(self.settings.grace),
            "TEMPORAL_ADDRESS": self.address,
        } | ({} if lock_timeout is None else {"EXECUTION_STATUS_LOCK_TIMEOUT": str(lock_timeout)})

    async def start(
        self,
        name: str,
        input: str = "",
        *,
        queue: str | None = None,
        timeouts: Timeouts = TIMEOUTS,
        execution_id: str | None = None,
        session_id: str | None = None,
    ) -> str:
        """Start a test agent; returns the execution's id."""
        execution_id = execution_id or f"{name.rpartition(':')[2].replace('_', '-')}-{next(_numbers)}"
        request = ExecutionRequest(
            agent=agent(name),
            input=input,
            execution_id=execution_id,
            session_id=session_id,
            task_queue=queue,
            timeouts=timeouts,
        )
        return (await self.executions.start(request)).execution_id

    async def run(self, name: str, input: str = "", *, within: float = 30.0, **options: Any) -> ExecutionStatus:
        """Start a test agent and wait for the execution's end."""
        return await self.end(await self.start(name, input, **options), within=within)

    async def until(
        self, execution_id: str, condition: Callable[[StatusChange], bool], *, within: float = 20.0
    ) -> StatusChange:
        """Wait for the first change of which the condition holds. Fails when the execution ends before."""
        last = None
        try:
            async with asyncio.timeout(within):
                async for change in follow(self.store, execution_id, poll_interval=0.02):
                    last = change
                    if condition(change):
                        return change
        except TimeoutError:
            raise AssertionError(f"not within {within:g} s; the last change was {last}") from None
        raise AssertionError(f"the execution ended before: {last}")

    async def until_event(self, execution_id: str, kind: type, *, within: float = 20.0) -> StatusChange:
        """Wait for the first event of a kind."""
        return await self.until(execution_id, lambda change: isinstance(change.record.event, kind), within=within)

    async def end(self, execution_id: str, *, within: float = 30.0) -> ExecutionStatus:
        """Wait for the execution's end."""
        return (await self.until(execution_id, lambda change: change.status.phase.is_terminal, within=within)).status

    async def until_stored(self, execution_id: str, kind: type, *, within: float = 20.0) -> RecordedEvent:
        """Wait for an event that may come after the end, where streams no longer look."""
        async with asyncio.timeout(within):
            while True:
                for record in await self.history(execution_id):
                    if isinstance(record.event, kind):
                        return record
                await asyncio.sleep(0.02)

    async def status(self, execution_id: str) -> ExecutionStatus:
        """The status as of now, late events included."""
        status = fold(None, await self.history(execution_id))
        assert status is not None
        return status

    async def history(self, execution_id: str) -> list[RecordedEvent]:
        return await asyncio.to_thread(self.store.read, execution_stream(execution_id))

    async def projected(self) -> None:
        """Wait until the query tables are where the store is."""
        async with asyncio.timeout(10), open_queries(self.settings) as queries:
            while (await queries.lag()).events:
                await asyncio.sleep(0.02)

    def workflow(self, execution_id: str) -> WorkflowHandle[Any, Any]:
        return self.temporal.get_workflow_handle(execution_id)

    @asynccontextmanager
    async def runner(
        self, *agents: str, queue: str, extra: dict[str, str] | None = None, supervised: bool = False
    ) -> AsyncIterator[Program]:
        """A runner of its own, ready to serve; the program is its supervisor if it is `supervised`."""
        async with self.starting_runner(*agents, queue=queue, extra=extra, supervised=supervised) as started:
            await started.says("serves queue")
            yield started

    @asynccontextmanager
    async def starting_runner(
        self,
        *agents: str,
        queue: str,
        extra: dict[str, str] | None = None,
        cwd: Path = ROOT,
        supervised: bool = False,
    ) -> AsyncIterator[Program]:
        """A runner that has just been started, and may never be ready. `agents` are full names."""
        names = [part for name in agents for part in ("--agent", name)]
        names += ["--parent", str(os.getpid()), "--supervisor" if supervised else "--no-supervisor"]
        surroundings = self.surroundings | {"EXECUTION_STATUS_AGENT_QUEUE": queue} | (extra or {})
        async with program(
            "runner", *names, folder=self.folder, name=f"runner-{queue}", extra=surroundings, cwd=cwd
        ) as started:
            yield started

    @asynccontextmanager
    async def watch(self, execution_id: str, name: str, *arguments: str) -> AsyncIterator[Program]:
        """The command that watches an execution, printing JSON."""
        command = ("watch", execution_id, "--json", *arguments)
        async with program(*command, folder=self.folder, name=name, extra=self.surroundings) as started:
            yield started

    @asynccontextmanager
    async def orchestrator(self, name: str) -> AsyncIterator[Program]:
        """An orchestrator as a process of its own, ready to serve; the modes of the store's file apply also to root."""
        prefix = UNPRIVILEGED if self.engine is SQLITE else COMMAND  # a server's socket may be another user's
        async with program(
            "orchestrator", folder=self.folder, name=name, extra=self.surroundings, prefix=prefix
        ) as started:
            await started.says("orchestrator serves")
            yield started

    @asynccontextmanager
    async def beside(self, name: str, *, lock_timeout: float, orchestrated: bool) -> AsyncIterator[Harness]:
        """A store and queues of its own on the same Temporal, for a test that breaks things.

        With `orchestrated` an orchestrator in this process serves it; without, the test brings its own.
        """
        folder = self.folder / name  # its store's alone: Temporal is found by the data folder, which stays the same
        folder.mkdir()
        with self.engine.make_place(folder) as place:
            settings = self.settings.model_copy(
                update={
                    "store": place,
                    "agent_queue": f"{name}-agents",
                    "orchestrator_queue": f"{name}-orchestrator",
                    "lock_timeout": lock_timeout,
                }
            )
            store = await asyncio.to_thread(open_store, settings)
            try:
                executions = ExecutionClient(settings, store, hygiene_from_environment())
                harness = replace(self, settings=settings, store=store, executions=executions)
                if not orchestrated:
                    yield harness
                    return
                async with orchestrating(self.temporal, store, settings=settings):
                    yield harness
            finally:
                store.close()


@asynccontextmanager
async def installed(folder: Path, engine: Engine = SQLITE, **chosen: float) -> AsyncIterator[Harness]:
    """Everything but runners, on a data folder; `chosen` are settings beyond those of these tests."""
    with engine.make_place(folder) as place:
        settings = OrchestratorSettings(
            data_dir=folder,
            store=place,
            agent_queue=HEALTHY_QUEUE,
            orchestrator_queue="survey-orchestrator",
            schedule_to_start=TIMEOUTS.schedule_to_start,
            heartbeat_timeout=TIMEOUTS.heartbeat,
            start_to_close=TIMEOUTS.start_to_close,
            lock_timeout=5.0,
            poll_interval=0.02,
            grace=GRACE,
            connect_timeout=10.0,
            **chosen,  # type: ignore[arg-type]
        )
        async with installation(settings) as running:
            # The client finds Temporal as any command on this data folder does.
            executions = ExecutionClient(settings, running.store, hygiene_from_environment())
            yield Harness(settings, running.store, running.client, running.address, executions)


def failure_of(status: ExecutionStatus) -> Failure:
    """The failure of an execution that must have failed."""
    assert status.failure is not None, f"{status.execution_id} is {status.phase}: {status.output}"
    return status.failure


def types_of(history: Sequence[RecordedEvent]) -> list[str]:
    return [record.type for record in history]

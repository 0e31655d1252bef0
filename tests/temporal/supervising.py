"""Supervised runners for the tests, and what the store says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from projector.envelope import RecordedEvent, runner_stream
from projector.events import Timeouts, WritableEvent
from projector.opening import open_queries
from projector.projections.runners import Runner, RunnerState
from tests.temporal.harness import Harness
from tests.temporal.processes import Program

TIMEOUTS: Final = Timeouts(schedule_to_start=30, heartbeat=30, start_to_close=90)
"""So long that whatever is quick is not owed to them."""

E = TypeVar("E", bound=WritableEvent)


def doomed(name: str) -> str:
    """The full name of an agent that brings its runner into trouble."""
    return f"tests.temporal.crashing_agents:{name}"


async def runners(harness: Harness, queue: str) -> Sequence[Runner]:
    """The runners of a queue, the latest to change first."""
    async with open_queries(harness.settings) as queries:
        return await queries.runners(queue)


async def ready(harness: Harness, queue: str, *, other_than: Sequence[str] = ()) -> Runner:
    """Wait for a runner of a queue that is ready."""
    async with asyncio.timeout(30):
        while True:
            for runner in await runners(harness, queue):
                if runner.state is RunnerState.READY and runner.runner_id not in other_than:
                    return runner
            await asyncio.sleep(0.02)


async def said(harness: Harness, runner: Runner, kind: type[E], *, within: float = 20.0) -> tuple[E, RecordedEvent]:
    """The first event of a kind in a runner's stream, once it is there."""
    async with asyncio.timeout(within):
        while True:
            for record in await asyncio.to_thread(harness.store.read, runner_stream(runner.runner_id)):
                if isinstance(record.event, kind):
                    return record.event, record
            await asyncio.sleep(0.02)


@asynccontextmanager
async def served(harness: Harness, queue: str, *agents: str) -> AsyncIterator[tuple[Program, Runner]]:
    """A supervisor, and its runner that is ready."""
    async with harness.runner(*agents, queue=queue, supervised=True) as supervisor:
        yield supervisor, await ready(harness, queue)

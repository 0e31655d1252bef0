"""Hundreds of clients of one service: some take nothing, many go and come back, and nobody misses an event.

The service is a process of its own, and in the end it has what it had in the beginning.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import psutil
import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.events import MessageAppended
from tests.engines import SQLITE
from tests.histories import REQUESTED, new, news
from tests.stream_clients import Reader, stalled
from tests.surroundings import ours_alone
from tests.temporal.processes import Program, program, until

CLIENTS, STALLED, DISCONNECTS, EVENTS = 180, 20, 500, 400
SPEECH = MessageAppended(role="assistant", text="All hands look to the west. " * 70)
MIB = 2**20
KEPT = 2 * min(32, (os.cpu_count() or 1) + 4)
"""Each thread of an event loop's pool may keep a connection to the store, which is two files."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path) -> Iterator[None]:
    with ours_alone(tmp_path):
        yield


@asynccontextmanager
async def served(folder: Path, place: str, port: int = 0) -> AsyncIterator[tuple[Program, str]]:
    """The service over a store, and its address."""
    extra = {"EXECUTION_STATUS_SERVE_PORT": str(port), "EXECUTION_STATUS_DATA_DIR": str(folder)}
    async with program("serve", "--store", place, folder=folder, name="serve", extra=extra) as running:
        await running.says("serves http://")
        yield running, running.said().partition("serves ")[2].split()[0]


async def speak(store: StoreEngine, executions: int, events: int, pause: float) -> None:
    """Append to some executions in turn."""
    for number in range(events):
        stream = execution_stream(f"deck-{number % executions}")
        await asyncio.to_thread(store.append, stream, [new(SPEECH)])
        await asyncio.sleep(pause)


@pytest.mark.chaos
@pytest.mark.slow
async def test_nothing_is_lost_or_repeated_and_nothing_is_left(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with SQLITE.make_place(tmp_path) as place, closing(SQLITE.open(place)) as store:
        for number in range(5):
            store.append(execution_stream(f"deck-{number}"), news(REQUESTED))
        begun = store.head()
        async with served(tmp_path, place) as (running, address):
            process = psutil.Process(running.pid)
            # A burst first, so that most of the threads that read the store have their connections to it.
            await asyncio.gather(*(Reader(address, "/api/stream", 0).read_up_to(begun) for _ in range(CLIENTS)))
            await until(lambda: len(process.net_connections("tcp")) == 1)
            files, memory = process.num_fds(), process.memory_info().rss
            readers = [Reader(address, "/api/stream", begun) for _ in range(CLIENTS)]
            last = begun + EVENTS
            async with stalled(address, f"/api/stream?after={begun}", STALLED), asyncio.TaskGroup() as tasks:
                reading = [tasks.create_task(reader.read_up_to(last)) for reader in readers]
                speaking = tasks.create_task(speak(store, 5, EVENTS, 0.02))
                hung_up = 0
                while hung_up < DISCONNECTS and not speaking.done():
                    reader = dice.choice(readers)
                    reader.hang_up()
                    hung_up += 1
                    await asyncio.sleep(dice.uniform(0, 0.03))
                await speaking
                await asyncio.gather(*reading)
                assert hung_up == DISCONNECTS or speaking.done()
                # Those that take nothing are cut off though they keep their end open.
                await until(lambda: len(process.net_connections("tcp")) == 1, within=60)
            for reader in readers:
                assert reader.seen == list(range(begun + 1, last + 1)), f"after {reader.connections} connections"
            assert sum(reader.connections for reader in readers) > CLIENTS + DISCONNECTS / 2
            await until(lambda: process.num_fds() <= files + KEPT, within=30)
            assert process.memory_info().rss - memory < 60 * MIB


@pytest.mark.chaos
async def test_a_service_that_is_killed_and_comes_back_is_gone_on_with(tmp_path: Path) -> None:
    with SQLITE.make_place(tmp_path) as place, closing(SQLITE.open(place)) as store:
        store.append(execution_stream("deck-0"), news(REQUESTED))
        begun = store.head()
        async with AsyncExitStack() as stack:
            running, address = await stack.enter_async_context(served(tmp_path, place))
            port = int(address.rpartition(":")[2])
            readers = [Reader(address, "/api/stream", begun) for _ in range(10)]
            readers += [Reader(address, "/api/executions/deck-0/stream", begun) for _ in range(10)]
            last = begun + 150
            async with asyncio.TaskGroup() as tasks:
                for reader in readers:
                    tasks.create_task(reader.read_up_to(last))
                speaking = tasks.create_task(speak(store, 1, 150, 0.02))
                for _ in range(3):
                    seen = readers[0].cursor
                    await until(lambda seen=seen: readers[0].cursor > seen or speaking.done())  # type: ignore[misc]
                    running.process.kill()
                    await running.exits()
                    running, _ = await stack.enter_async_context(served(tmp_path, place, port))
            for reader in readers:
                assert reader.seen == list(range(begun + 1, last + 1)), reader.path
                assert reader.connections > 3


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_it_stops_at_once_though_streams_are_open_and_some_take_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    with SQLITE.make_place(tmp_path) as place, closing(SQLITE.open(place)) as store:
        store.append(execution_stream("deck-0"), news(REQUESTED, *[SPEECH] * 300))
        async with served(tmp_path, place) as (running, address), stalled(address, "/api/stream?after=0", 5):
            reader = Reader(address, "/api/stream", 0)
            await reader.read_up_to(store.head())
            reading = asyncio.create_task(reader.read_up_to(store.head() + 1))
            await until(lambda: reader.connections == 2)
            running.process.send_signal(number)
            assert await running.exits(within=20) == 0
            reading.cancel()
            assert "Traceback" not in running.said(), running.said()

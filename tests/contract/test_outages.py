"""A store that is away for a while: who follows it, keeps statuses of it or projects it waits, says so, and goes on.

On SQLite the folder of the store is moved away, as a disk that is unmounted; on PostgreSQL the server crashes.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from projector.engines.ports import StoreEngine
from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import execution_stream
from projector.errors import StoreError
from projector.execution_status import fold
from projector.live_statuses import LiveStatuses
from projector.projecting.projection_runner import ProjectionRunner
from projector.streams import StatusChange, follow
from tests.engines import POSTGRES, SQLITE, Engine
from tests.histories import ATTEMPT, COMPLETED, REMARK, REQUESTED, SURVEY, news
from tests.postgres import Server, fresh_database, own_server, wait_for
from tests.tables import folded, statuses

REEF = execution_stream(SURVEY)


class Harbour(ABC):
    """Where a store lies that can be taken away and brought back."""

    @abstractmethod
    def open(self) -> StoreEngine: ...

    @abstractmethod
    def away(self, store: StoreEngine) -> None: ...

    @abstractmethod
    def back(self) -> None: ...


class Disk(Harbour):
    def __init__(self, folder: Path) -> None:
        self._folder, self._away = folder / "disk", folder / "unmounted"
        self._folder.mkdir()

    def open(self) -> StoreEngine:
        return SQLITE.open(str(self._folder / "store.db"), 0.2)

    def away(self, store: StoreEngine) -> None:
        assert isinstance(store, SqliteEventStore)
        for idle in list(store.datastore.pool._pool):  # a connection that is open would go on reading
            idle.close()
        self._folder.rename(self._away)

    def back(self) -> None:
        self._away.rename(self._folder)


class Machine(Harbour):
    def __init__(self, server: Server, dsn: str) -> None:
        self._server, self._dsn = server, dsn

    def open(self) -> StoreEngine:
        return POSTGRES.open(self._dsn, 0.2)

    def away(self, store: StoreEngine) -> None:
        self._server.stop()

    def back(self) -> None:
        self._server.start()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.fixture
def harbour(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Harbour]:
    if engine is SQLITE:
        yield Disk(tmp_path)
        return
    server: Server = request.getfixturevalue("server")
    with fresh_database(server) as dsn:
        yield Machine(server, dsn)


@pytest.fixture
def store(harbour: Harbour) -> Iterator[StoreEngine]:
    with closing(harbour.open()) as store:
        store.append(REEF, news(REQUESTED, ATTEMPT))
        yield store


@contextmanager
def outage(harbour: Harbour, store: StoreEngine) -> Iterator[None]:
    """The store is away for the length of the block."""
    harbour.away(store)
    try:
        with pytest.raises(StoreError):
            store.head()
        yield
    finally:
        harbour.back()


async def test_who_follows_waits_and_then_hears_the_rest(harbour: Harbour, store: StoreEngine) -> None:
    async def to_the_end() -> list[StatusChange]:
        return [change async for change in follow(store, SURVEY)]

    with capture_logs() as said, outage(harbour, store):
        following = asyncio.ensure_future(to_the_end())
        async with asyncio.timeout(10):
            while not any(entry["event"] == "the stream waits for the store" for entry in said):
                await asyncio.sleep(0.01)
        assert not following.done()
    store.append(REEF, news(COMPLETED))
    async with asyncio.timeout(20):
        seen = await following
    history = store.read(REEF)
    assert [change.record for change in seen] == history
    assert seen[-1].status == fold(None, history)


async def test_statuses_that_are_kept_wait_are_told_of_once_and_are_fresh_again(
    harbour: Harbour, store: StoreEngine
) -> None:
    live = LiveStatuses(store)
    with capture_logs() as said:
        with outage(harbour, store):
            keeping = asyncio.create_task(live.keep_fresh(0.01))
            async with asyncio.timeout(10):
                while not any(entry["event"] == "live statuses wait and try again" for entry in said):
                    await asyncio.sleep(0.01)
            assert not live.has_caught_up
        store.append(REEF, news(REMARK))
        async with asyncio.timeout(20):
            while live.position < store.head():
                await asyncio.sleep(0.01)
        assert live.execution(SURVEY) == folded(store)[SURVEY]
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
    (told,) = [entry for entry in said if entry["event"] == "live statuses wait and try again"]
    assert told["reason"].startswith(("StoreMissing: ", "StoreUnavailable: "))


def test_a_projector_waits_tells_of_it_once_and_loses_and_doubles_nothing(harbour: Harbour, store: StoreEngine) -> None:
    stopping = threading.Event()
    with capture_logs() as said, closing(harbour.open()) as projected:
        runner = ProjectionRunner(projected, projected.database)
        thread = threading.Thread(target=runner.run, args=(stopping,), kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            wait_for(lambda: runner.position == 2)
            harbour.away(projected)
            wait_for(lambda: any(entry["event"] == "the projector waits and tries again" for entry in said))
            harbour.back()
            store.append(REEF, news(REMARK, COMPLETED))
            wait_for(lambda: runner.position == store.head())
        finally:
            stopping.set()
            thread.join(10)
    assert statuses(store) == folded(store)
    assert len([entry for entry in said if entry["event"] == "the projector waits and tries again"]) == 1

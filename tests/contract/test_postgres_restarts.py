"""A PostgreSQL server that crashes and comes back under load loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing

import pytest

from projector.envelope import execution_stream
from projector.errors import StoreUnavailable
from projector.event_store import Appended
from projector.event_writer import EventWriter
from tests.contract.event_store_contract import REEF
from tests.histories import REMARK, new, news
from tests.postgres import Server, own_server, wait_for
from tests.postgres_processes import open_postgres

CRASHES = 5


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


class Load:
    """Appends one event after the other through an EventWriter, and keeps what was acknowledged."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self.acknowledged: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        room = threading.BoundedSemaphore(50)
        for number in itertools.count():
            if self._ending.is_set():
                break
            room.acquire()

            def done(future: Future[Appended], event_id: str = f"{number}") -> None:
                if future.exception() is None:
                    self.acknowledged.append(event_id)
                room.release()

            future = self._writer.submit(execution_stream(f"boat-{number % 5}"), [new(REMARK, f"{number}")])
            future.add_done_callback(done)

    def end(self) -> None:
        self._ending.set()
        self._thread.join(30)


@pytest.mark.slow
def test_five_crashes_under_load_lose_nothing_that_was_acknowledged(server: Server) -> None:
    rung = threading.Event()
    back: list[float] = []
    with closing(open_postgres(server.dsn)) as store, closing(EventWriter(store)) as writer:
        leadership = store.leadership("projector")
        load = Load(writer)
        with store.bell.listen(rung.set):
            for _ in range(CRASHES):
                before = len(load.acknowledged)
                wait_for(lambda before=before: len(load.acknowledged) > before + 50)  # type: ignore[misc]
                assert leadership.hold()
                server.stop(signal.SIGQUIT)
                with pytest.raises(StoreUnavailable, match="cannot be used at this moment"):
                    store.head()
                assert not leadership.hold(), "nobody knows who leads"
                rung.clear()
                server.start()
                began = time.monotonic()
                assert rung.wait(5.0), "who listens hears again"
                back.append(time.monotonic() - began)
                assert store.head() > 0, "the first read after it succeeds"
        load.end()
        writer.close(30)
        leadership.release()
        stored = [record.id for record in store.tail(after=0, limit=10**6)]
    assert len(stored) == len(set(stored))
    assert not set(load.acknowledged) - set(stored)
    print(f"{len(load.acknowledged)} acknowledged; listeners were back after {[round(each, 2) for each in back]} s")


async def test_a_reader_survives_a_restart(server: Server) -> None:
    with closing(open_postgres(server.dsn)) as store:
        store.append(REEF, news(REMARK))
        reader = store.reader()
        await reader.open()
        try:
            head = await reader.head()
            for how in (signal.SIGQUIT, signal.SIGINT):
                await asyncio.to_thread(server.stop, how)
                for _ in range(2):
                    with pytest.raises(StoreUnavailable, match=r"cannot be used at this moment: .*; check that"):
                        await reader.head()
                await asyncio.to_thread(server.start)
                assert await reader.head() == head
        finally:
            await reader.close()


def test_a_store_that_was_opened_before_a_restart_is_used_after_it(server: Server) -> None:
    with closing(open_postgres(server.dsn)) as store:
        store.append(REEF, news(REMARK))
        for how in (signal.SIGINT, signal.SIGQUIT):
            server.stop(how)
            with pytest.raises(StoreUnavailable, match="cannot be used at this moment"):
                store.append(REEF, news(REMARK))
            server.start()
            version = store.version(REEF)
            assert store.append(REEF, news(REMARK)).records[0].version == version + 1

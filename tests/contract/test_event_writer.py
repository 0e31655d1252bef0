"""Appending from asynchronous code: the loop goes on, an outage is waited out, and nobody is left waiting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projector.engines.sqlite import SqliteEventStore
from projector.envelope import execution_stream
from projector.errors import StoreUnavailable, VersionConflict
from projector.event_store import NO_STREAM, Appended, exactly
from projector.event_writer import EventWriter
from tests.histories import REMARK, REQUESTED, SURVEY, VOYAGE, new, news
from tests.processes import child
from tests.store_processes import hold_lock, open_sqlite, sqlite_locked

REEF = execution_stream(SURVEY)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


@pytest.fixture
def store(place: str) -> Iterator[SqliteEventStore]:
    with closing(open_sqlite(place, 0.2)) as store:
        yield store


@pytest.fixture
def writer(store: SqliteEventStore) -> Iterator[EventWriter]:
    with closing(EventWriter(store)) as writer:
        yield writer


async def lag_of_the_loop(until: asyncio.Future[Any]) -> float:
    """The longest time for which the loop did nothing else, in seconds."""
    longest = 0.0
    while not until.done():
        began = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - began)
    return longest


async def test_an_append_that_returned_is_in_the_store(store: SqliteEventStore, writer: EventWriter) -> None:
    appended = await writer.append(REEF, news(*VOYAGE))
    assert appended.is_new
    assert list(appended.records) == store.read(REEF)


async def test_the_loop_goes_on_while_another_process_holds_the_lock(
    store: SqliteEventStore, writer: EventWriter, place: str
) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        waiting = asyncio.ensure_future(writer.append(REEF, news(REQUESTED)))
        lag = asyncio.ensure_future(lag_of_the_loop(waiting))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        keeper.tell("let go")
        async with asyncio.timeout(10):
            assert (await waiting).is_new
        assert await lag < 0.5


async def test_an_outage_is_waited_out_and_the_order_is_kept(
    store: SqliteEventStore, writer: EventWriter, place: str
) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        waiting = [writer.submit(REEF, [new(REMARK, str(number))]) for number in range(100)]
        await asyncio.sleep(0.6)  # longer than the store itself waits, so that the writer has to
        assert not any(future.done() for future in waiting)
    async with asyncio.timeout(10):
        appended = await asyncio.gather(*map(asyncio.wrap_future, waiting))
    assert all(one.is_new for one in appended)
    assert [record.id for record in store.read(REEF)] == [str(number) for number in range(100)]


async def test_what_conflicts_fails_alone(store: SqliteEventStore, writer: EventWriter) -> None:
    first, refused, last = await asyncio.gather(
        writer.append(REEF, news(REQUESTED), NO_STREAM),
        writer.append(REEF, news(REMARK), NO_STREAM),
        writer.append(REEF, news(REMARK), exactly(1)),
        return_exceptions=True,
    )
    assert isinstance(first, Appended) and isinstance(last, Appended)
    assert isinstance(refused, VersionConflict)
    assert store.version(REEF) == 2


async def test_what_cannot_be_encoded_fails_alone(store: SqliteEventStore, writer: EventWriter, place: str) -> None:
    nonsense = replace(new(REMARK), writer=object())  # type: ignore[arg-type]
    with child(hold_lock, sqlite_locked, place) as keeper:  # so that they all wait and go into one transaction
        assert keeper.hear() == "locked"
        waiting = [writer.submit(REEF, [new(REMARK, "held back")])]
        await asyncio.sleep(0.05)
        waiting += [writer.submit(REEF, [event]) for event in (new(REMARK, "one"), nonsense, new(REMARK, "two"))]
        keeper.tell("let go")
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*map(asyncio.wrap_future, waiting), return_exceptions=True)
    assert [isinstance(outcome, Appended) for outcome in outcomes] == [True, True, False, True]
    assert "serialize" in str(outcomes[2])
    assert [record.id for record in store.read(REEF)] == ["held back", "one", "two"]


async def test_who_gives_up_waiting_takes_nothing_back_and_hurts_nobody(
    store: SqliteEventStore, writer: EventWriter, place: str
) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await writer.append(REEF, [new(REMARK, "impatient")])
        patient = writer.submit(REEF, [new(REMARK, "patient")])
    async with asyncio.timeout(10):
        await asyncio.wrap_future(patient)
    assert [record.id for record in store.read(REEF)] == ["impatient", "patient"]


def test_closing_writes_what_waits(store: SqliteEventStore) -> None:
    writer = EventWriter(store)
    waiting = [writer.submit(REEF, [new(REMARK)]) for _ in range(1200)]
    writer.close()
    assert all(future.result(0).is_new for future in waiting)
    assert store.version(REEF) == 1200


def test_closing_during_an_outage_ends_in_time_and_fails_what_waits(store: SqliteEventStore, place: str) -> None:
    writer = EventWriter(store)
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        waiting = [writer.submit(REEF, [new(REMARK)]) for _ in range(3)]
        began = time.monotonic()
        writer.close(timeout=0.3)
        assert 0.3 <= time.monotonic() - began < 5
        for future in waiting:
            with pytest.raises(StoreUnavailable):
                future.result(5)
    assert store.head() == 0


def test_a_closed_writer_refuses_and_can_be_closed_again(store: SqliteEventStore) -> None:
    writer = EventWriter(store)
    writer.close()
    writer.close()
    with pytest.raises(StoreUnavailable, match="the event writer is closed"):
        writer.submit(REEF, news(REQUESTED)).result(1)


def test_nobody_waits_for_ever_for_a_writer_that_closes(store: SqliteEventStore) -> None:
    for _ in range(40):
        writer = EventWriter(store)
        going = threading.Barrier(5)
        futures: list[Future[Appended]] = []

        def work(writer: EventWriter = writer, going: threading.Barrier = going, all: list[Any] = futures) -> None:
            going.wait()
            for _ in range(50):
                all.append(writer.submit(REEF, [new(REMARK)]))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        going.wait()
        writer.close()
        for thread in threads:
            thread.join()
        assert not wait(futures, timeout=5).not_done
    stored = [record.version for record in store.read(REEF)]
    assert stored == list(range(1, len(stored) + 1))


def test_threads_keep_the_order_of_their_own_appends(store: SqliteEventStore, writer: EventWriter) -> None:
    def work(number: int) -> None:
        last = [writer.submit(REEF, [new(REMARK, f"{number}-{step:03}")]) for step in range(100)][-1]
        last.result(30)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [record.id for record in store.read(REEF)]
    for number in range(4):
        own = [event_id for event_id in ids if event_id.startswith(f"{number}-")]
        assert own == sorted(own) and len(own) == 100

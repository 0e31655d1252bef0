"""Appending from asynchronous code: the loop goes on, an outage is waited out, and nobody is left waiting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projector.engines.sqlite.store import SqliteEventStore
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


# --- what nobody waits for, and what it costs to be told -----------------------------------------------------------


async def until_stored(place: str, events: int) -> None:
    """Wait until so many events are there for another connection."""
    with closing(open_sqlite(place)) as other:
        async with asyncio.timeout(20):
            while await asyncio.to_thread(other.version, REEF) < events:
                await asyncio.sleep(0.005)


def refused(error: Exception) -> None:
    raise AssertionError(f"nothing is refused here: {error}")


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often another thread wakes it."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        self.wakes += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


async def test_what_is_posted_is_stored_without_another_call(writer: EventWriter, place: str) -> None:
    for number in range(3):
        assert writer.post(REEF, new(REMARK, str(number)), 100, refused)
    await until_stored(place, 3)


async def test_what_is_posted_and_what_is_asked_for_keep_their_order(
    store: SqliteEventStore, writer: EventWriter
) -> None:
    for number in range(0, 300, 3):
        writer.post(REEF, new(REMARK, str(number)), 100, refused)
        writer.submit(REEF, [new(REMARK, str(number + 1))])
        writer.post(REEF, new(REMARK, str(number + 2)), 100, refused)
    await writer.written()
    assert [record.id for record in store.read(REEF)] == [str(number) for number in range(300)]


async def test_what_was_written_before_is_written_when_nothing_is(writer: EventWriter) -> None:
    async with asyncio.timeout(10):
        await writer.written()
    writer.close()
    async with asyncio.timeout(10):
        await writer.written()
        await writer.room()


async def test_a_posted_event_that_cannot_be_encoded_is_told_to_its_poster_alone(
    store: SqliteEventStore, writer: EventWriter
) -> None:
    errors: list[Exception] = []
    nonsense = replace(new(REMARK), writer=object())  # type: ignore[arg-type]
    writer.post(REEF, new(REMARK, "one"), 100, refused)
    writer.post(REEF, nonsense, 100, errors.append)
    writer.post(REEF, new(REMARK, "two"), 100, refused)
    await writer.written()
    assert [record.id for record in store.read(REEF)] == ["one", "two"]
    assert len(errors) == 1 and "serialize" in str(errors[0])


def test_posted_events_that_a_closed_writer_could_not_store_are_told_of(store: SqliteEventStore, place: str) -> None:
    errors: list[Exception] = []
    writer = EventWriter(store)
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        writer.post(REEF, new(REMARK), 100, errors.append)
        writer.close(timeout=0.3)
    assert [type(error) for error in errors] == [StoreUnavailable]
    with pytest.raises(StoreUnavailable, match="the event writer is closed"):
        writer.post(REEF, new(REMARK), 100, refused)


def test_a_loop_is_woken_once_for_all_who_wait_on_it(writer: EventWriter, place: str) -> None:
    """The first append may have a transaction of its own; the others then wait for the lock, and share the next."""

    async def append() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        waiting = [asyncio.ensure_future(writer.append(REEF, [new(REMARK)])) for _ in range(200)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        before = loop.wakes
        keeper.tell("let go")
        async with asyncio.timeout(10):
            await asyncio.gather(*waiting)
        return loop.wakes - before

    with child(hold_lock, sqlite_locked, place) as keeper, asyncio.Runner(loop_factory=CountingLoop) as runner:
        assert keeper.hear() == "locked"
        assert 1 <= runner.run(append()) <= 2


def test_no_loop_is_woken_for_what_nobody_waits_for(writer: EventWriter, place: str) -> None:
    async def post() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        for number in range(50):
            writer.post(REEF, new(REMARK, str(number)), 100, refused)
        other = open_sqlite(place)
        while other.version(REEF) < 50:
            await asyncio.sleep(0.005)
        other.close()
        return loop.wakes

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        assert runner.run(post()) == 0


def test_each_event_loop_of_a_process_hears_of_its_own_appends(writer: EventWriter, store: SqliteEventStore) -> None:
    async def append(name: str) -> list[str]:
        made = [writer.append(REEF, [new(REMARK, f"{name}-{number}")]) for number in range(100)]
        return [appended.records[0].id for appended in await asyncio.gather(*made)]

    with ThreadPoolExecutor(3) as threads:
        names = ["the mate", "the cook", "the bosun"]
        heard = list(threads.map(lambda name: asyncio.run(append(name)), names))
    assert heard == [[f"{name}-{number}" for number in range(100)] for name in names]
    assert store.version(REEF) == 300


def test_a_loop_that_ended_hurts_nobody(writer: EventWriter, store: SqliteEventStore, place: str) -> None:
    async def begin() -> None:
        writer.begin(REEF, [new(REMARK, "forgotten")])

    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        asyncio.run(begin())
        last = writer.submit(REEF, [new(REMARK, "last")])
    assert last.result(10).is_new
    assert [record.id for record in store.read(REEF)] == ["forgotten", "last"]

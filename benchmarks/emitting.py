"""What it costs an agent to leave events: one that floods, many that wait for each, and the agent's own event loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from eventsourcing.application import Application

from benchmarks import samples
from benchmarks.harness import FLOOR, OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles, timed
from benchmarks.peers import raw_postgres, raw_sqlite, stock
from benchmarks.place import Place
from projector.envelope import execution_stream
from projector.event_writer import EventWriter
from runner.emitter import Emitter

_SURVEY: Final = "survey"
_STEP: Final = 0.005
"""Between two events of an agent at work, in seconds: 200 a second."""
_TICK: Final = 0.001

Act = Callable[[int], Awaitable[object]]
"""What an agent does to leave its event of this number."""


@contextmanager
def _writer(address: str | Path) -> Iterator[EventWriter]:
    """A writer in a process that has told the collector of garbage, as a runner does, what stays."""
    gc.freeze()
    try:
        with closing(samples.opened(address)) as store, closing(EventWriter(store)) as writer:
            yield writer
    finally:
        gc.unfreeze()


def _emitter(writer: EventWriter, name: str = _SURVEY) -> Emitter:
    return Emitter(writer, name, runner_id=samples.RUNNER, attempt=1)


# --- one agent that floods -----------------------------------------------------------------------------------------


async def emit(writer: EventWriter, events: int) -> None:
    """Events of one agent, until the last of them is on disk."""
    emitter = _emitter(writer)
    for number in range(events):
        await emitter.emit(samples.progress(number))
    await emitter.settled()


def emitted(address: str | Path, events: int) -> Figures:
    """Events a second of one agent, until the last of them is on disk."""
    with _writer(address) as writer:
        figures = timed(events, lambda: asyncio.run(emit(writer, events)))
    with closing(samples.opened(address)) as store:
        if (stored := store.version(execution_stream(_SURVEY))) != events:
            raise RuntimeError(f"{stored} of {events} events are in the store")
    return figures


def _saved(environment: dict[str, str], events: int) -> Figures:
    with stock.application(environment) as app:
        return timed(events, lambda: stock.saved_one_by_one(app, events))


def _inserted(path: Path, events: int) -> Figures:
    rows = raw_sqlite.rows([samples.body(number) for number in range(events)])
    with closing(raw_sqlite.connected(path)) as connection:
        connection.execute(raw_sqlite.CREATE)
        return timed(events, lambda: raw_sqlite.insert_in_batches(connection, rows))


def _copied(url: str, events: int) -> Figures:
    import psycopg

    rows = raw_sqlite.rows([samples.body(number) for number in range(events)])
    with psycopg.connect(url) as connection:
        connection.execute(raw_postgres.CREATE)
        connection.commit()
        return timed(events, lambda: raw_postgres.copy_in_batches(connection, rows))


@contextmanager
def _on_sqlite(place: Place) -> Iterator[Sequence[Variant]]:
    many, few = place.size(40_000, quick=10_000), place.size(1_000, quick=300)

    def ours() -> Figures:
        with place.folder() as folder:
            return emitted(folder / "store.db", many)

    def peer() -> Figures:
        with place.folder() as folder:
            return _saved(stock.sqlite_environment(folder / "stock.db"), few)

    def floor() -> Figures:
        with place.folder() as folder:
            return _inserted(folder / "raw.db", many)

    yield [
        Variant("ours", OURS, ours),
        Variant("stock save per event", PEER, peer),
        Variant("sqlite3, batches of 1000", FLOOR, floor),
    ]


@contextmanager
def _on_postgres(place: Place) -> Iterator[Sequence[Variant]]:
    many, few = place.size(20_000, quick=5_000), place.size(400, quick=150)

    def ours() -> Figures:
        with place.postgres() as url:
            return emitted(url, many)

    def peer() -> Figures:
        with place.postgres() as url:
            return _saved(stock.postgres_environment(url), few)

    def floor() -> Figures:
        with place.postgres() as url:
            return _copied(url, many)

    yield [
        Variant("ours", OURS, ours),
        Variant("stock save per event", PEER, peer),
        Variant("COPY, batches of 1000", FLOOR, floor),
    ]


# --- many agents that wait for each of their events ----------------------------------------------------------------


async def _awaited(agents: Sequence[Act], each: int) -> Figures:
    """Appends a second of agents that wait for each, and how long one waits."""
    took: list[float] = []

    async def work(act: Act) -> None:
        for number in range(each):
            began = time.perf_counter()
            await act(number)
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(work, agents))
    return {"appends/s": len(agents) * each / (time.perf_counter() - began), **quantiles("append", took, 0.5, 0.99)}


def _appending(writer: EventWriter, name: str) -> Act:
    emitter = _emitter(writer, name)

    async def act(number: int) -> None:
        await emitter.store(samples.progress(number))

    return act


def _saving(app: Application[Any], how: Callable[..., Awaitable[object]]) -> Act:
    agent = stock.voyage()
    app.save(agent)

    async def act(number: int) -> None:
        agent.report(float(number), 1000.0, samples.note())
        await how(app.save, agent)

    return act


def _waiting(agents: int) -> Callable[[Place], AbstractContextManager[Sequence[Variant]]]:
    @contextmanager
    def variants(place: Place) -> Iterator[Sequence[Variant]]:
        many, few = place.size(12_800, quick=5_120) // agents, place.size(2_560, quick=768) // agents

        def ours() -> Figures:
            with place.folder() as folder, _writer(folder / "store.db") as writer:
                acts = [_appending(writer, f"{_SURVEY}-{number}") for number in range(agents)]
                return asyncio.run(_awaited(acts, max(many, 1)))

        def peer() -> Figures:
            with place.folder() as folder, stock.application(stock.sqlite_environment(folder / "s.db")) as app:
                acts = [_saving(app, asyncio.to_thread) for _ in range(agents)]
                return asyncio.run(_awaited(acts, max(few, 1)))

        yield [Variant("ours", OURS, ours), Variant("to_thread(app.save)", PEER, peer)]

    return variants


# --- the agent's own loop ------------------------------------------------------------------------------------------


async def _at_work(act: Act, events: int) -> Figures:
    """Processor time of the loop's own thread for each event of an agent at work, beyond that of waiting as long."""

    async def walk(work: Act | None) -> float:
        began = time.thread_time()
        for number in range(events):
            if work is not None:
                await work(number)
            await asyncio.sleep(_STEP)
        return time.thread_time() - began

    idle = await walk(None)
    return {"CPU at 200 events/s": max(await walk(act) - idle, 0) / events * 1e6}


async def _flooding(act: Act, events: int) -> Figures:
    """The same for an agent that does nothing else, and how late a timer of its loop comes meanwhile."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + _TICK
            await asyncio.sleep(_TICK)
            late.append(time.perf_counter() - due)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    began = time.thread_time()
    for number in range(events):
        await act(number)
    cpu = time.thread_time() - began
    await asyncio.sleep(2 * _TICK)
    ticking.cancel()
    return {"CPU hot": cpu / events * 1e6, **quantiles("late by", late, 0.99)}


async def _in_thread_of_loop(save: Callable[..., object], agent: object) -> None:
    save(agent)


@contextmanager
def _on_the_loop(place: Place) -> Iterator[Sequence[Variant]]:
    sparse, hot, slow = place.size(400, quick=150), place.size(20_000, quick=8_000), place.size(400, quick=150)

    async def both(act: Act, flood: int) -> Figures:
        return await _flooding(act, flood) | await _at_work(act, sparse)

    def ours() -> Figures:
        with place.folder() as folder, _writer(folder / "store.db") as writer:
            emitter = _emitter(writer)

            async def act(number: int) -> None:
                await emitter.emit(samples.progress(number))

            return asyncio.run(both(act, hot))

    def peer(how: Callable[..., Awaitable[object]]) -> Callable[[], Figures]:
        def measure() -> Figures:
            with place.folder() as folder, stock.application(stock.sqlite_environment(folder / "s.db")) as app:
                return asyncio.run(both(_saving(app, how), slow))

        return measure

    yield [
        Variant("ours", OURS, ours),
        Variant("to_thread(app.save)", PEER, peer(asyncio.to_thread)),
        Variant("app.save on the loop", PEER, peer(_in_thread_of_loop)),
    ]


# --- the tables ----------------------------------------------------------------------------------------------------

_RATE: Final = Quantity("events/s", high_is_good=True)
_APPENDS: Final = (
    Quantity("appends/s", high_is_good=True),
    Quantity("append p50", "ms"),
    Quantity("append p99", "ms"),
)
_PEER: Final = "stock save per event"
_THREADS: Final = "to_thread(app.save)"

_AWAITED_BOUND: Final = (
    "The processor: an append costs some 30 µs of it on either thread (a future, its answer, and the loop's turn), and "
    "with more agents ever less of the time is the disk's. On a disk with a slower sync the multiple is larger."
)

TABLES: Final = (
    Table(
        name="emit-sqlite",
        subject="emit",
        title="Events of one agent, on SQLite",
        about="One agent tells its progress, 350 bytes an event, until the last event is on disk. The stock "
        "application saves its aggregate at each event. The floor is sqlite3 with the same bytes, ready made, in "
        "batches of 1000.",
        quantities=(_RATE,),
        variants=_on_sqlite,
        targets=(
            Target("ours", "events/s", of=_PEER, at_least=30),
            Target("ours", "events/s", of="sqlite3, batches of 1000", at_least=0.35),
        ),
        rounds=7,
        budget=45,
        bound="Python's lock, which the agent's thread and the writing thread share: about 6 µs an event to make it "
        "and hand it over, 3 µs for the door and the JSON, and 4 µs in SQLite, with a second table, by whose "
        "key appends are idempotent. They come one after the other: the agent, which is quicker, waits for "
        "room while the writer is in SQLite. The faster the disk's sync, the smaller is the multiple of who "
        "syncs for each event.",
    ),
    Table(
        name="emit-postgres",
        subject="emit",
        title="Events of one agent, on PostgreSQL",
        about="The same on PostgreSQL with its default settings. The floor is psycopg's COPY, in batches of 1000.",
        quantities=(_RATE,),
        variants=_on_postgres,
        targets=(
            Target("ours", "events/s", of=_PEER, at_least=55),
            Target("ours", "events/s", of="COPY, batches of 1000", at_least=0.20),
        ),
        budget=45,
    ),
    Table(
        name="append-16",
        subject="append",
        title="16 agents that wait for each event, on SQLite",
        about="Each agent waits until its event is on disk before it leaves the next one.",
        quantities=_APPENDS,
        variants=_waiting(16),
        targets=(Target("ours", "appends/s", of=_THREADS, at_least=8),),
        budget=45,
        bound=_AWAITED_BOUND,
    ),
    Table(
        name="append-256",
        subject="append",
        title="256 agents that wait for each event, on SQLite",
        about="The same with 256 agents.",
        quantities=_APPENDS,
        variants=_waiting(256),
        targets=(
            Target("ours", "appends/s", of=_THREADS, at_least=16),
            Target("ours", "append p99", of=_THREADS, at_most=1 / 20),
        ),
        budget=45,
        bound=_AWAITED_BOUND + " All 256 wait for the same commit, so p99 is p50 and a little, and cannot be less than "
        "256 events take.",
    ),
    Table(
        name="emit-loop",
        subject="emit",
        title="What an event costs the agent's own event loop",
        about="Processor time of the loop's own thread for each event: when the agent does nothing else, making the "
        "event included, and when it leaves 200 a second, beyond that of a loop that only waits. And how late a timer "
        "of 1 ms on that loop comes while the agent floods.",
        quantities=(Quantity("CPU hot", "µs"), Quantity("CPU at 200 events/s", "µs"), Quantity("late by p99", "ms")),
        variants=_on_the_loop,
        targets=(
            Target("ours", "CPU hot", at_most=15),
            Target("ours", "CPU at 200 events/s", at_most=80),
            Target("ours", "late by p99", at_most=20),
        ),
        budget=60,
    ),
)

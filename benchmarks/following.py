"""Many who watch: what it takes to show one event to 1, 10, 100 and 1000 subscribers of the same execution."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiosqlite

from benchmarks import samples
from benchmarks.harness import OURS, PEER, Figures, Growth, Quantity, Table, Variant, growing, quantiles
from benchmarks.place import Place
from projector.engines.ports import StoreEngine
from projector.envelope import NewEvent, execution_stream
from projector.streams import follow

SIZES: Final = (1, 10, 100, 1_000)
_EXECUTION: Final = "survey"
_EVENTS: Final = 20
_POLL: Final = 0.05
_PAUSE: Final = 0.1
"""Between two events, in seconds: people watch an agent, not a flood."""

Seen = Callable[[int], None]
Watcher = Callable[[StoreEngine, int, Seen], Coroutine[Any, Any, None]]


# --- ours ----------------------------------------------------------------------------------------------------------


async def watch(store: StoreEngine, after: int, seen: Seen) -> None:
    """One subscriber: the versions it sees."""
    async for change in follow(store, _EXECUTION, after=after):
        seen(change.record.version)


# --- by hand -------------------------------------------------------------------------------------------------------

_NEW: Final = "SELECT originator_version, state FROM stored_events WHERE originator_id = ? AND originator_version > ?"


async def poll(connection: aiosqlite.Connection, _: StoreEngine, after: int, seen: Seen) -> None:
    """One subscriber that asks for itself, every 50 ms; all of them share one connection."""
    version = after
    while True:
        for found, _state in await connection.execute_fetchall(_NEW, (execution_stream(_EXECUTION), version)):
            version = int(found)
            seen(version)
        await asyncio.sleep(_POLL)


# --- the table -----------------------------------------------------------------------------------------------------


async def _shown(path: Path, watcher: Watcher, subscribers: int, events: int) -> Figures:
    """From the call that appends an event to the last subscriber that has it, in seconds."""
    with closing(samples.opened(path)) as store:
        _append(store, 1)
        counts: dict[int, int] = {}
        all_have: dict[int, asyncio.Event] = {version: asyncio.Event() for version in range(2, events + 2)}
        ready = asyncio.Event()

        def seen(version: int) -> None:
            counts[version] = counts.get(version, 0) + 1
            if version == 1 and counts[1] == subscribers:
                ready.set()
            elif version in all_have and counts[version] == subscribers:
                all_have[version].set()

        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(watcher(store, 0, seen)) for _ in range(subscribers)]
            await asyncio.wait_for(ready.wait(), 60)
            took, cpu = [], time.process_time()
            for version in range(2, events + 2):
                await asyncio.sleep(_PAUSE)
                began = time.perf_counter()
                await asyncio.to_thread(_append, store, version)
                await asyncio.wait_for(all_have[version].wait(), 60)
                took.append(time.perf_counter() - began)
            cpu = (time.process_time() - cpu) / (events * subscribers)
            for each in watching:
                each.cancel()
    return quantiles("to the last", took, 0.5, 0.99) | {"CPU for each": cpu * 1e6}


def _append(store: StoreEngine, version: int) -> None:
    event = samples.BEGINNING[0] if version == 1 else samples.progress(version)
    store.append(execution_stream(_EXECUTION), [NewEvent(f"shown-{version}", samples.NOON, samples.WRITER, event, 1)])


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    sizes = SIZES[:3] if place.is_quick else SIZES
    events = place.size(_EVENTS, quick=8)

    def ours(subscribers: int) -> Figures:
        with place.folder() as folder:
            return asyncio.run(_shown(folder / "store.db", watch, subscribers, events))

    async def polled(path: Path, subscribers: int) -> Figures:
        samples.make_store(path)
        async with aiosqlite.connect(path) as connection:
            return await _shown(path, partial(poll, connection), subscribers, events)

    def by_hand(subscribers: int) -> Figures:
        with place.folder() as folder:
            return asyncio.run(polled(folder / "store.db", subscribers))

    yield list(
        itertools.chain.from_iterable(
            (
                growing("ours", OURS, subscribers, partial(ours, subscribers)),
                growing("aiosqlite, each polls every 50 ms", PEER, subscribers, partial(by_hand, subscribers)),
            )
            for subscribers in sizes
        )
    )


TABLES: Final = (
    Table(
        name="subscribers",
        subject="subscribers",
        title="Many subscribers of one execution",
        about="One process shows an execution to its subscribers; ten events a second. From the call that appends an "
        "event, commit included, to the moment the last subscriber has it.",
        quantities=(
            Quantity("to the last p50", "ms"),
            Quantity("to the last p99", "ms"),
            Quantity("CPU for each", "µs"),
        ),
        variants=_variants,
        growth=Growth("subscribers", "to the last p50"),
        rounds=3,
        budget=75,
    ),
)

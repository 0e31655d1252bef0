"""What an event costs the agent's own event loop, hot and at work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from benchmarks import samples
from benchmarks.agents import Act, emitter_of, saving, writer_of
from benchmarks.harness import OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles
from benchmarks.peers import stock
from benchmarks.place import Place

_STEP: Final = 0.005
"""Between two events of an agent at work, in seconds: 200 a second."""
_TICK: Final = 0.001


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
        with place.folder() as folder, writer_of(folder / "store.db") as writer:
            emitter = emitter_of(writer)

            async def act(number: int) -> None:
                await emitter.emit(samples.progress(number))

            return asyncio.run(both(act, hot))

    def peer(how: Callable[..., Awaitable[object]]) -> Callable[[], Figures]:
        def measure() -> Figures:
            with place.folder() as folder, stock.application(stock.sqlite_environment(folder / "s.db")) as app:
                return asyncio.run(both(saving(app, how), slow))

        return measure

    yield [
        Variant("ours", OURS, ours),
        Variant("to_thread(app.save)", PEER, peer(asyncio.to_thread)),
        Variant("app.save on the loop", PEER, peer(_in_thread_of_loop)),
    ]


TABLES: Final = (
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

"""Many agents that wait for each of their events: how many appends a second, and how long one waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from benchmarks.agents import SURVEY, Act, appending, saving, writer_of
from benchmarks.harness import OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles
from benchmarks.peers import stock
from benchmarks.place import Place


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


def _waiting(agents: int) -> Callable[[Place], AbstractContextManager[Sequence[Variant]]]:
    @contextmanager
    def variants(place: Place) -> Iterator[Sequence[Variant]]:
        many, few = place.size(12_800, quick=5_120) // agents, place.size(2_560, quick=768) // agents

        def ours() -> Figures:
            with place.folder() as folder, writer_of(folder / "store.db") as writer:
                acts = [appending(writer, f"{SURVEY}-{number}") for number in range(agents)]
                return asyncio.run(_awaited(acts, max(many, 1)))

        def peer() -> Figures:
            with place.folder() as folder, stock.application(stock.sqlite_environment(folder / "s.db")) as app:
                acts = [saving(app, asyncio.to_thread) for _ in range(agents)]
                return asyncio.run(_awaited(acts, max(few, 1)))

        yield [Variant("ours", OURS, ours), Variant("to_thread(app.save)", PEER, peer)]

    return variants


_APPENDS: Final = (
    Quantity("appends/s", high_is_good=True),
    Quantity("append p50", "ms"),
    Quantity("append p99", "ms"),
)
_THREADS: Final = "to_thread(app.save)"

_AWAITED_BOUND: Final = (
    "The processor: an append costs some 30 µs of it on either thread (a future, its answer, and the loop's turn), and "
    "with more agents ever less of the time is the disk's. On a disk with a slower sync the multiple is larger."
)

TABLES: Final = (
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
)

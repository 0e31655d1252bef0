"""What the projector takes of memory over a million events: it must not grow with what it has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from benchmarks import samples
from benchmarks.elsewhere import elsewhere
from benchmarks.harness import OURS, Figures, Growth, Quantity, Table, Target, Variant, growing
from benchmarks.place import Place
from benchmarks.rebuilding import events_of, large_store
from projector.projecting.projection_runner import ProjectionRunner
from projector.projections.tables import CREATE

_STEPS: Final = 10
_MIB: Final = 2**20


def projected(path: str, events: int, steps: int) -> list[float]:
    """Project a store into new tables, step by step; the resident memory after each step, in MiB.

    The first value is that after the first step: what a projector takes once it is warm.
    """
    process = psutil.Process()
    sizes = []
    with closing(samples.opened(path)) as store, store.beside() as beside:
        beside.database.create_tables(CREATE)
        runner = ProjectionRunner(store, beside.database)
        for step in range(1, steps + 1):
            runner.catch_up(events * step // steps)
            sizes.append(process.memory_info().rss / _MIB)
    return sizes


class _Once:
    """One run in a process of its own gives the figures of all steps."""

    def __init__(self, path: Path, events: int) -> None:
        self._path, self._events = path, events
        self._sizes: list[float] = []
        self._taken = 0

    def after(self, step: int) -> Figures:
        """The memory after a step; each run's figures are given out once."""
        if self._taken % _STEPS == 0:
            self._sizes = elsewhere("benchmarks.memory:projected", str(self._path), self._events, _STEPS)
        self._taken += 1
        size = self._sizes[step - 1]
        return {"resident": size, "change": abs(size - self._sizes[0])}


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    events, path = events_of(place), large_store(place)
    once = _Once(path, events)
    yield [
        growing("projector", OURS, events * step // _STEPS, partial(once.after, step)) for step in range(1, _STEPS + 1)
    ]


TABLES: Final = (
    Table(
        name="memory",
        subject="memory",
        title="Memory of the projector",
        about="Resident memory of a process that projects 1,000,000 events of 1000 executions, after each tenth.",
        quantities=(Quantity("resident", "MiB"), Quantity("change", "MiB")),
        variants=_variants,
        targets=tuple(Target(f"projector at {events:,}", "change", at_most=20) for events in (500_000, 1_000_000)),
        growth=Growth("events projected", "resident"),
        rounds=2,
        budget=90,
    ),
)

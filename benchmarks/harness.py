"""How a benchmark is said: a table, its variants, the quantities each turn gives, and the targets they must reach.

A module of benchmarks exports `TABLES`, and its name stands in `benchmarks.registry`. One table measures us and each
peer side by side, in the same run:

    @contextmanager
    def _variants(place: Place) -> Iterator[Sequence[Variant]]:
        count = place.size(20_000, quick=2_000)           # --scale multiplies every size

        def ours() -> Figures:
            with place.folder() as folder, closing(open_store(...folder...)) as store:   # the disk, emptied afterwards
                began = perf_counter()
                ...
                return {"events/s": count / (perf_counter() - began), **quantiles("append", latencies, 0.5, 0.99)}

        yield [Variant("emitter", OURS, ours), Variant("stock save per event", PEER, stock)]

    TABLES = (
        Table(
            name="emit-sqlite", subject="emit", title="…", about="what is measured, in a sentence or two",
            quantities=(Quantity("events/s", "", high_is_good=True), Quantity("append p99", "ms")),
            variants=_variants,
            targets=(Target("emitter", "events/s", of="stock save per event", at_least=30),),
        ),
    )

The variants of a table are measured in turn, in a new order each round, for `rounds` rounds or until `budget` seconds
are over. A turn prepares what it needs, measures itself, and returns one number a quantity; it may leave quantities
out. Everything that is made once for all turns (a store of a million events, a server) is made by `variants` before it
yields and is gone after it. `Place` gives folders on the disk, databases of a real PostgreSQL, and sizes.
"""

from __future__ import annotations

import gc
import math
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.place import Place

Figures = dict[str, float]
"""What one turn gave: one number for each quantity, in the quantity's unit."""


class Side(StrEnum):
    """Whose a variant is: ours, a peer's, or the floor below which nothing can go."""

    OURS = "ours"
    PEER = "peer"
    FLOOR = "floor"


OURS: Final = Side.OURS
PEER: Final = Side.PEER
FLOOR: Final = Side.FLOOR


@dataclass(frozen=True, slots=True)
class Quantity:
    """One column of a table. `unit` is said behind the number; empty when the name says it, as in `events/s`."""

    name: str
    unit: str = ""
    high_is_good: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of doing what the table measures.

    `measure` is one turn. `series` and `at` place the variant in a table that grows: the same series at several sizes.
    `rounds` is for those that take long: how many turns are enough.
    """

    name: str
    side: Side
    measure: Callable[[], Figures]
    series: str = ""
    at: float | None = None
    rounds: int | None = None


def growing(series: str, side: Side, at: float, measure: Callable[[], Figures], rounds: int | None = None) -> Variant:
    """A variant of a table that grows; targets call it `<series> at 100,000`."""
    return Variant(f"{series} at {at:,.0f}", side, measure, series=series, at=at, rounds=rounds)


@dataclass(frozen=True, slots=True)
class Target:
    """What a variant must reach in one quantity: as a number, or as a ratio to another variant with `of`.

    The ratio is the median of the ratios of the rounds in which both were measured, so that a disk that is slow for a
    while slows both. Exactly one of `at_least` and `at_most` is given.
    """

    variant: str
    quantity: str
    of: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"the target of {self.variant} in {self.quantity} needs one bound: at_least or at_most")


@dataclass(frozen=True, slots=True)
class Growth:
    """The axes of a table that grows: what grows, and the quantity that is drawn over it."""

    of: str
    quantity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the page. `subject` is the word that asks for it on the command line, as does `name`.

    `bound` says what keeps a figure from being better, where a profile has told.
    """

    name: str
    subject: str
    title: str
    about: str
    quantities: tuple[Quantity, ...]
    variants: Callable[[Place], AbstractContextManager[Sequence[Variant]]]
    targets: tuple[Target, ...] = ()
    rounds: int = 5
    budget: float = 60.0
    growth: Growth | None = None
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """What the turns of one variant gave: for each quantity the rounds and their numbers."""

    variant: str
    side: Side
    figures: Mapping[str, Mapping[int, float]]
    series: str = ""
    at: float | None = None


def quantiles(name: str, seconds: Sequence[float], *wanted: float, unit: float = 1e-3) -> Figures:
    """`{"<name> p50": …, "<name> p99": …}` of latencies in seconds, in units of `unit` seconds (milliseconds).

    The nearest rank, so that p99 of fewer than a hundred latencies is the worst of them.
    """
    ordered = sorted(seconds)
    if not ordered:
        raise ValueError(f"nothing was measured for the quantiles of {name}")
    return {f"{name} p{part * 100:g}": ordered[max(0, math.ceil(part * len(ordered)) - 1)] / unit for part in wanted}


def timed(events: int, work: Callable[[], object]) -> Figures:
    """`{"events/s": …}` of work that handles so many events."""
    began = time.perf_counter()
    work()
    return {"events/s": events / (time.perf_counter() - began)}


def measured(table: Table, place: Place, *, rounds: int | None = None, seed: int = 0) -> list[Series]:
    """Measure all variants of a table, interleaved. `rounds` replaces the table's own number.

    The order of the variants is another in each round, and the same for the same `seed`. An exception of a turn ends
    the table: a figure that is not there is worse than one that is bad.
    """
    most = rounds or table.rounds
    budget = table.budget * (0.25 if place.is_quick else 1.0)
    order = random.Random(f"{table.name} {seed}")  # noqa: S311 - a shuffle, not a secret
    with table.variants(place) as variants:
        _check(table, variants)
        figures: dict[str, defaultdict[str, dict[int, float]]] = {each.name: defaultdict(dict) for each in variants}
        began = time.monotonic()
        for number in range(most):
            if number and (time.monotonic() - began) * (number + 1) / number > budget:
                break  # another round would not fit
            turns = [each for each in variants if each.rounds is None or number < each.rounds]
            order.shuffle(turns)
            for variant in turns:
                _say(f"{table.name}: round {number + 1} of {most}: {variant.name}")
                _settle()
                for quantity, value in variant.measure().items():
                    figures[variant.name][quantity][number] = value
        _say("")
    return [Series(each.name, each.side, figures[each.name], each.series, each.at) for each in variants]


def _check(table: Table, variants: Sequence[Variant]) -> None:
    names = [each.name for each in variants]
    if len(set(names)) < len(names):
        raise ValueError(f"two variants of {table.name} have the same name")
    known = {quantity.name for quantity in table.quantities}
    for target in table.targets:
        if target.quantity not in known:
            raise ValueError(f"a target of {table.name} asks for {target.quantity!r}, which is none of its quantities")


def _settle() -> None:
    """Leave the next turn neither the garbage nor the unwritten pages of the one before."""
    gc.collect()
    os.sync()


def _say(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{words[:110]}", end="", file=sys.stderr, flush=True)
    elif words:
        print(words, file=sys.stderr, flush=True)

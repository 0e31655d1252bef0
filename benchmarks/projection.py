"""From events to rows: how many events a second the projector takes, live and with position and rows in step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import samples
from benchmarks.harness import FLOOR, OURS, PEER, Figures, Quantity, Table, Target, Variant, timed
from benchmarks.peers import hand_batches, raw_sqlite, stock, stock_projection
from benchmarks.place import Place
from projector.projecting.projection_runner import ProjectionRunner

_EVENTS: Final = 1_000
"""Events of one execution."""
_AT_ONCE: Final = 10
"""Executions that run at a time."""


# --- ours ----------------------------------------------------------------------------------------------------------


def project(address: str | Path, events: int) -> Figures:
    """Bring the query tables of a store from nothing to its head, as the running projector does."""
    with closing(samples.opened(address)) as store:
        began = time.perf_counter()
        reached = ProjectionRunner(store, store.database).catch_up()
        took = time.perf_counter() - began
    if reached < events:
        raise RuntimeError(f"the projector came to {reached} of {events} events")
    return {"events/s": events / took}


# --- SQLite --------------------------------------------------------------------------------------------------------


@contextmanager
def _on_sqlite(place: Place) -> Iterator[Sequence[Variant]]:
    events = place.size(100, quick=20) * _EVENTS
    few = place.size(3_000, quick=1_000)
    with place.folder() as folder:
        ours, theirs = folder / "ours.db", folder / "stock.db"
        samples.fill_sqlite(ours, samples.interleaved(events // _EVENTS, _EVENTS, at_once=_AT_ONCE))
        with stock.application(stock.sqlite_environment(theirs)) as app:
            stock.fill(app, _AT_ONCE, few // _AT_ONCE, at_once=_AT_ONCE)

        def measure_ours() -> Figures:
            with place.folder() as turn:
                return project(samples.copied(ours, turn), events)

        def measure_by_hand() -> Figures:
            with place.folder() as turn:
                copy = samples.copied(ours, turn)
                return timed(events, partial(hand_batches.project, copy, events))

        def measure_stock() -> Figures:
            with place.folder() as turn:
                environment = stock.sqlite_environment(samples.copied(theirs, turn))
                return timed(few, partial(stock_projection.pulled, environment, few))

        yield [
            Variant("ours", OURS, measure_ours),
            Variant("stock pieces, one transaction an event", PEER, measure_stock),
            Variant("by hand, batches of 1000", PEER, measure_by_hand),
            Variant("fetch all rows", FLOOR, lambda: timed(events, partial(raw_sqlite.scan, ours))),
        ]


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@contextmanager
def _on_postgres(place: Place) -> Iterator[Sequence[Variant]]:
    events = place.size(50, quick=10) * _EVENTS
    few = place.size(2_000, quick=500)
    with place.postgres() as ours, place.postgres() as theirs:
        samples.fill_postgres(ours, samples.interleaved(events // _EVENTS, _EVENTS, at_once=_AT_ONCE))
        with stock.application(stock.postgres_environment(theirs)) as app:
            stock.fill(app, _AT_ONCE, few // _AT_ONCE, at_once=_AT_ONCE)

        def measure_ours() -> Figures:
            with place.postgres(like=ours) as url:
                return project(url, events)

        def measure_stock() -> Figures:
            with place.postgres(like=theirs) as url:
                return timed(few, partial(stock_projection.run, stock.postgres_environment(url), few))

        yield [
            Variant("ours", OURS, measure_ours),
            Variant("stock ProjectionRunner", PEER, measure_stock),
        ]


_RATE: Final = (Quantity("events/s", high_is_good=True),)

TABLES: Final = (
    Table(
        name="projection-sqlite",
        subject="projection",
        title="Projection on SQLite",
        about="Executions of 1000 events, ten of them at a time, into rows; position and rows change in one "
        "transaction, which is durable. The library's own runner needs subscriptions, which its SQLite recorder does "
        "not have, so its row is the loop that its pieces give: one transaction an event. By hand is a dict an "
        "execution, json and 9 columns, made for exactly these events.",
        quantities=_RATE,
        variants=_on_sqlite,
        targets=(
            Target("ours", "events/s", of="stock pieces, one transaction an event", at_least=45),
            Target("ours", "events/s", of="by hand, batches of 1000", at_least=0.8),
        ),
    ),
    Table(
        name="projection-postgres",
        subject="projection",
        title="Projection on PostgreSQL",
        about="The same on PostgreSQL, beside the library's own ProjectionRunner.",
        quantities=_RATE,
        variants=_on_postgres,
        targets=(Target("ours", "events/s", of="stock ProjectionRunner", at_least=45),),
    ),
)

"""Query tables made anew from a million events, and that the rows come out the same."""

from __future__ import annotations

import inspect
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import Notification

from benchmarks import samples
from benchmarks.harness import FLOOR, OURS, PEER, Figures, Quantity, Table, Target, Variant, timed
from benchmarks.peers import raw_sqlite, stock
from benchmarks.place import Place
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.projections.tables import QUERY_TABLES

_EVENTS: Final = 1_000
_AT_ONCE: Final = 10
_TWO: Final = "ours, two processes"


# --- ours ----------------------------------------------------------------------------------------------------------


def rebuilt(path: Path, **options: Any) -> int:
    """Rebuild the query tables of a store; returns how many events that were."""
    with closing(samples.opened(path)) as store:
        return rebuild(store, **options).position


def takes_two_processes() -> bool:
    """Whether a rebuild can be shared by processes at all."""
    return "processes" in inspect.signature(rebuild).parameters


def project_live(path: Path) -> None:
    """Bring the tables up to the head as the running projector does, batch by batch."""
    with closing(samples.opened(path)) as store:
        ProjectionRunner(store, store.database).catch_up()


# --- the table -----------------------------------------------------------------------------------------------------


def events_of(place: Place) -> int:
    """How many events the large store has."""
    return place.size(1_000, quick=50) * _EVENTS


def large_store(place: Place) -> Path:
    """A store of a million events on SQLite, projected; several tables use it."""

    def make(path: Path) -> None:
        samples.fill_sqlite(path, samples.interleaved(events_of(place) // _EVENTS, _EVENTS, at_once=_AT_ONCE))
        project_live(path)

    return place.kept("large", make)


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    events, path = events_of(place), large_store(place)
    live = rows(path)
    few = max(events // 20, _EVENTS)

    def measure(**options: Any) -> Figures:
        began = time.perf_counter()
        rebuilt(path, **options)
        took = time.perf_counter() - began
        return {"events/s": events / took, "seconds": took, "differing rows": sum(differing(live, rows(path)).values())}

    yield [
        Variant("ours", OURS, measure),
        *([Variant(_TWO, OURS, partial(measure, processes=2))] if takes_two_processes() else []),
        Variant("fetch all rows", FLOOR, lambda: timed(events, partial(raw_sqlite.scan, path))),
        Variant(
            "stock: select, map and fold, no row written", PEER, lambda: timed(few, partial(_fold_stock, path, few))
        ),
    ]


def rows(path: Path) -> Counter[tuple[Any, ...]]:
    """All rows of the query tables, as they are."""
    with closing(sqlite3.connect(path)) as connection:
        return Counter(
            (table, *row)
            for table in QUERY_TABLES
            for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names
        )


def differing(before: Counter[tuple[Any, ...]], after: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """Rows that only one of them has."""
    return (before - after) + (after - before)


def _fold_stock(path: Path, events: int) -> None:
    """The first events through the library's own classes, which read our tables, into frozen pydantic statuses."""
    from projector.codec import EventMapper
    from projector.envelope import execution_id_of
    from projector.execution_status import ExecutionStatus, evolve

    environment = stock.sqlite_environment(path) | {"ORIGINATOR_ID_TYPE": "text"}
    mapper = EventMapper()
    statuses: dict[str, ExecutionStatus] = {}
    position = 0
    with stock.application(environment) as app:
        while position < events:
            page: Sequence[Notification] = app.recorder.select_notifications(position, 500, inclusive_of_start=False)
            for notification in page:
                record = mapper.to_domain_event(notification)
                execution_id = execution_id_of(record.stream)
                if execution_id is not None:
                    statuses[execution_id] = evolve(statuses.get(execution_id), record)
            position = page[-1].id


TABLES: Final = (
    Table(
        name="rebuild",
        subject="rebuild",
        title="Rebuild of a million events",
        about="All query tables made anew from 1,000,000 events of 1000 executions on SQLite, beside the ones in use, "
        "and exchanged for them. A row that is not, byte for byte, what the running projector had made counts as "
        "differing. Stock is the library's select_notifications and a mapper, folding a twentieth of the events into "
        "frozen pydantic statuses and writing nothing.",
        quantities=(Quantity("events/s", high_is_good=True), Quantity("seconds", "s"), Quantity("differing rows")),
        variants=_variants,
        targets=(
            Target("ours", "events/s", of="fetch all rows", at_least=0.22),
            Target(_TWO, "events/s", of="fetch all rows", at_least=0.5),
            Target("ours", "differing rows", at_most=0),
        ),
        rounds=3,
        budget=90,
        bound="Reading: making Python rows of a million events is four tenths of the time of one process. Each of "
        "several processes walks over all rows in SQLite to find those of its streams, and takes half a "
        "second to start, so two gain next to nothing on two processors.",
    ),
)

"""What one more event costs an execution that has many, and what it costs to fold a whole history."""

from __future__ import annotations

import itertools
import json
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from benchmarks import samples
from benchmarks.elsewhere import elsewhere
from benchmarks.harness import FLOOR, OURS, PEER, Figures, Growth, Quantity, Table, Target, Variant, growing
from benchmarks.peers import raw_sqlite, stock
from benchmarks.place import Place
from projector.engines.ports import StoreEngine
from projector.envelope import NewEvent, execution_stream
from projector.event_store import exactly
from projector.opening import open_existing_store
from projector.projecting.projection_runner import ProjectionRunner
from projector.repository import ExecutionRepository

SIZES: Final = (10, 100, 1_000, 10_000, 100_000)
_COPIES: Final = 50
"""How many short executions there are, so that each is appended to only a few times and stays short."""
_TURN: Final = 10
_LONG: Final = 5_000
"""Longer ones are there once."""


# --- ours ----------------------------------------------------------------------------------------------------------


def append_one(store: StoreEngine, repository: ExecutionRepository, execution_id: str, number: int) -> None:
    """Read the status, and append an event on the condition that nothing else has come since."""
    status = repository.get(execution_id)
    event = NewEvent(f"one-more-{number:08d}-{status.version}", samples.NOON, samples.WRITER, samples.progress(), 1)
    store.append(execution_stream(execution_id), [event], exactly(status.version))


def append_one_cold(path: str, execution_id: str) -> float:
    """The same as the first thing that a process does, from opening the store on; in milliseconds."""
    settings = samples.settings_of(path)
    began = time.perf_counter()
    with closing(open_existing_store(settings)) as store:
        append_one(store, ExecutionRepository(store), execution_id, time.time_ns())
        return (time.perf_counter() - began) * 1000


def fold_cold(path: Path, execution_id: str) -> Figures:
    """Fold a whole history; the store has no rows to begin with."""
    with closing(samples.opened(path)) as store:
        began = time.perf_counter()
        status = ExecutionRepository(store).get(execution_id)
        took = time.perf_counter() - began
        return {"fold": took * 1000, "events/s": status.version / took}


# --- the table of one more event ------------------------------------------------------------------------------------


def _name(size: int, copy: int) -> str:
    return f"survey-of-{size}-{copy:03d}"


def _copies(size: int) -> int:
    return 1 if size > _LONG else _COPIES


def _sizes(place: Place) -> Sequence[int]:
    return SIZES[:4] if place.is_quick else SIZES


def _fill_ours(path: Path, sizes: Sequence[int], *, copies: bool) -> None:
    rows = (
        (row[0], version, *row[1:])
        for size in sizes
        for copy in range(_copies(size) if copies else 1)
        for version, row in enumerate(samples.history(_name(size, copy), size), start=1)
    )
    samples.fill_sqlite(path, rows)


class _Stock:
    """A stock application with aggregates of every size."""

    def __init__(self, app: stock.Voyages, sizes: Sequence[int], *, copies: bool = True) -> None:
        self.app = app
        self.ids = {size: stock.fill(app, _copies(size) if copies else 1, size, at_once=_COPIES) for size in sizes}
        self._next = {size: itertools.cycle(ids) for size, ids in self.ids.items()}

    def taken(self, size: int, count: int) -> list[UUID]:
        return list(itertools.islice(self._next[size], count))

    def append(self, size: int, *, count: int, warm: bool) -> Figures:
        ids = self.taken(size, count)
        if warm:
            for each in ids:
                self.app.repository.get(each)
        return _each(self._append_one, ids)

    def _append_one(self, voyage_id: UUID) -> None:
        agent: stock.Voyage = self.app.repository.get(voyage_id)
        agent.report(1.0, 1000.0, samples.note())
        self.app.save(agent)


def _each(one: Any, items: Sequence[Any]) -> Figures:
    took = []
    for each in items:
        began = time.perf_counter()
        one(each)
        took.append(time.perf_counter() - began)
    return {"one event": statistics.median(took) * 1000}


class _Ours:
    """A store with executions of every size, projected, and one repository that has seen what it appends to."""

    def __init__(self, store: StoreEngine, path: Path, sizes: Sequence[int]) -> None:
        self._store, self._path = store, path
        self._repository = ExecutionRepository(store)
        self._numbers = itertools.count()
        self._next = {size: itertools.cycle(range(_copies(size))) for size in sizes}
        ProjectionRunner(store, store.database).catch_up()

    def append(self, size: int) -> Figures:
        names = [_name(size, copy) for copy in itertools.islice(self._next[size], _TURN)]
        for name in names:
            self._repository.get(name)
        return _each(lambda name: append_one(self._store, self._repository, name, next(self._numbers)), names)

    def append_cold(self, size: int) -> Figures:
        name = _name(size, next(self._next[size]))
        return {"one event": elsewhere("benchmarks.folding:append_one_cold", str(self._path), name)}


class _Raw:
    """The last version and an insert, with nothing known of the status."""

    def __init__(self, connection: sqlite3.Connection, sizes: Sequence[int]) -> None:
        self._connection = connection
        connection.execute(raw_sqlite.CREATE)
        for size in sizes:
            raw_sqlite.insert_in_batches(connection, raw_sqlite.rows([samples.body()] * size, _name(size, 0)), 10_000)

    def append(self, size: int) -> Figures:
        return _each(self._append_one, [_name(size, 0)] * _TURN)

    def _append_one(self, name: str) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        last = self._connection.execute(
            "SELECT MAX(originator_version) FROM stored_events WHERE originator_id = ?", (name,)
        ).fetchone()[0]
        self._connection.execute(raw_sqlite.INSERT, (name, last + 1, raw_sqlite.TOPIC, samples.body()))
        self._connection.execute("COMMIT")


@contextmanager
def _one_more(place: Place) -> Iterator[Sequence[Variant]]:
    sizes = _sizes(place)
    with ExitStack() as stack:
        folder = stack.enter_context(place.folder())
        _fill_ours(folder / "ours.db", sizes, copies=True)
        ours = _Ours(stack.enter_context(closing(samples.opened(folder / "ours.db"))), folder / "ours.db", sizes)
        plain, cached, snapped = (
            stack.enter_context(stock.application(stock.sqlite_environment(folder / name) | extra, kind))
            for name, extra, kind in (
                ("plain.db", {}, stock.Voyages),
                ("cached.db", stock.CACHE, stock.Voyages),
                ("snapped.db", {}, stock.VoyagesWithSnapshots),
            )
        )
        peers = {"stock": _Stock(plain, sizes), "stock with its cache": _Stock(cached, sizes)}
        with_snapshots = _Stock(snapped, sizes)
        for size in sizes[1:]:
            for each in with_snapshots.ids[size]:
                snapped.take_snapshot(each)
        raw = _Raw(stack.enter_context(closing(raw_sqlite.connected(folder / "raw.db"))), sizes)
        variants = []
        for size in sizes:
            few = 1 if size > _LONG else _TURN
            variants += [
                growing("ours", OURS, size, partial(ours.append, size)),
                growing("ours, new process", OURS, size, partial(ours.append_cold, size)),
                growing("stock", PEER, size, partial(peers["stock"].append, size, count=few, warm=False), 3),
                growing(
                    "stock with its cache",
                    PEER,
                    size,
                    partial(peers["stock with its cache"].append, size, count=_TURN, warm=True),
                ),
                growing(
                    "stock, snapshot every 100",
                    PEER,
                    size,
                    partial(with_snapshots.append, size, count=_TURN, warm=False),
                ),
                growing("raw insert after the last version", FLOOR, size, partial(raw.append, size)),
            ]
        yield variants


# --- the table of whole histories -----------------------------------------------------------------------------------


def _fold_raw(path: Path, name: str) -> Figures:
    with closing(raw_sqlite.connected(path)) as connection:
        began = time.perf_counter()
        state: dict[str, Any] = {}
        count = 0
        for (body,) in connection.execute(
            "SELECT state FROM stored_events WHERE originator_id = ? ORDER BY originator_version",
            (execution_stream(name),),
        ):
            state.update(json.loads(body)["data"])
            count += 1
        took = time.perf_counter() - began
        return {"fold": took * 1000, "events/s": count / took}


def _fold_stock(path: Path, voyage_id: UUID) -> Figures:
    with stock.application(stock.sqlite_environment(path)) as app:
        began = time.perf_counter()
        agent: stock.Voyage = app.repository.get(voyage_id)
        took = time.perf_counter() - began
        return {"fold": took * 1000, "events/s": agent.version / took}


@contextmanager
def _whole(place: Place) -> Iterator[Sequence[Variant]]:
    sizes = _sizes(place)
    with place.folder() as folder:
        ours, theirs = folder / "ours.db", folder / "stock.db"
        _fill_ours(ours, sizes, copies=False)
        with stock.application(stock.sqlite_environment(theirs)) as app:
            ids = _Stock(app, sizes, copies=False).ids
        yield [
            variant
            for size in sizes
            for variant in (
                growing("ours", OURS, size, partial(fold_cold, ours, _name(size, 0))),
                growing("stock", PEER, size, partial(_fold_stock, theirs, ids[size][0])),
                growing("json into a dict, by hand", PEER, size, partial(_fold_raw, ours, _name(size, 0))),
            )
        ]


TABLES: Final = (
    Table(
        name="fold-append",
        subject="fold",
        title="One more event for an execution that has many",
        about="Read the status, append one event on the condition that nothing came in between, durable, on SQLite. "
        "Ours has a row in the query tables to begin with, also in a process that sees the execution for the first "
        "time; of such a process the time from opening the store is measured. Stock reads all events, or its cache, or "
        "its last snapshot.",
        quantities=(Quantity("one event", "ms"),),
        variants=_one_more,
        targets=(
            Target("ours at 100,000", "one event", of="ours at 10", at_most=1.5),
            Target("ours, new process at 100,000", "one event", at_most=20),
        ),
        growth=Growth("events in the execution", "one event"),
        budget=75,
    ),
    Table(
        name="fold-cold",
        subject="fold",
        title="Fold a whole history",
        about="The status of one execution from all of its events, with nothing to begin with, on SQLite.",
        quantities=(Quantity("fold", "ms"), Quantity("events/s", high_is_good=True)),
        variants=_whole,
        targets=(Target("ours at 100,000", "fold", of="stock at 100,000", at_most=1 / 15),),
        growth=Growth("events in the execution", "fold"),
        budget=45,
        bound="A microsecond an event to read it from SQLite as a Python row, one to decode it by msgspec, and less "
        "than half of one to fold it. By hand, with json and a dict, takes longer.",
    ),
)

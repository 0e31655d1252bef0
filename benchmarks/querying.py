"""What people ask of the query tables: one execution, and the newest that failed."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import samples
from benchmarks.harness import OURS, PEER, Figures, Growth, Quantity, Side, Table, Target, Variant, growing, quantiles
from benchmarks.peers import hand_aiosqlite
from benchmarks.peers.hand_aiosqlite import in_flight
from benchmarks.place import Place
from projector.codec import EventMapper
from projector.envelope import RecordedEvent, execution_stream
from projector.execution_filter import ExecutionFilter
from projector.execution_status import FOLD_VERSION, ExecutionStatus, Phase, fold
from projector.opening import open_queries
from projector.projections.executions import COLUMNS, row
from projector.queries import Queries

SIZES: Final = (1, 1_000, 30_000, 1_000_000)
_EVENTS: Final = 20
_ASKED: Final = 300
_FLIGHTS: Final = 16
_FAILED: Final = ExecutionFilter(phase=Phase.FAILED, limit=50)
_EPOCH_STEP: Final = 1_000


# --- ours ----------------------------------------------------------------------------------------------------------


async def ask_ours(
    path: Path, ask: Callable[[Queries, str], Coroutine[Any, Any, object]], names: Sequence[str]
) -> Figures:
    """Ask one after the other, and then with several in flight."""
    async with open_queries(samples.settings_of(path)) as queries:
        await ask(queries, names[0])
        took = []
        for name in names:
            began = time.perf_counter()
            await ask(queries, name)
            took.append(time.perf_counter() - began)
        together = await in_flight(partial(ask, queries), names, _FLIGHTS)
    return quantiles("one at a time", took, 0.5, 0.99) | {"16 in flight": len(names) / together}


async def one_execution(queries: Queries, name: str) -> object:
    """Its status."""
    return await queries.execution(name)


async def newest_failed(queries: Queries, _: str) -> object:
    """The newest fifty that failed."""
    return await queries.executions(_FAILED)


# --- by hand -------------------------------------------------------------------------------------------------------

_BY_ID: Final = "SELECT status FROM executions WHERE execution_id = ?"
_BY_PHASE: Final = "SELECT status FROM executions WHERE phase = ? ORDER BY first_position DESC LIMIT 51"


async def ask_by_hand(path: Path, statement: str, parameters: Sequence[tuple[str]]) -> Figures:
    """The same statements with aiosqlite; what comes back stays JSON."""
    took = await hand_aiosqlite.latencies(path, statement, parameters)
    together = await hand_aiosqlite.seconds_in_flight(path, statement, parameters, _FLIGHTS)
    return quantiles("one at a time", took, 0.5, 0.99) | {"16 in flight": len(parameters) / together}


# --- the store -----------------------------------------------------------------------------------------------------


def store_of(place: Place, executions: int) -> Path:
    """A store whose query tables hold so many executions; one in ten failed. Its events are left out."""

    def make(path: Path) -> None:
        samples.make_store(path)
        insert = f"INSERT INTO executions VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - question marks
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # Written once, without a log: it is two gigabytes.
            connection.execute("PRAGMA journal_mode=OFF")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA cache_size=-65536")
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows(executions))
            connection.executemany(
                "INSERT OR REPLACE INTO tracking VALUES (?, ?)",
                [("projector", executions * _EPOCH_STEP), ("projector.fold", FOLD_VERSION)],
            )
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL")

    return place.kept(f"executions-{executions}", make)


def rows(executions: int) -> Iterator[tuple[Any, ...]]:
    """Rows like those of a projector, made from two of its own: only ids and positions are other ones."""
    templates = [_template(failed=False), _template(failed=True)]
    first, last = COLUMNS.index("first_position"), COLUMNS.index("position")
    for number in range(executions):
        begun = number * _EPOCH_STEP + 1
        like = list(templates[number % 10 == 9])
        like[0] = name_of(number)
        like[first], like[last] = begun, begun + _EVENTS - 1
        like[-1] = (
            like[-1]
            .replace(name_of(0), like[0])
            .replace('"first_position":1,', f'"first_position":{begun},')
            .replace(f'"position":{_EVENTS},', f'"position":{begun + _EVENTS - 1},')
        )
        yield tuple(like)


def name_of(number: int) -> str:
    """The id of an execution."""
    return f"survey-{number:07d}"


def _template(*, failed: bool) -> tuple[Any, ...]:
    mapper = EventMapper()
    end = samples.failed() if failed else samples.completed()
    events = [*samples.BEGINNING, *itertools.islice(itertools.cycle(samples.work()), _EVENTS - 6), end]
    status: ExecutionStatus | None = None
    for version, event in enumerate(events, start=1):
        record = RecordedEvent(
            execution_stream(name_of(0)),
            version,
            version,
            str(version),
            samples.soon(version),
            samples.WRITER,
            1,
            event,
        )
        status = fold(status, [record])
    assert status is not None and mapper.is_plain
    return row(status)


# --- the tables ----------------------------------------------------------------------------------------------------


def _names(executions: int, count: int) -> list[str]:
    chosen = random.Random(executions)  # noqa: S311 - which rows are read, and not a secret
    return [name_of(chosen.randrange(executions)) for _ in range(count)]


def _turns(place: Place, executions: int) -> dict[tuple[str, Side], Callable[[], Figures]]:
    path, names = store_of(place, executions), _names(executions, _ASKED)
    return {
        ("by id", OURS): lambda: asyncio.run(ask_ours(path, one_execution, names)),
        ("by id", PEER): lambda: asyncio.run(ask_by_hand(path, _BY_ID, [(name,) for name in names])),
        ("newest 50 FAILED", OURS): lambda: asyncio.run(ask_ours(path, newest_failed, names)),
        ("newest 50 FAILED", PEER): lambda: asyncio.run(ask_by_hand(path, _BY_PHASE, [("FAILED",)] * len(names))),
    }


def _large(place: Place) -> int:
    return place.size(SIZES[-1], quick=SIZES[-2])


@contextmanager
def _one_question(question: str, place: Place) -> Iterator[Sequence[Variant]]:
    turns = _turns(place, _large(place))
    yield [
        Variant("ours", OURS, turns[question, OURS]),
        Variant("aiosqlite, one hop", PEER, turns[question, PEER]),
    ]


@contextmanager
def _by_size(place: Place) -> Iterator[Sequence[Variant]]:
    yield [
        growing(f"{question}, {'ours' if side is OURS else 'aiosqlite'}", side, executions, turn)
        for executions in sorted({*SIZES[:3], _large(place)})
        for (question, side), turn in _turns(place, executions).items()
    ]


def _table(name: str, question: str, title: str) -> Table:
    return Table(
        name=name,
        subject="queries",
        title=title,
        about=f"Asked {_ASKED} times of a table of 1,000,000 executions on SQLite, from asynchronous code. aiosqlite "
        "is given the same statement and leaves the JSON that it finds as it is.",
        quantities=(
            Quantity("one at a time p50", "ms"),
            Quantity("one at a time p99", "ms"),
            Quantity("16 in flight", "/s", high_is_good=True),
        ),
        variants=partial(_one_question, question),
        targets=(
            Target("ours", "one at a time p50", of="aiosqlite, one hop", at_most=1.3),
            Target("ours", "16 in flight", of="aiosqlite, one hop", at_least=1.5),
        ),
        budget=20,
        bound="The way to aiosqlite's thread and back is most of either side. Ours reads, in one visit, the row and "
        "what the store holds beyond it, so the answer is never stale, and makes a validated status of the "
        "JSON, for 20 µs. With several in flight the event loop's own work for each question is what is left, "
        "as all share visits.",
    )


TABLES: Final = (
    _table("query-execution", "by id", "One execution of a million"),
    _table("query-failed", "newest 50 FAILED", "The newest fifty that failed, of a million"),
    Table(
        name="query-growth",
        subject="queries",
        title="Queries of tables that grow",
        about="The same questions, one at a time, of tables of several sizes.",
        quantities=(Quantity("one at a time p50", "ms"),),
        variants=_by_size,
        growth=Growth("executions", "one at a time p50"),
        rounds=3,
        budget=30,
    ),
)

"""Several processes that share one SQLite file: who gets to write how much, who waits, and how long the log gets."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import samples
from benchmarks.elsewhere import beside
from benchmarks.harness import OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles
from benchmarks.peers import raw_sqlite
from benchmarks.place import Place, a_place
from projector.envelope import NewEvent, execution_stream

_WRITERS: Final = 4
_READERS: Final = 4
_PAGE: Final = 500
_MEGABYTES: Final = 300
_LOCK_TIMEOUT: Final = 30_000
"""How long raw sqlite3 waits for the lock, in milliseconds: as long as we do."""

Append = Callable[[int], None]


# --- who writes and reads, each in a process of its own -----------------------------------------------------------


def write(kind: str, path: str, number: int, batch: int, seconds: float) -> list[float]:
    """Append batches for so many seconds from the word on; returns how long each took, in seconds."""
    with _appending(kind, path, number, batch) as append:
        append(0)  # what opening takes is not appending
        _wait_for_the_word()
        took: list[float] = []
        end = time.monotonic() + seconds
        for turn in itertools.count(1):
            began = time.monotonic()
            if began > end:
                return took
            append(turn)
            took.append(time.monotonic() - began)
    raise AssertionError("there are always more turns")


def read(path: str) -> None:
    """Read the store page by page, over and over, until the process is ended."""
    with closing(samples.opened(path)) as store:
        _wait_for_the_word()
        position = 0
        while True:
            page = store.tail(after=position, limit=_PAGE)
            position = page[-1].position if page else 0


@contextmanager
def _appending(kind: str, path: str, number: int, batch: int) -> Iterator[Append]:
    stream = execution_stream(f"survey-{number}")
    if kind == "ours":
        event = samples.progress(number)
        with closing(samples.opened(path)) as store:

            def append(turn: int) -> None:
                events = [
                    NewEvent(f"{turn}-{at}", samples.NOON, samples.WRITER, event, 1)  # each its own id
                    for at in range(batch)
                ]
                store.append(stream, events)

            yield append
    else:
        state = samples.body(number)
        with closing(raw_sqlite.connected(Path(path))) as connection:
            connection.execute(f"PRAGMA busy_timeout={_LOCK_TIMEOUT}")

            def insert(turn: int) -> None:
                versions = range(turn * batch, (turn + 1) * batch)
                raw_sqlite.insert_in_batches(
                    connection, [(stream, version, raw_sqlite.TOPIC, state) for version in versions], batch
                )

            yield insert


def _wait_for_the_word() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


# --- what is seen of them -----------------------------------------------------------------------------------------


def contend(place: Place, kind: str, batch: int, seconds: float) -> Figures:
    """Let four processes write without a pause."""
    with ExitStack() as stack:
        path = stack.enter_context(place.folder()) / "store.db"
        samples.make_store(path)
        writers = [
            stack.enter_context(beside("benchmarks.sharing:write", kind, str(path), number, batch, seconds))
            for number in range(_WRITERS)
        ]
        _give_the_word(writers)
        took = [_answer(writer) for writer in writers]
    counts = [len(each) for each in took]
    latencies = [each for some in took for each in some]
    return {
        "events/s": sum(counts) * batch / seconds,
        "slowest/fastest": min(counts) / max(counts),
        "longest append": 1000 * max(latencies),
        **quantiles("append", latencies, 0.5, 0.99, 0.999),
    }


def fill(place: Place, kind: str, megabytes: int) -> Figures:
    """Write so much while four processes read page by page; the log is looked at all the time."""
    with ExitStack() as stack:
        path = stack.enter_context(place.folder()) / "store.db"
        samples.make_store(path)
        readers = [stack.enter_context(beside("benchmarks.sharing:read", str(path))) for _ in range(_READERS)]
        append = stack.enter_context(_appending(kind, str(path), 0, 100))
        append(0)
        _give_the_word(readers)
        longest, began, took, appended = 0, time.monotonic(), [], 0
        while appended * samples.EVENT_BYTES < megabytes * 10**6:
            since = time.monotonic()
            append(1 + appended // 100)
            took.append(time.monotonic() - since)
            appended += 100
            longest = max(longest, Path(f"{path}-wal").stat().st_size)
        seconds = time.monotonic() - began
    return {
        "events/s": appended / seconds,
        "log at most": longest / 2**20,
        "longest append": 1000 * max(took),
        **quantiles("append", took, 0.5, 0.99, 0.999),
    }


def _give_the_word(processes: Sequence[Any]) -> None:
    for process in processes:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("a process ended before it was ready")
    for process in processes:
        process.stdin.write("now\n")
        process.stdin.flush()


def _answer(process: Any) -> list[float]:
    return list(json.loads(process.stdout.readline()))


# --- the tables ---------------------------------------------------------------------------------------------------


@contextmanager
def _contending(batch: int, place: Place) -> Iterator[Sequence[Variant]]:
    seconds = 1.5 if place.is_quick else 4.0
    yield [
        Variant("ours", OURS, lambda: contend(place, "ours", batch, seconds)),
        Variant("sqlite3", PEER, lambda: contend(place, "raw", batch, seconds)),
    ]


@contextmanager
def _filling(place: Place) -> Iterator[Sequence[Variant]]:
    megabytes = place.size(_MEGABYTES, quick=30)
    yield [
        Variant("ours", OURS, lambda: fill(place, "ours", megabytes)),
        Variant("sqlite3", PEER, lambda: fill(place, "raw", megabytes)),
    ]


_WAITS: Final = (
    Quantity("append p50", "ms"),
    Quantity("append p99", "ms"),
    Quantity("append p99.9", "ms"),
    Quantity("longest append", "ms"),
)
_SHARES: Final = (
    Quantity("events/s", high_is_good=True),
    Quantity("slowest/fastest", high_is_good=True),
    *_WAITS,
)
_FAIR: Final = (
    Target("ours", "slowest/fastest", at_least=0.5),
    Target("ours", "append p99.9", at_most=250),
)

TABLES: Final = (
    Table(
        name="sharing-sqlite",
        subject="sharing",
        title="Four processes that write to one SQLite file without a pause",
        about="Each commits one event after another as fast as it can, durably. Slowest/fastest is how often the "
        "process that got the least came to write, as a part of how often the one did that got the most. sqlite3 is "
        "SQLite's own way to wait for its lock, with the same rows and nothing else done.",
        quantities=_SHARES,
        variants=partial(_contending, 1),
        targets=_FAIR,
        rounds=3,
        budget=45,
    ),
    Table(
        name="sharing-sqlite-batches",
        subject="sharing",
        title="The same with batches of 100 events",
        about="As above, a hundred events a commit.",
        quantities=_SHARES,
        variants=partial(_contending, 100),
        targets=_FAIR,
        rounds=3,
        budget=45,
    ),
    Table(
        name="log-sqlite",
        subject="sharing",
        title="How long SQLite's log gets while four processes read",
        about="One process appends batches of 100, and four read the whole store page by page, over and over. With "
        "sqlite3 the commit that finds the log too long copies it into the database itself.",
        quantities=(Quantity("log at most", "MiB"), Quantity("events/s", high_is_good=True), *_WAITS),
        variants=_filling,
        targets=(Target("ours", "log at most", at_most=64),),
        rounds=2,
        budget=90,
    ),
)


def main() -> None:
    """Print the figures of one turn each."""
    with a_place() as place:
        for batch in (1, 100):
            for kind in ("raw", "ours"):
                _print(f"{kind}, batches of {batch}", contend(place, kind, batch, 4.0))
        for kind in ("raw", "ours"):
            _print(f"{kind}, {_MEGABYTES} MB", fill(place, kind, _MEGABYTES))


def _print(what: str, figures: Figures) -> None:
    print(what, *(f"{name} {value:.2f}" for name, value in figures.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()

"""One agent that floods: events a second until the last of them is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from benchmarks import samples
from benchmarks.agents import SURVEY, emitter_of, writer_of
from benchmarks.harness import FLOOR, OURS, PEER, Figures, Quantity, Table, Target, Variant, timed
from benchmarks.peers import raw_postgres, raw_sqlite, stock
from benchmarks.place import Place
from projector.envelope import execution_stream
from projector.event_writer import EventWriter


async def emit(writer: EventWriter, events: int) -> None:
    """Events of one agent, until the last of them is on disk."""
    emitter = emitter_of(writer)
    for number in range(events):
        await emitter.emit(samples.progress(number))
    await emitter.settled()


def emitted(address: str | Path, events: int) -> Figures:
    """Events a second of one agent, until the last of them is on disk."""
    with writer_of(address) as writer:
        figures = timed(events, lambda: asyncio.run(emit(writer, events)))
    with closing(samples.opened(address)) as store:
        if (stored := store.version(execution_stream(SURVEY))) != events:
            raise RuntimeError(f"{stored} of {events} events are in the store")
    return figures


def _saved(environment: dict[str, str], events: int) -> Figures:
    with stock.application(environment) as app:
        return timed(events, lambda: stock.saved_one_by_one(app, events))


def _inserted(path: Path, events: int) -> Figures:
    rows = raw_sqlite.rows([samples.body(number) for number in range(events)])
    with closing(raw_sqlite.connected(path)) as connection:
        connection.execute(raw_sqlite.CREATE)
        return timed(events, lambda: raw_sqlite.insert_in_batches(connection, rows))


def _copied(url: str, events: int) -> Figures:
    import psycopg

    rows = raw_sqlite.rows([samples.body(number) for number in range(events)])
    with psycopg.connect(url) as connection:
        connection.execute(raw_postgres.CREATE)
        connection.commit()
        return timed(events, lambda: raw_postgres.copy_in_batches(connection, rows))


@contextmanager
def _on_sqlite(place: Place) -> Iterator[Sequence[Variant]]:
    many, few = place.size(40_000, quick=10_000), place.size(1_000, quick=300)

    def ours() -> Figures:
        with place.folder() as folder:
            return emitted(folder / "store.db", many)

    def peer() -> Figures:
        with place.folder() as folder:
            return _saved(stock.sqlite_environment(folder / "stock.db"), few)

    def floor() -> Figures:
        with place.folder() as folder:
            return _inserted(folder / "raw.db", many)

    yield [
        Variant("ours", OURS, ours),
        Variant("stock save per event", PEER, peer),
        Variant("sqlite3, batches of 1000", FLOOR, floor),
    ]


@contextmanager
def _on_postgres(place: Place) -> Iterator[Sequence[Variant]]:
    many, few = place.size(20_000, quick=5_000), place.size(400, quick=150)

    def ours() -> Figures:
        with place.postgres() as url:
            return emitted(url, many)

    def peer() -> Figures:
        with place.postgres() as url:
            return _saved(stock.postgres_environment(url), few)

    def floor() -> Figures:
        with place.postgres() as url:
            return _copied(url, many)

    yield [
        Variant("ours", OURS, ours),
        Variant("stock save per event", PEER, peer),
        Variant("COPY, batches of 1000", FLOOR, floor),
    ]


_RATE: Final = Quantity("events/s", high_is_good=True)
_PEER: Final = "stock save per event"

TABLES: Final = (
    Table(
        name="emit-sqlite",
        subject="emit",
        title="Events of one agent, on SQLite",
        about="One agent tells its progress, 350 bytes an event, until the last event is on disk. The stock "
        "application saves its aggregate at each event. The floor is sqlite3 with the same bytes, ready made, in "
        "batches of 1000.",
        quantities=(_RATE,),
        variants=_on_sqlite,
        targets=(
            Target("ours", "events/s", of=_PEER, at_least=30),
            Target("ours", "events/s", of="sqlite3, batches of 1000", at_least=0.35),
        ),
        rounds=7,
        budget=45,
        bound="Python's lock, which the agent's thread and the writing thread share: about 6 µs an event to make it "
        "and hand it over, 3 µs for the door and the JSON, and 4 µs in SQLite, with a second table, by whose "
        "key appends are idempotent. They come one after the other: the agent, which is quicker, waits for "
        "room while the writer is in SQLite. The faster the disk's sync, the smaller is the multiple of who "
        "syncs for each event.",
    ),
    Table(
        name="emit-postgres",
        subject="emit",
        title="Events of one agent, on PostgreSQL",
        about="The same on PostgreSQL with its default settings. The floor is psycopg's COPY, in batches of 1000.",
        quantities=(_RATE,),
        variants=_on_postgres,
        targets=(
            Target("ours", "events/s", of=_PEER, at_least=55),
            Target("ours", "events/s", of="COPY, batches of 1000", at_least=0.20),
        ),
        budget=45,
        bound="The same, and the server: one statement a batch takes the positions, looks at the ids and fills both "
        "tables, in one round trip, while the agent waits for room. A save of the library's is mostly round trips and "
        "the disk's sync, which are quick where the server is on the same machine.",
    ),
)

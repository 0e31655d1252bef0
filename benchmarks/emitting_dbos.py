"""Telling how far an agent is: our emitter beside dbos, whose way is a stream that a durable workflow writes to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from benchmarks import samples
from benchmarks.elsewhere import elsewhere
from benchmarks.harness import OURS, PEER, Figures, Quantity, Table, Target, Variant, timed
from benchmarks.peers import dbos_stream
from benchmarks.place import Place
from projector.envelope import execution_stream
from projector.event_writer import EventWriter
from runner.emitter import Emitter

_EXECUTION: Final = "survey"


# --- ours ----------------------------------------------------------------------------------------------------------


async def emit(writer: EventWriter, events: int) -> None:
    """What one agent's progress costs: each event handed over, the last one awaited until all are on disk."""
    emitter = Emitter(writer, _EXECUTION, runner_id=samples.RUNNER, attempt=1)
    for number in range(events):
        await emitter.emit(samples.progress(number))
    await emitter.settled()


def emitted(path: Path, events: int) -> Figures:
    """Events a second of one agent, until the last of them is on disk."""
    with closing(samples.opened(path)) as store:
        with closing(EventWriter(store)) as writer:
            figures = timed(events, lambda: asyncio.run(emit(writer, events)))
        if (stored := store.version(execution_stream(_EXECUTION))) != events:
            raise RuntimeError(f"{stored} of {events} events are in the store")
    return figures


# --- the table -----------------------------------------------------------------------------------------------------


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    events, few = place.size(30_000, quick=5_000), place.size(500, quick=150)

    def ours() -> Figures:
        with place.folder() as folder:
            return emitted(folder / "store.db", events)

    def dbos_on_sqlite() -> Figures:
        with place.folder() as folder:
            url = dbos_stream.sqlite_url(folder / "dbos.db")
            return {"events/s": elsewhere("benchmarks.peers.dbos_stream:measure", url, few)}

    def dbos_on_postgres() -> Figures:
        with place.postgres() as url:
            return {"events/s": elsewhere("benchmarks.peers.dbos_stream:measure", url, few)}

    yield [
        Variant("ours, on SQLite", OURS, ours),
        Variant("dbos write_stream, on SQLite", PEER, dbos_on_sqlite),
        Variant("dbos write_stream, on PostgreSQL", PEER, dbos_on_postgres),
    ]


TABLES: Final = (
    Table(
        name="emit-dbos",
        subject="emit",
        title="An agent's progress, beside dbos",
        about="One agent tells its progress, until the last event is on disk. In dbos a workflow writes it to a "
        "stream; each write is a durable step of that workflow, which promises more than an append does. dbos keeps "
        "SQLite's rollback journal.",
        quantities=(Quantity("events/s", high_is_good=True),),
        variants=_variants,
        targets=(Target("ours, on SQLite", "events/s", of="dbos write_stream, on SQLite", at_least=150),),
        budget=45,
    ),
)

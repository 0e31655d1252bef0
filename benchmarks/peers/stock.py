"""The stock eventsourcing library: an aggregate and an application as its documentation writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent
from psycopg.conninfo import conninfo_to_dict

from benchmarks.samples import note


class Voyage(Aggregate):
    """An execution that reports its progress."""

    class Begun(Aggregate.Created):
        """An agent began."""

        name: str

    class Reported(Aggregate.Event):
        """It says how far it is."""

        done: float
        total: float
        note: str

    @event(Begun)
    def __init__(self, name: str) -> None:
        self.name = name
        self.done = 0.0
        self.total = 0.0
        self.note = ""
        self.reports = 0

    @event(Reported)
    def report(self, done: float, total: float, note: str) -> None:
        """Take a report of progress: the payload of `samples.progress`."""
        self.done = done
        self.total = total
        self.note = note
        self.reports += 1


class Voyages(Application[UUID]):
    """Its application."""

    name = "voyages"


class VoyagesWithSnapshots(Voyages):
    """The same, taking a snapshot every hundred events."""

    name = "voyages"
    is_snapshotting_enabled = True
    snapshotting_intervals: ClassVar[dict[type[Any], int]] = {Voyage: 100}


def sqlite_environment(path: Path) -> dict[str, str]:
    """Where the application keeps its events: a file. The library sets WAL; SQLite's own synchronous is FULL."""
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}


def postgres_environment(url: str) -> dict[str, str]:
    """Where the application keeps its events: a database, with the library's default locking."""
    said = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": said["dbname"],
        "POSTGRES_HOST": said.get("host", "localhost"),
        "POSTGRES_PORT": said.get("port", "5432"),
        "POSTGRES_USER": said.get("user", "postgres"),
        "POSTGRES_PASSWORD": said.get("password", ""),
    }


CACHE: dict[str, str] = {"AGGREGATE_CACHE_MAXSIZE": "1000"}
"""Added to an environment: the library's cache of aggregates, with its defaults otherwise."""


@contextmanager
def application(environment: dict[str, str], kind: type[Voyages] = Voyages) -> Iterator[Voyages]:
    """An application for as long as the context lasts."""
    app = kind(env=environment)
    try:
        yield app
    finally:
        app.close()


def voyage() -> Voyage:
    """A new aggregate, not saved yet."""
    return Voyage(name=f"survey-{uuid4().hex[:8]}")


def saved_one_by_one(app: Application[UUID], events: int) -> None:
    """One agent's events, each saved before the next; the aggregate stays in memory."""
    agent = voyage()
    app.save(agent)
    for number in range(events - 1):
        agent.report(float(number), 1000.0, note())
        app.save(agent)


def saved_by(app: Application[UUID], events: int, each: int) -> None:
    """The same, `each` events at a time."""
    agent = voyage()
    for number in range(1, events):
        agent.report(float(number), 1000.0, note())
        if number % each == 0:
            app.save(agent)
    app.save(agent)


_AT_ONCE: Final = 500
"""With some thousand rows in one insert of the library's on PostgreSQL, psycopg 3.3.9 and the server wait for each
other for ever: both ends of its pipeline have filled their buffers."""


def fill(app: Application[UUID], aggregates: int, events: int, *, at_once: int) -> list[UUID]:
    """Store aggregates of `events` events each in bulk, `at_once` of them interleaved; returns their ids.

    The library's own bytes, made once: an event's bytes hold neither its aggregate nor its version.
    """
    sample = voyage()
    sample.report(1.0, 1000.0, note())
    begun, reported = (app.mapper.to_stored_event(each) for each in sample.collect_events())
    ids = [uuid4() for _ in range(aggregates)]
    for start in range(0, aggregates, at_once):
        group = ids[start : start + at_once]
        rows: list[StoredEvent] = []
        for version in range(1, events + 1):
            like = begun if version == 1 else reported
            rows += [StoredEvent(each, version, like.topic, like.state) for each in group]
            if len(rows) >= _AT_ONCE:
                app.recorder.insert_events(rows)
                rows = []
        if rows:
            app.recorder.insert_events(rows)
    return ids

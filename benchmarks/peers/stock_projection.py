"""A projection with the stock library: one transaction an event, which holds the row and the position.

On PostgreSQL its ProjectionRunner does it. On SQLite that cannot run, since the recorder there has no subscriptions: a
user writes the loop from the library's own pieces.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import InfrastructureFactory, Tracking, TrackingRecorder
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder
from eventsourcing.utils import Environment
from psycopg.sql import SQL

from benchmarks.peers.stock import Voyage, Voyages

PAGE: Final = 500

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS voyages (id TEXT PRIMARY KEY, name TEXT, done FLOAT, total FLOAT, note TEXT, reports BIGINT)
"""


class View(TrackingRecorder):
    """One row an aggregate."""

    def begin(self, voyage_id: UUID, name: str, tracking: Tracking) -> None:
        """Insert a row and record the position."""
        raise NotImplementedError

    def report(self, voyage_id: UUID, done: float, total: float, note: str, tracking: Tracking) -> None:
        """Update a row and record the position."""
        raise NotImplementedError


class SqliteView(SQLiteTrackingRecorder, View):
    """The view on SQLite."""

    def __init__(self, datastore: SQLiteDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.create_table_statements.append(_CREATE)

    def begin(self, voyage_id: UUID, name: str, tracking: Tracking) -> None:
        """See View.begin."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute("INSERT INTO voyages VALUES (?, ?, 0, 0, '', 0)", (str(voyage_id), name))

    def report(self, voyage_id: UUID, done: float, total: float, note: str, tracking: Tracking) -> None:
        """See View.report."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "UPDATE voyages SET done = ?, total = ?, note = ?, reports = reports + 1 WHERE id = ?",
                (done, total, note, str(voyage_id)),
            )


class PostgresView(PostgresTrackingRecorder, View):
    """The view on PostgreSQL."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(SQL(_CREATE).format())

    def begin(self, voyage_id: UUID, name: str, tracking: Tracking) -> None:
        """See View.begin."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute("INSERT INTO voyages VALUES (%s, %s, 0, 0, '', 0)", (str(voyage_id), name))

    def report(self, voyage_id: UUID, done: float, total: float, note: str, tracking: Tracking) -> None:
        """See View.report."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "UPDATE voyages SET done = %s, total = %s, note = %s, reports = reports + 1 WHERE id = %s",
                (done, total, note, str(voyage_id)),
            )


class VoyagesProjection(Projection[View]):
    """Each event into the view."""

    name = "voyages_view"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """An event that is none of ours moves the position only."""
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: Voyage.Begun, tracking: Tracking) -> None:
        self.view.begin(domain_event.originator_id, domain_event.name, tracking)

    @process_event.register
    def _(self, domain_event: Voyage.Reported, tracking: Tracking) -> None:
        self.view.report(domain_event.originator_id, domain_event.done, domain_event.total, domain_event.note, tracking)


def pulled(environment: dict[str, str], events: int) -> None:
    """Project the first `events` events of an SQLite application into a view in the same file."""
    app = Voyages(env=environment)
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(
        Environment(VoyagesProjection.name, environment)
    )
    view = factory.tracking_recorder(SqliteView)
    projection = VoyagesProjection(view=view)
    position = view.max_tracking_id(app.name) or 0
    while position < events:
        page = app.recorder.select_notifications(
            start=position, limit=min(PAGE, events - position), inclusive_of_start=False
        )
        if not page:
            raise RuntimeError(f"the application holds only {position} of {events} events")
        for notification in page:
            projection.process_event(app.mapper.to_domain_event(notification), Tracking(app.name, notification.id))
            position = notification.id
    app.close()
    factory.close()


def run(environment: dict[str, str], position: int) -> None:
    """Project a PostgreSQL application up to a position with the library's runner."""
    with ProjectionRunner(
        application_class=Voyages,
        projection_class=VoyagesProjection,
        view_class=PostgresView,
        env=environment,
    ) as runner:
        runner.wait(position, timeout=600)

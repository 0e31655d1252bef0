"""The projector's loop: tail the store, fold a batch, write rows and position in one transaction.

Several projectors may run on one store: each batch checks, under the write lock, that the tables are where it thinks
they are, and otherwise starts again from where they really are. An event that breaks the fold of its stream parks that
stream, visibly, and nothing else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from projector.engines.ports import Cursor, Database, StoreEngine
from projector.errors import StoreError
from projector.execution_status import ExecutionStatus
from projector.projecting.batch import Batch
from projector.projecting.standby import LOOK_EVERY, Standby
from projector.projections.tables import Changes, Progress, QueryTables
from projector.stored_row import Shard, StoredRow

BATCH: Final = 500
CACHED: Final = 10_000
_LONGEST_PAUSE: Final = 5.0
_SOONEST_STOP: Final = 0.25
_BREATH: Final = 0.01
"""What comes within this many seconds is projected at once: a transaction costs the same for one event and for ten."""

log = structlog.get_logger("projector")


class ProjectionRunner:
    """Brings the query tables of one database up to the head of the store, and keeps them there."""

    def __init__(
        self,
        store: StoreEngine,
        database: Database,
        *,
        batch: int = BATCH,
        renew: Callable[[], object] | None = None,
        shard: Shard | None = None,
    ) -> None:
        """`database` holds the query tables: the store's own, or another for a rebuild.

        `renew` makes anew tables whose rows are of another version of the fold; without it they are refused.
        With a `shard`, only that part of the streams is projected, for a rebuild.
        """
        self._renew = renew or _refuse
        self._store = store
        self._database = database
        self._tables = QueryTables() if shard is None else QueryTables(f"shard {shard.place} of {shard.parts}")
        self._shard = shard
        self._batch = batch
        self._known: Progress | None = None
        self._statuses: OrderedDict[str, ExecutionStatus] = OrderedDict()
        self._parked: set[str] = set()

    @property
    def position(self) -> int:
        """How far the tables are, as this runner last saw it."""
        return self._known.position if self._known else 0

    def run(self, stopping: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Project until `stopping` is set, whenever the bell rings, and every `poll_interval` seconds.

        Of several projectors on one store one leads and the others stand by. A store that cannot serve, or any other
        trouble, is said once and tried again with growing pauses.
        """
        pause = poll_interval
        woken = threading.Event()
        leadership = self._store.leadership("projector")
        standby = Standby()
        try:
            with self._store.bell.listen(woken.set):
                while not stopping.is_set():
                    woken.clear()
                    try:
                        if not leadership.hold():
                            self._known = None
                            if standby.must_step_in(self._where(), self._store.head()):
                                self.catch_up()
                            stopping.wait(LOOK_EVERY)
                            continue
                        done = self.step()
                    except Exception as error:  # whatever it is, a projector that has silently ended helps nobody
                        if pause == poll_interval:
                            log.error("the projector waits and tries again", reason=f"{type(error).__name__}: {error}")
                        pause = min(pause * 2, _LONGEST_PAUSE)
                        self._known = None
                        stopping.wait(pause)
                        continue
                    pause = poll_interval
                    if 0 < done < self._batch:
                        stopping.wait(_BREATH)
                    elif not done:
                        woken.wait(min(poll_interval, _SOONEST_STOP))
        finally:
            leadership.release()

    def catch_up(self, upto: int | None = None) -> int:
        """Project until there is nothing more, or until `upto`; returns the position reached."""
        while self.step(upto):
            pass
        return self.position

    def step(self, upto: int | None = None) -> int:
        """Project one batch; returns how many events it took. Raises StoreError."""
        if self._known is None:
            self._look()
        rows = self._store.tail_stored(after=self.position, limit=self._batch, shard=self._shard)
        if upto is not None:
            rows = [row for row in rows if row.position <= upto]
        if not rows:
            return 0
        known = self._known
        try:
            self._project(rows, self._fold_all)
        except StoreError:
            raise
        except Exception:  # one row that cannot be written must not stop the others: find it and park it
            self._known = known
            self._project(rows, self._fold_in_parts)
        return len(rows)

    def _where(self) -> int:
        with self._database.transaction(commit=False) as cursor:
            return self._tables.progress(cursor).position

    def _look(self) -> None:
        with self._database.transaction(commit=False) as cursor:
            known = self._tables.progress(cursor)
            self._parked = self._tables.parked_streams(cursor)
        self._statuses.clear()
        if known.is_outdated:
            self._renew()
        elif known.are_unmarked and self._shard is None and self._database is self._store.database:
            self._make_anew()
        if known.is_outdated or known.are_unmarked:
            with self._database.transaction(commit=False) as cursor:
                known = self._tables.progress(cursor)
        self._known = known

    def _make_anew(self) -> None:
        """Make tables that hold nothing yet: an earlier version may have made them, with other columns."""
        with self._database.transaction(commit=True) as cursor:
            known = self._tables.progress(cursor)
            if known.are_unmarked:
                self._tables.make_anew(cursor)

    def _project(self, rows: Sequence[StoredRow], fold: Callable[[Cursor, Sequence[StoredRow]], Changes]) -> None:
        known, self._known = self._known, None
        assert known is not None, "step looks first"
        with self._database.transaction(commit=True) as cursor:
            if self._tables.progress(cursor) != known:
                return  # another projector or a rebuild moved the tables; the next step looks again
            changes = fold(cursor, rows)
            reached = self._tables.advance(cursor, known, rows[-1].position)
        self._known = reached
        for stream, (position, reason) in changes.parked.items():
            log.error("stream parked", stream=stream, position=position, reason=reason)
        self._parked |= changes.parked.keys()
        for execution_id, status in changes.statuses.items():
            self._statuses[execution_id] = status
            self._statuses.move_to_end(execution_id)
        while len(self._statuses) > CACHED:
            self._statuses.popitem(last=False)

    def _fold_all(self, cursor: Cursor, rows: Sequence[StoredRow]) -> Changes:
        batch = Batch(cursor, self._tables, self._store.mapper, at_hand=self._statuses, parked=self._parked)
        for row in rows:
            batch.take(row)
        changes = batch.changes()
        self._tables.write(cursor, changes)
        return changes

    def _fold_in_parts(self, cursor: Cursor, rows: Sequence[StoredRow]) -> Changes:
        """The same, and one whose row is refused is found: a part that cannot be written is halved."""
        total = Changes()
        self._statuses.clear()  # within this transaction the table is what knows
        waiting = [rows]
        while waiting:
            part = waiting.pop()
            cursor.execute("SAVEPOINT part")
            try:
                changes = self._fold_part(cursor, part, total)
            except StoreError:  # it says nothing about the events
                raise
            except Exception as error:
                cursor.execute("ROLLBACK TO SAVEPOINT part")
                half = len(part) // 2
                waiting += [part[half:], part[:half]] if half else []
                changes = Changes() if half else self._fold_part(cursor, part, total, error)
            cursor.execute("RELEASE SAVEPOINT part")
            total.statuses |= changes.statuses
            total.parked |= changes.parked
        return total

    def _fold_part(
        self, cursor: Cursor, rows: Sequence[StoredRow], so_far: Changes, error: Exception | None = None
    ) -> Changes:
        parked = self._parked | so_far.parked.keys()
        batch = Batch(cursor, self._tables, self._store.mapper, at_hand={}, parked=parked)
        for row in rows:
            if error is None:
                batch.take(row)
            else:
                batch.park(row, error)
        changes = batch.changes()
        self._tables.write(cursor, changes)
        return changes


def _refuse() -> None:
    raise StoreError(
        "the query tables were made by another version of this program: `execution-status rebuild` makes them anew"
    )

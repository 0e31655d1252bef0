"""A rebuild by several processes: each folds the streams of its shard into the same new tables.

No two of them touch one execution or one runner; a failure group, which they share, comes out the same in whatever
order its failures are counted. Each has its own position beside the rows, so that one that is begun again goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from typing import Final

from projector.engines.ports import Beside, Cursor, Database, StoreEngine
from projector.projecting.projection_runner import ProjectionRunner
from projector.projections.tables import PROJECTOR
from projector.stored_row import Shard

WORTH_IT: Final = 200_000
"""With fewer events, starting processes takes longer than they save."""
MOST: Final = 4
"""More than these wait for each other: there is one file to write."""
BATCH: Final = 5000

SELECT_BEGUN: Final = (
    "SELECT application_name FROM tracking WHERE application_name = 'projector' OR application_name LIKE 'shard %'"
)
DELETE_SHARDS: Final = "DELETE FROM tracking WHERE application_name LIKE 'shard %'"
SET_POSITION: Final = (
    "INSERT INTO tracking (application_name, notification_id) VALUES (?, ?) "
    "ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id"
)


def processes_for(events: int) -> int:
    """How many processes are worth it."""
    return min(MOST, os.cpu_count() or 1) if events >= WORTH_IT else 1


def fold_in_processes(store: StoreEngine, beside: Beside, upto: int, processes: int) -> None:
    """Bring new tables to `upto`, unless one process is enough or has begun. Raises StoreError.

    What was begun by another number of processes is gone on with by as many.
    """
    with beside.database.transaction(commit=False) as cursor:
        cursor.execute(SELECT_BEGUN)
        begun = [row[0] for row in cursor.fetchall()]
    if PROJECTOR in begun:
        return
    if begun:
        processes = int(begun[0].rpartition(" ")[2])
    if processes == 1:
        return
    context = multiprocessing.get_context("spawn")
    tasks = [(store.opener(), beside.opener(), Shard(place, processes), upto) for place in range(processes)]
    # Leaving the pool ends its processes, also when this one is interrupted.
    with context.Pool(processes, initializer=_leave_interrupts_to_the_parent) as pool:
        pool.starmap(_fold_shard, tasks, chunksize=1)
    with beside.database.transaction(commit=True) as cursor:
        _hand_over(cursor, upto)


def _hand_over(cursor: Cursor, upto: int) -> None:
    cursor.execute(DELETE_SHARDS)
    cursor.execute(SET_POSITION, (PROJECTOR, upto))


def _fold_shard(
    open_store: Callable[[], StoreEngine], open_tables: Callable[[], Database], shard: Shard, upto: int
) -> None:
    parent = multiprocessing.parent_process()
    with closing(open_store()) as store, closing(open_tables()) as tables:
        runner = ProjectionRunner(store, tables, batch=BATCH, shard=shard)
        # When the parent is gone, the next rebuild goes on with these tables.
        while runner.step(upto) and parent is not None and parent.is_alive():
            pass


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

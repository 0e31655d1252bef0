"""Taking the rows of executions that leave the store out of the query tables.

What was counted together with them, the failure groups, has to be counted anew: the tables are marked as made by no
version of the fold, so that whoever finds them so, a projector or `rebuild`, makes them anew, whatever becomes of the
process that left the mark.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from projector.engines.ports import Cursor
from projector.envelope import execution_id_of
from projector.projections.tables import FOLD, SET_PROGRESS

FORGET_EXECUTION: Final = "DELETE FROM executions WHERE execution_id = ?"
FORGET_PARKED: Final = "DELETE FROM parked WHERE stream = ?"
_NO_VERSION: Final = 0


def forget(cursor: Cursor, streams: Collection[str]) -> None:
    """Take out their rows, and mark the tables, in the transaction of this cursor."""
    ids = [(execution_id,) for stream in streams if (execution_id := execution_id_of(stream)) is not None]
    cursor.executemany(FORGET_EXECUTION, ids)
    cursor.executemany(FORGET_PARKED, [(stream,) for stream in streams])
    cursor.execute(SET_PROGRESS, (FOLD, _NO_VERSION))

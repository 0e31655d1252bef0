"""What an archive that was killed has left in its folder.

A file whose executions were not taken out is not needed: the store holds all of it. That is not guessed but compared,
event by event; any other file is left alone, be it another store's or somebody's copy.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from projector.engines.ports import StoreEngine
from projector.envelope import ARCHIVE_LOG
from projector.errors import EventFileError, InputRejected
from projector.events import ExecutionsArchived
from projector.keeping.event_file import SUFFIX, EventFile
from projector.keeping.filed_events import Filing

PATTERN: Final = f"executions-*{SUFFIX}"


def archived_files(store: StoreEngine) -> set[str]:
    """The names of all files that archives of this store have made. Raises StoreError."""
    records = store.read(ARCHIVE_LOG)
    return {record.event.file for record in records if isinstance(record.event, ExecutionsArchived)}


def remove_leftovers(folder: Path, store: StoreEngine, filing: Filing, say: Callable[[str], None]) -> None:
    """Remove files that were begun and not finished, and those of which the store still holds everything.

    Raises StoreError.
    """
    for part in folder.glob(f".{PATTERN}.part"):
        _remove_unless_written(part)
    known = archived_files(store)
    for path in sorted(folder.glob(PATTERN)):
        if path.name not in known and _is_all_held(path, filing):
            path.unlink(missing_ok=True)
            say(f"removed {path}: an archive was interrupted before it took these executions out of the store")


def _is_all_held(path: Path, filing: Filing) -> bool:
    try:
        file = EventFile(path)
        if file.header.encrypted is not filing.keeps_encryption:
            return False
        for stream, events in groupby(file.events(), key=attrgetter("stream")):
            held = filing.stream(stream)
            if any(event != next(held, None) for event in events):
                return False
    except (EventFileError, InputRejected):
        return False
    return True


def _remove_unless_written(part: Path) -> None:
    with suppress(OSError), part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()

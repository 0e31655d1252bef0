"""What child processes keep in tests: backups, restored stores, archives. Each takes the pipe to its test first."""

from __future__ import annotations

import resource
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

from projector.engines.ports import StoreEngine
from projector.errors import EventFileError, StoreError
from projector.keeping.backup import backup, check_backup, restore
from tests.engines import ENGINES
from tests.keeping import NOW, archived


def _opened(engine: str, place: str) -> closing[StoreEngine]:
    return closing(ENGINES[engine].open(place, 10.0))


def back_up(pipe: Connection, engine: str, place: str, file: str) -> None:
    """Make a backup."""
    with _opened(engine, place) as store:
        pipe.send("ready")
        backup(store, Path(file), made_at=NOW)
        pipe.send("done")


def put_back(pipe: Connection, engine: str, place: str, file: str) -> None:
    """Restore a backup."""
    with _opened(engine, place) as store:
        checked = check_backup(Path(file))
        pipe.send("ready")
        restore(checked, store)
        pipe.send("done")


def archive(pipe: Connection, engine: str, place: str, folder: str, events_a_file: int) -> None:
    """Archive all that has ended, into files of so many events."""
    with _opened(engine, place) as store:
        pipe.send("ready")
        archived(store, Path(folder), events_a_file=events_a_file)
        pipe.send("done")


def measure(pipe: Connection, engine: str, place: str, file: str, other: str) -> None:
    """Back a store up and restore it elsewhere; tell how much memory that took at most, beyond what it began with."""
    with _opened(engine, place) as store:
        store.tail_stored(after=0, limit=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        backup(store, Path(file), made_at=NOW)
        pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    with _opened(engine, other) as new:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        new.keeper().put_all(check_backup(Path(file)).events())
        pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def keep_on_a_full_disk(pipe: Connection, place: str, folder: str, room: int) -> None:
    """Make a backup, restore one and archive while no file may grow beyond `room` bytes; tell what was said of each."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with _opened("sqlite", place) as store, _opened("sqlite", f"{folder}/new.db") as new:
        whole = Path(folder) / "whole.jsonl.gz"
        backup(store, whole, made_at=NOW)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
        said = []
        for attempt in (
            lambda: backup(store, Path(folder) / "new.jsonl.gz", made_at=NOW),
            lambda: archived(store, Path(folder) / "archive"),
            lambda: restore(check_backup(whole), new),
        ):
            try:
                attempt()
            except (EventFileError, StoreError) as error:
                said.append(str(error))
        pipe.send(said)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        pipe.send(new.head())

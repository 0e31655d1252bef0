"""The files of an embedded Temporal: the lock beside its database, and its log."""

from __future__ import annotations

import asyncio
import fcntl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from workflows.embedded.errors import EmbeddedTemporalFailed

_LOCK_PATIENCE: Final = 1.0
"""Seconds; a server whose parent was killed takes some milliseconds to be gone."""


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[IO[bytes]]:
    """Hold the lock of a database file. The server inherits it, and so keeps it should this process die first."""
    with open_to_append(database.with_name(f"{database.name}.lock")) as lock:
        try:
            async with asyncio.timeout(_LOCK_PATIENCE):
                while not _take(lock):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            lock.seek(0)
            holder = lock.read(32).decode("ascii", "replace") or "just starting"
            raise EmbeddedTemporalFailed(
                f"another embedded Temporal (process {holder}) uses the database {database}. "
                "Next: stop it, set TEMPORAL_ADDRESS to use it, or choose another data folder"
            ) from None
        lock.truncate(0)
        yield lock


def _take(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_to_append(path: Path | None) -> IO[bytes]:
    """A file to append to; None is one of no name. Raises EmbeddedTemporalFailed."""
    try:
        if path is None:  # not the null device: a failed start must still be able to tell why
            return tempfile.TemporaryFile()
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b")
    except OSError as error:
        raise EmbeddedTemporalFailed(
            f"the embedded Temporal cannot write {path or 'its log'}: {error.strerror}. "
            "Next: name a place that this user can write to"
        ) from error

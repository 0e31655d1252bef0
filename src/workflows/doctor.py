"""A look at an installation: what is there, what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from projector.errors import StatusError, StoreMissing
from projector.opening import lock_holder, open_queries
from projector.projections.runners import RunnerState
from projector.settings import config_file
from projector.store_address import SqliteAddress
from runner.connection import connect
from workflows.settings import OrchestratorSettings

PATIENCE: Final = 2.0
LEAST_ROOM: Final = 100 * 1024 * 1024
_REPAIRED: Final = (3, 51, 3)
_BACKPORTS: Final = ((3, 44, 6), (3, 50, 7))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    said: str


async def examine(settings: OrchestratorSettings) -> list[Check]:
    """Look at everything that an execution needs. Raises nothing: what is wrong is in the answer."""
    checks = [Check("settings", True, f"data folder {settings.data_dir}, settings file {_present(config_file())}")]
    if isinstance(settings.store_address, SqliteAddress):
        checks.append(_sqlite())
    holder = await asyncio.to_thread(lock_holder, settings)
    if holder is not None and holder.stands_still:
        checks.append(Check("write lock", False, f"nothing can be stored: {holder}"))
    checks += await _store(settings)
    checks += [_room(folder) for folder in _folders(settings)]
    checks.append(await _temporal(settings))
    return checks


def _present(path: Path) -> str:
    return str(path) if path.exists() else f"{path} (absent)"


def _sqlite() -> Check:
    """Look for the bug that let several writers corrupt a WAL file: repaired in 3.51.3 (sqlite.org/wal.html)."""
    version = sqlite3.sqlite_version_info
    safe = version >= _REPAIRED or any(version[:2] == fixed[:2] and version >= fixed for fixed in _BACKPORTS)
    note = "" if safe else ": a rare bug with several writers was repaired in 3.51.3; upgrade SQLite when you can"
    return Check("sqlite", True, f"version {sqlite3.sqlite_version}{note}")


async def _store(settings: OrchestratorSettings) -> list[Check]:
    try:
        async with open_queries(settings, patience=PATIENCE) as queries:
            lag = await queries.lag()
            runners = await queries.runners(settings.agent_queue)
    except StoreMissing as error:
        return [Check("event store", True, str(error))]
    except StatusError as error:
        return [Check("event store", False, str(error))]
    behind = f"the query tables are {lag.events} events behind: is a projector running? (`execution-status project`)"
    newest = runners[0] if runners else None
    told = f"{newest.runner_id} said '{newest.state}' at {newest.changed_at}" if newest else "none has announced itself"
    failed = newest is not None and newest.state is RunnerState.STARTUP_FAILED
    return [
        Check("event store", True, f"{settings.store_address}, {lag.head} events"),
        Check("projector", not lag.events, behind if lag.events else "the query tables are up to date"),
        Check(
            "runners",
            not failed,
            f"queue '{settings.agent_queue}': {told}" + (f": {newest.error}" if failed and newest else ""),
        ),
    ]


def _folders(settings: OrchestratorSettings) -> list[Path]:
    """Where things are written: the data folder, and the store's where it is another."""
    folders = [settings.data_dir]
    if isinstance(settings.store_address, SqliteAddress):
        folders.append(settings.store_address.path.absolute().parent)
    return list(dict.fromkeys(folders))


def _room(folder: Path) -> Check:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    said = f"{free // (1024 * 1024):,} MiB free at {folder}"
    enough = free > LEAST_ROOM
    return Check("disk", enough, said if enough else f"{said}: make room, or events cannot be stored")


async def _temporal(settings: OrchestratorSettings) -> Check:
    try:
        client = await connect(settings.data_dir, timeout=PATIENCE, identity="doctor")
    except StatusError as error:
        return Check("temporal", False, str(error))
    return Check(
        "temporal", True, f"namespace '{client.namespace}' answers at {client.service_client.config.target_host}"
    )

"""The engines of the event store, for tests that run on each of them.

An engine says how a place for a store is made, how a store is opened there, and how everybody else is kept from
writing into it. Its functions can be imported, so that other processes do the same. To look at rows and to change them
by hand, `tests.tables` takes a store of any engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from projector.engines.ports import StoreEngine
from projector.store_address import SqliteAddress, StoreAddress
from tests.postgres import fresh_database
from tests.postgres_processes import open_postgres
from tests.store_processes import open_sqlite, sqlite_locked


class OpenStore(Protocol):
    """Opens a store, and makes it when it is absent; `lock_timeout` is in seconds."""

    def __call__(self, place: str, lock_timeout: float = 30.0, /) -> StoreEngine: ...


@dataclass(frozen=True)
class Engine:
    """One engine. A place is what EXECUTION_STATUS_STORE may be: a path, or a URL."""

    name: str
    make_place: Callable[[Path], AbstractContextManager[str]]
    """A place for one store, empty or absent at first; what is there goes away at the end, or with the folder."""
    open: OpenStore
    locked: Callable[[str], AbstractContextManager[None]]
    """Keeps everybody else from appending and from projecting, and nobody from reading."""


@contextmanager
def _a_file(folder: Path) -> Iterator[str]:
    yield str(folder / "store.db")


@contextmanager
def _a_database(_: Path) -> Iterator[str]:
    with fresh_database() as dsn:
        yield url_of(dsn)


def url_of(dsn: str) -> str:
    """The same address as a URL, which settings take."""
    known = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    return f"postgresql:///{quote(known.pop('dbname'), safe='')}?{urlencode(known, quote_via=quote)}"


@contextmanager
def _postgres_stands_still(url: str) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction(force_rollback=True):
        connection.execute("LOCK TABLE stored_events, event_ids, executions, tracking IN EXCLUSIVE MODE")
        yield


SQLITE: Final = Engine("sqlite", _a_file, open_sqlite, sqlite_locked)
POSTGRES: Final = Engine("postgres", _a_database, open_postgres, _postgres_stands_still)
ENGINES: Final = {engine.name: engine for engine in (SQLITE, POSTGRES)}


def chosen(config: pytest.Config) -> Engine:
    """The engine for all that runs on one only."""
    return ENGINES[config.getoption("--store") or SQLITE.name]


def engine_at(address: StoreAddress) -> Engine:
    """The engine of a store that is somewhere."""
    return SQLITE if isinstance(address, SqliteAddress) else POSTGRES

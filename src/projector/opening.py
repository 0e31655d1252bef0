"""Opening a store: the one place where a program of this project gets one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from projector.bounds import POSTGRES_LOCK_TIMEOUT, SQLITE_LOCK_TIMEOUT
from projector.codec import EventMapper
from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.ports import Reader, StoreEngine
from projector.errors import StoreError
from projector.keeping.at_rest import LOOKED_AT, check_key, mapper_for
from projector.queries import Queries
from projector.settings import StoreSettings, own_secrets
from projector.store_address import PostgresAddress, SqliteAddress

if TYPE_CHECKING:
    from projector.engines.sqlite.lock_holder import LockHolder


def hygiene_from_environment() -> Hygiene:
    """The door, which knows the secrets among our settings, and this process's by the names of their variables."""
    return Hygiene(Redactor.from_environment(os.environ, own_secrets()))


def open_store(settings: StoreSettings, hygiene: Hygiene | None = None) -> StoreEngine:
    """Open the store, and make it with its query tables when it is absent. Raises StoreError."""
    return _open(settings, hygiene or hygiene_from_environment(), create=True)


def open_existing_store(settings: StoreSettings, hygiene: Hygiene | None = None) -> StoreEngine:
    """Open a store that must be there; nothing is made, and no lock is waited for.

    Raises StoreMissing, StoreError.
    """
    return _open(settings, hygiene or hygiene_from_environment(), create=False)


def open_queries(settings: StoreSettings, *, patience: float | None = None) -> Queries:
    """Queries of the store, to be opened with `async with`; `patience` replaces the lock timeout, in seconds."""
    return Queries(_reader(settings, patience or settings.lock_timeout), mapper=mapper_for(settings))


def lock_holder(settings: StoreSettings) -> LockHolder | None:
    """The process that has the write lock of an SQLite store; None when nobody has, or where it cannot be known.

    It takes some twenty milliseconds. PostgreSQL ends a transaction that stands still by itself.
    """
    match settings.store_address:
        case SqliteAddress(path):
            from projector.engines.sqlite.lock_holder import lock_holder

            return lock_holder(path)
        case PostgresAddress():
            return None


def _open(settings: StoreSettings, hygiene: Hygiene, *, create: bool) -> StoreEngine:
    mapper = mapper_for(settings)
    store = _engine(settings, hygiene, mapper, create=create)
    try:
        check_key(store.place, [row.state for row in store.tail_stored(after=0, limit=LOOKED_AT)], mapper)
    except BaseException:
        store.close()
        raise
    return store


def _engine(settings: StoreSettings, hygiene: Hygiene, mapper: EventMapper, *, create: bool) -> StoreEngine:
    match settings.store_address:
        case SqliteAddress(path):
            from projector.engines.sqlite.store import SqliteEventStore

            patience = settings.lock_timeout or SQLITE_LOCK_TIMEOUT
            return SqliteEventStore(path, hygiene, lock_timeout=patience, mapper=mapper, create=create)
        case PostgresAddress(url):
            _check_postgres_is_installed()
            from projector.engines.postgres.store import PostgresEventStore

            patience = settings.lock_timeout or POSTGRES_LOCK_TIMEOUT
            return PostgresEventStore(url, hygiene, lock_timeout=patience, mapper=mapper, create=create)


def _reader(settings: StoreSettings, lock_timeout: float | None) -> Reader:
    match settings.store_address:
        case SqliteAddress(path):
            from projector.engines.sqlite.reader import SqliteReader

            return SqliteReader(path, lock_timeout=lock_timeout or SQLITE_LOCK_TIMEOUT)
        case PostgresAddress(url):
            _check_postgres_is_installed()
            from projector.engines.postgres.address import Address
            from projector.engines.postgres.reader import PostgresReader

            return PostgresReader(Address.parse(url))


def _check_postgres_is_installed() -> None:
    try:
        import psycopg  # noqa: F401
        import psycopg_pool  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"the event store is on PostgreSQL, and its driver cannot be used ({error}): "
            "install it with `pip install 'execution-status[postgres]'`"
        ) from error

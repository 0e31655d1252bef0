"""Opening a store: the one place where a program of this project gets one."""

from __future__ import annotations

import os

from projector.engines.sqlite import SqliteEventStore
from projector.hygiene import Hygiene
from projector.redaction import Redactor
from projector.settings import StoreSettings


def hygiene_from_environment() -> Hygiene:
    """The door, which knows this process's secrets by the names of its environment variables."""
    return Hygiene(Redactor.from_environment(os.environ))


def open_store(settings: StoreSettings, hygiene: Hygiene | None = None) -> SqliteEventStore:
    """Open the store, and make it with its query tables when it is absent. Raises StoreError, SettingsRejected."""
    return SqliteEventStore(
        settings.store_path, hygiene or hygiene_from_environment(), lock_timeout=settings.lock_timeout
    )


def open_existing_store(settings: StoreSettings, hygiene: Hygiene | None = None) -> SqliteEventStore:
    """Open a store that must be there; nothing is made, and no lock is waited for.

    Raises StoreMissing, StoreError, SettingsRejected.
    """
    return SqliteEventStore(
        settings.store_path,
        hygiene or hygiene_from_environment(),
        lock_timeout=settings.lock_timeout,
        create=False,
    )

"""Rebuild on SQLite: the new tables are made in a folder beside the store's file, which is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from projector.engines.sqlite.store import SqliteEventStore
from projector.errors import StoreError
from projector.projecting.rebuild import rebuild
from tests.fleet import set_sail
from tests.store_processes import open_sqlite
from tests.tables import project, rows


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SqliteEventStore]:
    with closing(open_sqlite(str(tmp_path / "store.db"), 10.0)) as store:
        set_sail(store)
        project(store)
        yield store


def test_a_rebuild_leaves_no_files_behind(fleet: SqliteEventStore, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    rebuild(fleet)
    rebuild(fleet, verify_only=True)
    assert {path.name for path in tmp_path.iterdir()} <= before | {"store.db-wal", "store.db-shm"}


def test_a_rebuild_without_room_for_new_tables_says_so_and_leaves_the_old(fleet: SqliteEventStore) -> None:
    before = rows(fleet)
    fleet.path = Path("/proc/nowhere/store.db")
    with pytest.raises(StoreError, match="could not be rebuilt"):
        rebuild(fleet)
    assert rows(fleet) == before

"""The space that an archive frees in an SQLite file: it is used again, and VACUUM gives it back without harm."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from projector.projecting.rebuild import rebuild
from tests.fleet import set_sail
from tests.keeping import archived, next_position, stored_rows
from tests.store_processes import open_sqlite
from tests.tables import project


def pages(path: Path) -> tuple[int, int]:
    """How many pages the file has, and how many of them are free."""
    with closing(sqlite3.connect(path)) as connection:
        return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))


def test_freed_pages_are_used_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_sqlite(str(path))) as store:
        set_sail(store, times=60)
        archived(store, tmp_path / "archive")
        before, free = pages(path)
        assert free > before / 3
        set_sail(store, times=20, prefix="again-")
        project(store)
        after, still_free = pages(path)
        assert after == before
        assert still_free < free


def test_vacuum_gives_the_space_back_and_keeps_every_position(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_sqlite(str(path))) as store:
        set_sail(store, times=60)
        archived(store, tmp_path / "archive")
        kept, head = stored_rows(store), store.head()
        assert kept[0].position > 1 or kept[-1].position > len(kept), "there are gaps that could be closed"
    before, _ = pages(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM")
    after, free = pages(path)
    assert after < before / 2 and free == 0
    with closing(open_sqlite(str(path))) as store:
        assert stored_rows(store) == kept
        assert next_position(store) == head + 1
        project(store)
        assert rebuild(store, verify_only=True).differences == ()

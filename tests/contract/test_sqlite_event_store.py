"""The event store on SQLite: the contract, and what is SQLite's own."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.sqlite.datastore import APPLICATION_ID, SCHEMA_VERSION
from projector.engines.sqlite.store import SqliteEventStore
from projector.errors import StoreError, StoreMissing, StoreUnavailable
from tests.contract.event_store_contract import REEF, WRECK, Engine, EventStoreContract
from tests.histories import REMARK, REQUESTED, VOYAGE, new, news
from tests.processes import child
from tests.store_processes import (
    append_on_a_full_disk,
    append_where_nothing_may_be_written,
    hold_lock,
    open_and_append,
    open_sqlite,
    sqlite_locked,
)
from tests.tables import make_database


class TestSqliteEventStore(EventStoreContract):
    engine = Engine(open=open_sqlite, lock=sqlite_locked)

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "store.db")


# --- the file ------------------------------------------------------------------------------------------------------


def test_every_connection_waits_for_the_disk(tmp_path: Path) -> None:
    with closing(open_sqlite(str(tmp_path / "store.db"))) as store, ExitStack() as stack:
        cursors = [stack.enter_context(store.datastore.transaction(commit=False)) for _ in range(8)]
        for cursor in cursors:
            for pragma, value in (("synchronous", 2), ("journal_mode", "wal")):
                cursor.execute(f"PRAGMA {pragma}")
                assert cursor.fetchone()[0] == value


def test_the_stock_classes_of_the_library_read_our_tables(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_sqlite(str(path))) as store:
        store.append(REEF, news(*VOYAGE))
        store.append(WRECK, news(REMARK))
        stock = SQLiteApplicationRecorder(SQLiteDatastore(str(path), originator_id_type="text"))
        try:
            selected = stock.select_events(REEF)
            assert [
                StoredEvent(event.originator_id, event.originator_version, event.topic, event.state)
                for event in store.recorder.select_events(REEF)
            ] == list(selected)
            assert [event.topic for event in selected] == [type(event).__name__ for event in VOYAGE]
            assert [note.id for note in stock.select_notifications(start=1, limit=100)] == [
                record.position for record in store.tail(after=0)
            ]
            assert stock.max_notification_id() == store.head()
        finally:
            stock.datastore.close()


def test_the_newest_events_of_a_stream_can_be_selected_first(tmp_path: Path) -> None:
    with closing(open_sqlite(str(tmp_path / "store.db"))) as store:
        store.append(REEF, news(*VOYAGE))
        newest = store.recorder.select_events(REEF, desc=True, limit=2)
        assert [event.originator_version for event in newest] == [12, 11]


def test_the_file_is_marked_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_sqlite(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


def test_a_store_may_be_anywhere_a_file_may_be(tmp_path: Path) -> None:
    for name in ("with space.db", "question?mark#hash%25.db", "réef-\N{WHALE}.db", "new/folder/store.db"):
        with closing(open_sqlite(str(tmp_path / name))) as store:
            store.append(REEF, news(REQUESTED))
        assert (tmp_path / name).stat().st_size > 0


def test_a_relative_place_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_sqlite("store.db")) as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(lambda n: store.append(REEF, [new(REMARK)]).is_new, range(8)))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_process_that_opens_the_store_twice_loses_nothing_to_another_that_closes_it(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    with closing(open_sqlite(place)) as store:
        store.append(REEF, news(REQUESTED))
        open_sqlite(place).close()
        with child(open_and_append, open_sqlite, place, "boat") as other:
            assert other.hear() == "ready"
            other.tell("now")
            assert other.hear() == "stored"
            other.join()
        store.append(REEF, news(REMARK))
        assert store.head() == 3
    with closing(open_sqlite(place)) as store:
        assert store.head() == 3


def test_opening_a_store_that_is_there_waits_for_no_lock(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    open_sqlite(place).close()
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        with closing(open_sqlite(place, 30.0)) as store:
            assert store.head() == 0


# --- trouble, and after it -----------------------------------------------------------------------------------------


def test_a_folder_that_was_away_for_a_while_is_used_again(tmp_path: Path) -> None:
    folder, away = tmp_path / "disk", tmp_path / "unmounted"
    folder.mkdir()
    with closing(open_sqlite(str(folder / "store.db"), 0.2)) as store:
        store.append(REEF, news(REQUESTED))
        with child(hold_lock, sqlite_locked, str(folder / "store.db")) as keeper:
            assert keeper.hear() == "locked"
            with pytest.raises(StoreUnavailable):
                store.append(REEF, news(REMARK))
        folder.rename(away)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="unable to open database file"):
                store.append(REEF, news(REMARK))
        away.rename(folder)
        assert store.append(REEF, news(REMARK)).is_new
        assert store.version(REEF) == 2


def test_a_full_disk_is_waited_out_by_the_same_store(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    open_sqlite(place).close()
    with child(append_on_a_full_disk, place, REEF) as writer:
        stored = writer.hear()
        refusal, versions = writer.hear()
        assert "cannot be used at this moment" in refusal
        assert versions == stored, "nothing is half written"
        writer.tell("room again")
        assert writer.hear() == stored + 1
        writer.join()
    with closing(open_sqlite(place)) as store:
        assert store.version(REEF) == stored + 1


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="harbour-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        folder.chmod(0o777)
        shutil.rmtree(folder)


def test_a_file_that_was_made_unwritable_and_healed_takes_events_again(shared_folder: Path) -> None:
    place = shared_folder / "store.db"
    with child(append_where_nothing_may_be_written, str(place), REEF, 0.2) as writer:
        assert writer.hear() == "stored"
        for path in shared_folder.iterdir():
            path.chmod(0o444)
        shared_folder.chmod(0o555)
        writer.tell("try")
        refusals = writer.hear()
        assert len(refusals) == 2
        assert all("cannot be used at this moment: attempt to write a readonly database" in text for text in refusals)
        shared_folder.chmod(0o777)
        for path in shared_folder.iterdir():
            path.chmod(0o666)
        writer.tell("try")
        assert writer.hear() == 2
        writer.join()


# --- places that are refused ---------------------------------------------------------------------------------------


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("make", "refusal", "words"),
    [
        pytest.param(
            lambda path: path.write_text("Dear diary, " * 100),
            "StoreForeign",
            "is not an SQLite database; name another file with EXECUTION_STATUS_STORE",
            id="a letter",
        ),
        pytest.param(
            lambda path: make_database(path, "CREATE TABLE recipes (name TEXT)"),
            "StoreForeign",
            "is a database of something else; name an event store, or a new file",
            id="a database of recipes",
        ),
        pytest.param(
            lambda path: make_database(path, "PRAGMA journal_mode=WAL", "CREATE TABLE recipes (name TEXT)"),
            "StoreForeign",
            "is a database of something else",
            id="a database of recipes in WAL mode",
        ),
        pytest.param(
            lambda path: make_database(path, "PRAGMA application_id=252006674", "PRAGMA user_version=1"),
            "StoreForeign",
            "is a database of something else",
            id="another application's empty database",
        ),
        pytest.param(
            lambda path: make_database(
                path, f"PRAGMA application_id={APPLICATION_ID}", f"PRAGMA user_version={SCHEMA_VERSION + 1}"
            ),
            "StoreTooNew",
            f"has schema {SCHEMA_VERSION + 1}, and this version reads up to {SCHEMA_VERSION}: install the newer",
            id="a store of a newer version",
        ),
        pytest.param(
            lambda path: path.mkdir(),
            "StoreError",
            "is a folder: name a file in it, such as .*store.db/store.db",
            id="a folder",
        ),
    ],
)
def test_a_place_that_holds_something_else_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], object], refusal: str, words: str
) -> None:
    path = tmp_path / "store.db"
    make(path)
    before = files_below(tmp_path)
    began = time.monotonic()
    with pytest.raises(StoreError, match=words) as refused:
        open_sqlite(str(path), 30.0)
    assert type(refused.value).__name__ == refusal
    assert refused.value.exit_code == 4
    assert time.monotonic() - began < 5, "waiting cannot help"
    assert files_below(tmp_path) == before


def test_a_store_that_is_broken_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(open_sqlite(str(path))) as store:
        store.append(REEF, news(*[REMARK] * 200))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with (
        pytest.raises(StoreError, match=r"is damaged .*: restore it from a backup") as refused,
        closing(open_sqlite(str(path))) as store,
    ):
        store.read(REEF)
    assert type(refused.value).__name__ == "StoreDamaged"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(StoreError, match=r"(cannot make the folder of|cannot be reached)"):
        open_sqlite(str(tmp_path / "a-file" / "below" / "store.db"))


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="File name too long; name another place with EXECUTION_STATUS_STORE"):
        open_sqlite(str(tmp_path / ("x" * 300)))


def test_a_folder_in_which_nothing_may_be_written_is_refused_at_once(shared_folder: Path) -> None:
    shared_folder.chmod(0o555)
    began = time.monotonic()
    with child(append_where_nothing_may_be_written, str(shared_folder / "store.db"), REEF, 30.0) as writer:
        assert "unable to open database file" in writer.hear()
    assert time.monotonic() - began < 5, "waiting cannot help"
    assert list(shared_folder.iterdir()) == []


def test_a_store_that_is_absent_is_not_made_by_those_who_only_look(tmp_path: Path) -> None:
    door = Hygiene(Redactor())
    with pytest.raises(StoreMissing, match=r"there is no event store at .* yet: `execution-status up` makes one"):
        SqliteEventStore(tmp_path / "none" / "store.db", door, create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "store.db").touch()
    with pytest.raises(StoreError, match="is an empty file, not an event store"):
        SqliteEventStore(tmp_path / "store.db", door, create=False)
    assert (tmp_path / "store.db").stat().st_size == 0

"""Backups: a store that is made from one is the same to the byte, on either engine, and goes on as the first would."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import ARCHIVE_LOG, END_EVENT_ID, execution_stream
from projector.errors import EventFileError, InputRejected, StoreHasEvents
from projector.events import ExecutionsArchived
from projector.keeping.backup import backup, check_backup, restore
from projector.keeping.event_file import EventFile, Header
from projector.keeping.event_line import FiledEvent
from projector.keeping.new_file import write_event_file
from projector.projecting.rebuild import rebuild
from projector.stored_row import StoredRow
from tests.engines import ENGINES, Engine
from tests.fleet import set_sail
from tests.histories import COMPLETED, REMARK, SURVEY, VOYAGE, failed, new, news
from tests.keeping import NOW, another_store, held_ids, next_position, restored, stored_rows
from tests.tables import change, insert_raw, project, rows

REEF = execution_stream(SURVEY)


@pytest.fixture
def fleet(store: StoreEngine) -> StoreEngine:
    """A store with histories of every kind, told at once, and a few events that nobody can read."""
    set_sail(store, times=3)
    insert_raw(store, REEF, "KrakenSighted", b'{"id": "kraken", "time": "2026-03-14T06:00:09Z", "data": {}}')
    insert_raw(store, REEF, "MessageAppended", b"\x00\xff not JSON\n at all")
    insert_raw(store, REEF, "MessageAppended", b'{"id": "kraken", "data": {}}')
    store.append(REEF, [new(REMARK, "after-the-kraken")])
    project(store)
    return store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the test's backup goes."""
    return tmp_path / "backup.jsonl.gz"


@pytest.mark.parametrize("onto", ENGINES)
def test_a_restored_store_is_the_same_to_the_byte_on_either_engine(
    fleet: StoreEngine, file: Path, tmp_path: Path, onto: str
) -> None:
    made = backup(fleet, file, made_at=NOW)
    assert (made.position, made.events) == (fleet.head(), len(stored_rows(fleet)))
    assert made.streams == len({row.stream for row in stored_rows(fleet)})
    with restored(file, ENGINES[onto], tmp_path / "new") as again:
        assert stored_rows(again) == stored_rows(fleet)
        assert held_ids(again) == held_ids(fleet)
        assert rows(again) == rows(fleet)
        assert rebuild(again, verify_only=True).differences == ()


def test_a_restored_store_goes_on_where_the_first_one_was(
    fleet: StoreEngine, engine: Engine, file: Path, tmp_path: Path
) -> None:
    backup(fleet, file, made_at=NOW)
    with restored(file, engine, tmp_path / "new") as again:
        insert_raw(again, execution_stream("by-the-library"), "KrakenSighted", b"{}")
        assert [again.head(), next_position(again)] == [fleet.head() + 1, fleet.head() + 2]
        repeated = again.append(REEF, [new(REMARK, "after-the-kraken")])
        assert (repeated.is_new, repeated.records[0].version) == (False, 4)
        verdict = again.append(execution_stream("voyage-0-0"), [new(failed(), END_EVENT_ID)])
        assert (verdict.is_new, verdict.records[0].event) == (False, COMPLETED)
        project(again)


def test_a_backup_tells_each_event_in_the_order_of_the_store(fleet: StoreEngine, file: Path) -> None:
    backup(fleet, file, made_at=NOW)
    events = list(EventFile(file).events())
    assert [event[:4] for event in events] == [row[:4] for row in stored_rows(fleet)]
    assert [event.body for event in events] == [row.state for row in stored_rows(fleet)]
    assert sorted((e.stream, e.id, e.version) for e in events if e.id is not None) == sorted(held_ids(fleet))
    assert [event.id for event in events[-4:]] == [None, None, None, "after-the-kraken"]


def test_gaps_between_positions_are_kept(store: StoreEngine, engine: Engine, file: Path, tmp_path: Path) -> None:
    store.append(REEF, news(*VOYAGE))
    for table in ("stored_events", "event_ids"):
        change(store, f"DELETE FROM {table} WHERE originator_version IN (2, 3, 7)")
    backup(store, file, made_at=NOW)
    with restored(file, engine, tmp_path / "new") as again:
        assert [row.position for row in stored_rows(again)] == [1, 4, 5, 6, 8, 9, 10, 11, 12]
        assert next_position(again) == 13


def test_an_empty_store_can_be_kept_too(store: StoreEngine, engine: Engine, file: Path, tmp_path: Path) -> None:
    made = backup(store, file, made_at=NOW)
    assert (made.position, made.events, made.streams) == (0, 0, 0)
    with restored(file, engine, tmp_path / "new") as again:
        assert next_position(again) == 1


def test_a_backup_is_as_of_its_beginning_while_everybody_works(
    store: StoreEngine, engine: Engine, place: str, file: Path, tmp_path: Path
) -> None:
    set_sail(store, times=20)
    enough = threading.Event()
    appended = threading.Event()

    def work() -> None:
        working = engine.open(place, 10.0)
        number = 0
        while not enough.is_set():
            working.append(execution_stream(f"busy-{number % 7}"), [new(REMARK, f"busy-{number}")])
            number += 1
            if number == 10:
                appended.set()
        working.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert appended.wait(30)
        made = backup(store, file, made_at=NOW)
    finally:
        enough.set()
        thread.join()
    with restored(file, engine, tmp_path / "new") as again:
        upto = [row for row in stored_rows(store) if row.position <= made.position]
        assert stored_rows(again) == upto
        assert again.head() == made.position < store.head()


class ArchivedMeanwhile:
    """A store out of which one execution is taken as soon as a part of it was read."""

    def __init__(self, store: StoreEngine, execution_id: str) -> None:
        self._store = store
        self._streams = {execution_stream(execution_id): store.version(execution_stream(execution_id))}
        self.seen = 0

    def tail_stored(self, *, after: int, limit: int) -> list[StoredRow]:
        if self.seen:
            return self._store.tail_stored(after=after, limit=limit)
        rows = self._store.tail_stored(after=after, limit=100)
        self.seen = len([row for row in rows if row.stream in self._streams])
        note = new(ExecutionsArchived(file="f", executions=1, events=1, sha256="00"))
        ids = [(event_id, stream) for stream, event_id, _ in held_ids(self._store) if stream in self._streams]
        assert self._store.keeper().take_out(self._streams, ids, ARCHIVE_LOG, note) == []
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_backup_begins_anew_when_an_archive_takes_something_out_meanwhile(fleet: StoreEngine, file: Path) -> None:
    """What it has by then is half of an execution: a store that never was."""
    archived = ArchivedMeanwhile(fleet, "voyage-1-1")
    made = backup(cast("StoreEngine", archived), file, made_at=NOW)
    assert 0 < archived.seen < 9
    assert made.position == fleet.head()
    assert [event[:4] for event in EventFile(file).events()] == [row[:4] for row in stored_rows(fleet)]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_store_that_has_events_is_left_alone(fleet: StoreEngine, file: Path) -> None:
    backup(fleet, file, made_at=NOW)
    before = stored_rows(fleet), held_ids(fleet), rows(fleet)
    with pytest.raises(StoreHasEvents, match="holds events already"):
        restore(check_backup(file), fleet)
    assert (stored_rows(fleet), held_ids(fleet), rows(fleet)) == before


def test_a_damaged_file_is_refused_before_anything_is_made(fleet: StoreEngine, file: Path) -> None:
    backup(fleet, file, made_at=NOW)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(EventFileError, match="is damaged"):
        check_backup(file)


def test_a_file_that_is_damaged_while_it_is_restored_leaves_the_store_empty(
    fleet: StoreEngine, engine: Engine, file: Path, tmp_path: Path
) -> None:
    backup(fleet, file, made_at=NOW)
    checked = check_backup(file)
    file.write_bytes(file.read_bytes()[:-100])
    with another_store(engine, tmp_path / "new") as again:
        with pytest.raises(EventFileError, match="is damaged"):
            restore(checked, again)
        assert (stored_rows(again), held_ids(again), again.head()) == ([], [], 0)


@pytest.mark.parametrize(
    "other",
    [
        FiledEvent(1, "execution/other", 1, "MessageAppended", "a", b"{}"),
        FiledEvent(2, "execution/one", 1, "MessageAppended", "b", b"{}"),
        FiledEvent(2, "execution/one", 2, "MessageAppended", "a", b"{}"),
    ],
    ids=["position", "version", "id"],
)
def test_a_file_that_tells_of_one_event_twice_is_refused(store: StoreEngine, file: Path, other: FiledEvent) -> None:
    one = FiledEvent(1, "execution/one", 1, "MessageAppended", "a", b"{}")
    write_event_file(file, Header.of(NOW, encrypted=False), [one, other])
    with pytest.raises(EventFileError, match="tells of one event twice"):
        restore(check_backup(file), store)
    assert stored_rows(store) == []


def test_the_store_itself_is_no_place_for_its_backup(fleet: StoreEngine, engine: Engine) -> None:
    if engine.name == "sqlite":
        with pytest.raises(InputRejected, match="is the event store itself"):
            backup(fleet, Path(fleet.place), made_at=NOW, replace=True)


def test_the_file_is_json_lines_that_tools_read(fleet: StoreEngine, file: Path) -> None:
    import gzip

    backup(fleet, file, made_at=NOW)
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    assert said[1]["body"]["data"]["agent"] == "ship.surveyor:agent"

"""Events at rest: with a key no body of theirs can be read, and without the right key no store is opened."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from projector.codec import EventMapper
from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.errors import EventFileError, StoreError
from projector.events import MessageAppended, Unreadable
from projector.keeping.archived import archived_history
from projector.keeping.at_rest import mapper_for
from projector.keeping.backup import backup, check_backup, restore
from projector.keeping.event_file import EventFile
from projector.opening import open_existing_store, open_queries, open_store
from projector.projecting.rebuild import rebuild
from projector.settings import StoreSettings
from tests.engines import Engine
from tests.histories import REMARK, REQUESTED, SURVEY, VOYAGE, new, news
from tests.keeping import NOW, archived, held_ids, stored_rows
from tests.processes import bytes_of
from tests.tables import change, insert_raw, project, rows

REEF = execution_stream(SURVEY)
KEY = base64.b64encode(b"the key of the captain's cabin!!").decode()
OTHER_KEY = base64.b64encode(b"the key of the galley...").decode()
WORDS = b"Seven fathoms"
VARIABLE = "EXECUTION_STATUS_CIPHER_KEY"


class House:
    """Stores of one engine, opened as programs open them."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._open: list[Any] = []

    def place(self) -> str:
        """A place for another store."""
        folder = self._folder / f"store-{len(self._open)}"
        folder.mkdir()
        made = self._engine.make_place(folder)
        self._open.append(made)
        return made.__enter__()

    def settings(self, place: str, key: str | None = None, *, compress: bool = False) -> StoreSettings:
        return StoreSettings(store=place, cipher_key=key, compress=compress, lock_timeout=10.0)  # type: ignore[arg-type]

    def open(self, place: str, key: str | None = None, *, compress: bool = False) -> StoreEngine:
        store = open_store(self.settings(place, key, compress=compress))
        self._open.append(closing(store))
        return store

    def close(self) -> None:
        for each in reversed(self._open):
            each.__exit__(None, None, None)


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> Iterator[House]:
    made = House(engine, tmp_path)
    try:
        yield made
    finally:
        made.close()


def filled(store: StoreEngine) -> StoreEngine:
    store.append(REEF, news(*VOYAGE))
    return store


def states(store: StoreEngine) -> bytes:
    return b"".join(row.state for row in stored_rows(store))


async def refusals(house: House, place: str, key: str | None) -> set[str]:
    """Why a store is not opened: to append, to read and to be queried, which say the same."""
    said = set()
    for opening in (open_store, open_existing_store):
        with pytest.raises(StoreError) as refused:
            opening(house.settings(place, key))
        said.add(str(refused.value))
    with pytest.raises(StoreError) as refused:
        async with open_queries(house.settings(place, key)):
            pass
    said.add(str(refused.value))
    return said


# --- bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_an_encrypted_store_works_as_any_other_and_shows_no_text(house: House, compress: bool) -> None:
    plain = filled(house.open(house.place()))
    store = filled(house.open(house.place(), KEY, compress=compress))
    assert [record.event for record in store.read(REEF)] == list(VOYAGE)
    project(plain)
    project(store)
    assert rows(store) == rows(plain)
    assert rebuild(store, verify_only=True).differences == ()
    assert WORDS in states(plain)
    assert WORDS not in states(store)
    assert len({row.state for row in stored_rows(store)}) == len(VOYAGE)


def test_the_processes_of_a_rebuild_have_the_key_too(house: House) -> None:
    store = filled(house.open(house.place(), KEY))
    project(store)
    before = rows(store)
    assert rebuild(store, processes=2).differences == ()
    assert rows(store) == before


async def test_queries_read_an_encrypted_store(house: House) -> None:
    place = house.place()
    filled(house.open(place, KEY))
    async with open_queries(house.settings(place, KEY)) as queries:
        assert (await queries.execution(SURVEY)).last_messages[0].text == "Seven fathoms over the reef."


def test_nothing_of_an_event_stands_in_the_files_of_an_encrypted_store(tmp_path: Path) -> None:
    found = {}
    for name, key in (("plain", None), ("encrypted", KEY)):
        path = tmp_path / name / "store.db"
        settings = StoreSettings(store=str(path), cipher_key=key)  # type: ignore[arg-type]
        with closing(open_store(settings)) as store:
            store.append(REEF, news(*VOYAGE))
            files = [path, path.with_name("store.db-wal")]
            found[name] = [any(text in bytes_of(file) for file in files) for text in (WORDS, b"Sound the north reef")]
    assert found == {"plain": [True, True], "encrypted": [False, False]}


def test_compression_may_be_turned_on_and_off(house: House) -> None:
    place, remarks = house.place(), []
    for round in range(4):
        store = house.open(place, compress=round % 2 == 1)
        remarks.append(MessageAppended(role="assistant", text=f"{round}: " + "seven fathoms " * 50))
        store.append(REEF, [new(remarks[-1])])
        assert [record.event for record in store.read(REEF)] == remarks
        project(store)
    sizes = [len(row.state) for row in stored_rows(store)]
    assert max(sizes[1::2]) < min(sizes[0::2]) / 2
    assert rebuild(store, verify_only=True).differences == ()


def test_a_damaged_body_in_an_encrypted_store_is_set_aside_alone(house: House) -> None:
    store = filled(house.open(house.place(), KEY))
    damage = "UPDATE stored_events SET state = ? WHERE originator_id = ? AND originator_version = ?"
    change(store, damage, bytes(reversed(stored_rows(store)[7].state)), REEF, 8)
    found = [record.event for record in store.read(REEF)]
    assert isinstance(found[7], Unreadable)
    assert [event for place, event in enumerate(found) if place != 7] == [*VOYAGE[:7], *VOYAGE[8:]]


# --- keys ----------------------------------------------------------------------------------


async def test_a_key_for_a_store_of_plain_events_is_refused(house: House) -> None:
    place = house.place()
    store = filled(house.open(place))
    (said,) = await refusals(house, place, KEY)
    assert said.startswith(f"{VARIABLE} is set, and the events of the store {store.place} are not encrypted: unset it")
    assert KEY not in said


async def test_an_encrypted_store_is_not_opened_without_its_key(house: House) -> None:
    place = house.place()
    store = filled(house.open(place, KEY, compress=True))
    (said,) = await refusals(house, place, None)
    assert said == (
        f"the event store {store.place} is encrypted, and there is no key: set {VARIABLE} to the key that it was made "
        "with"
    )


async def test_an_encrypted_store_is_not_opened_with_another_key(house: House) -> None:
    place = house.place()
    store = filled(house.open(place, KEY))
    (said,) = await refusals(house, place, OTHER_KEY)
    assert said.startswith(f"the event store {store.place} is encrypted with another key than the one in {VARIABLE}")
    assert KEY not in said and OTHER_KEY not in said


def test_an_empty_store_takes_any_key(house: House) -> None:
    place = house.place()
    for key in (None, KEY, OTHER_KEY):
        assert house.open(place, key).head() == 0


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_damaged_first_event_does_not_lock_the_store(house: House, key: str | None) -> None:
    place = house.place()
    store = house.open(place, key)
    insert_raw(store, REEF, "MessageAppended", b"\x00\xff" * 200)
    store.append(REEF, [new(REMARK)])
    assert house.open(place, key).read(REEF)[1].event == REMARK


def test_a_store_of_nothing_but_short_damage_is_opened(house: House) -> None:
    place = house.place()
    insert_raw(house.open(place), REEF, "MessageAppended", b"\x00\xff")
    assert isinstance(house.open(place).read(REEF)[0].event, Unreadable)


def test_what_encrypts_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "eventsourcing.cryptography", None)
    with pytest.raises(StoreError, match=r"install it with `pip install 'execution-status\[encrypted\]'`"):
        mapper_for(StoreSettings(cipher_key=KEY))  # type: ignore[arg-type]


# --- backups and archives ----------------------------------------------------------------------------------


def test_a_plain_store_becomes_an_encrypted_one_by_a_backup(house: House, tmp_path: Path) -> None:
    plain, file = filled(house.open(house.place())), tmp_path / "b.jsonl.gz"
    insert_raw(plain, REEF, "MessageAppended", b"\x00\xffdamaged")
    project(plain)
    backup(plain, file, made_at=NOW)
    store = house.open(house.place(), KEY, compress=True)
    restore(check_backup(file), store)
    assert WORDS not in states(store)
    assert [row[:4] for row in stored_rows(store)] == [row[:4] for row in stored_rows(plain)]
    assert store.read(REEF) == plain.read(REEF)
    assert held_ids(store) == held_ids(plain)
    assert rows(store) == rows(plain)


def test_a_backup_of_an_encrypted_store_is_encrypted_and_comes_back_to_the_byte(house: House, tmp_path: Path) -> None:
    store, file = filled(house.open(house.place(), KEY)), tmp_path / "b.jsonl.gz"
    assert backup(store, file, made_at=NOW).encrypted
    assert all(WORDS not in event.body for event in EventFile(file).events())
    again = house.open(house.place(), KEY)
    restore(check_backup(file), again)
    assert stored_rows(again) == stored_rows(store)
    for key, said in ((None, "there is no key"), (OTHER_KEY, "was encrypted with another key")):
        refused = house.open(house.place(), key)
        with pytest.raises(EventFileError, match=said):
            restore(check_backup(file), refused)
        assert refused.head() == 0


def test_the_key_of_a_store_is_changed_by_a_decrypted_backup(house: House, tmp_path: Path) -> None:
    store, file = filled(house.open(house.place(), KEY)), tmp_path / "b.jsonl.gz"
    assert not backup(store, file, made_at=NOW, decrypt=True).encrypted
    for key in (OTHER_KEY, None):
        again = house.open(house.place(), key)
        restore(check_backup(file), again)
        assert again.read(REEF) == store.read(REEF)


def test_an_archive_of_an_encrypted_store_is_read_with_its_key_only(house: House, tmp_path: Path) -> None:
    place = house.place()
    store = filled(house.open(place, KEY))
    project(store)
    records = store.read(REEF)
    (made,) = archived(store, tmp_path / "archive")
    assert all(WORDS not in event.body for event in EventFile(made.file).events())
    found = archived_history(made.file, SURVEY, mapper_for(house.settings(place, KEY)), print)
    assert found.read(REEF) == records
    for key, said in ((None, "there is no key"), (OTHER_KEY, "was encrypted with another key")):
        with pytest.raises(EventFileError, match=said):
            archived_history(made.file, SURVEY, mapper_for(house.settings(place, key)), print)
    store.append(execution_stream("another"), [new(REQUESTED)])
    assert archived_history(made.file, SURVEY, mapper_for(house.settings(place, KEY)), print).read(REEF) == records


def test_a_plain_archive_is_read_by_whoever_has_a_key(house: House, tmp_path: Path) -> None:
    store = filled(house.open(house.place()))
    records = store.read(REEF)
    (made,) = archived(store, tmp_path / "archive")
    mapper: EventMapper = mapper_for(house.settings("unused.db", KEY))
    assert archived_history(made.file, SURVEY, mapper, print).read(REEF) == records

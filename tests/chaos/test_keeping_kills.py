"""Who keeps events is killed at random points: no file is half, no store is half, and no execution is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.keeping.event_file import EventFile
from projector.keeping.leftovers import archived_files
from projector.projecting.rebuild import rebuild
from tests.engines import ENGINES, Engine
from tests.fleet import STORIES, set_sail
from tests.keeping import archived, held_ids, stored_rows
from tests.keeping_processes import archive, back_up, put_back
from tests.processes import child
from tests.tables import project

KILLS = 8
FLEETS = 40
"""How many times all stories are told for a backup: some 2,000 events."""
FLEETS_TO_ARCHIVE = 30

every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(170)]


@pytest.fixture
def dice() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


@every_engine
def test_a_backup_that_is_killed_leaves_a_whole_file_or_none(
    engine: Engine, tmp_path: Path, dice: random.Random
) -> None:
    file, whole = tmp_path / "backup.jsonl.gz", 0
    with engine.make_place(tmp_path) as place, closing(engine.open(place)) as store:
        set_sail(store, times=FLEETS)
        took = _time_of(back_up, engine.name, place, str(tmp_path / "another.jsonl.gz"))
        for _ in range(KILLS):
            with child(back_up, engine.name, place, str(file)) as keeper:
                assert keeper.hear() == "ready"
                time.sleep(dice.uniform(0, 1.2 * took))  # the point of it is that nobody knows when
                keeper.kill()
            if file.exists():
                assert EventFile(file).verify().events == store.head()
                file.unlink()
                whole += 1
        _time_of(back_up, engine.name, place, str(file))
        assert EventFile(file).verify().events == store.head()
        assert not list(tmp_path.glob(".*.part"))
    print(f"{whole} of {KILLS} backups were done before they were killed")


@every_engine
def test_a_restore_that_is_killed_leaves_all_events_or_none(
    engine: Engine, tmp_path: Path, dice: random.Random
) -> None:
    file, full = tmp_path / "backup.jsonl.gz", 0
    with engine.make_place(tmp_path) as place, closing(engine.open(place)) as store:
        set_sail(store, times=FLEETS)
        _time_of(back_up, engine.name, place, str(file))
        wanted = stored_rows(store), held_ids(store)
        (tmp_path / "first").mkdir()
        with engine.make_place(tmp_path / "first") as other:
            took = _time_of(put_back, engine.name, other, str(file))
        for number in range(KILLS):
            folder = tmp_path / f"new-{number}"
            folder.mkdir()
            with engine.make_place(folder) as other:
                with child(put_back, engine.name, other, str(file)) as keeper:
                    assert keeper.hear() == "ready"
                    time.sleep(dice.uniform(0, 0.5 * took))  # the rest of it is only the query tables
                    keeper.kill()
                with closing(engine.open(other)) as again:
                    found = stored_rows(again), held_ids(again)
                    assert found in (wanted, ([], []))
                    full += found == wanted
                    if found != wanted:
                        _time_of(put_back, engine.name, other, str(file))
                        assert (stored_rows(again), held_ids(again)) == wanted
                    rebuild(again)
                    assert rebuild(again, verify_only=True).differences == ()
    print(f"{full} of {KILLS} were done before they were killed")


@every_engine
def test_an_archive_that_is_killed_loses_no_execution(engine: Engine, tmp_path: Path, dice: random.Random) -> None:
    folder = tmp_path / "archive"
    with engine.make_place(tmp_path) as place, closing(engine.open(place)) as store:
        set_sail(store, times=FLEETS_TO_ARCHIVE)
        project(store)
        histories = {
            stream: [row.state for row in rows]
            for stream, rows in groupby(
                sorted(stored_rows(store), key=lambda row: row[1:3]), key=lambda row: row.stream
            )
        }
        first_head, done = store.head(), 0
        took = _time_of(back_up, engine.name, place, str(tmp_path / "backup.jsonl.gz"))
        for _ in range(KILLS):
            with child(archive, engine.name, place, str(folder), 60) as keeper:
                assert keeper.hear() == "ready"
                time.sleep(dice.uniform(0, 3 * took))
                keeper.kill()
                done += keeper.rest() == ["done"]
            _check_that_all_is_somewhere(store, folder, histories)
        archived(store, folder, events_a_file=60)
        _check_that_all_is_somewhere(store, folder, histories)
        known = archived_files(store)
        assert {path.name for path in folder.iterdir()} == known, "whatever was left over is gone"
        left = {row.stream for row in stored_rows(store)}
        ended = [n for n in range(len(STORIES)) if n != 2]
        assert not left & {
            execution_stream(f"voyage-{number}-{story}") for number in range(FLEETS_TO_ARCHIVE) for story in ended
        }
        assert rebuild(store, verify_only=True).differences == ()
        assert store.head() >= first_head + len(known)
    print(f"{KILLS - done} of {KILLS} were killed before they were done; {len(known)} files")


def _time_of(target: Callable[..., None], *arguments: str) -> float:
    """How long it takes on this machine when it is not killed, in seconds."""
    with child(target, *arguments) as keeper:
        assert keeper.hear() == "ready"
        began = time.monotonic()
        assert keeper.hear() == "done"
        keeper.join()
        return time.monotonic() - began


def _check_that_all_is_somewhere(store: StoreEngine, folder: Path, histories: dict[str, list[bytes]]) -> None:
    held: dict[str, list[bytes]] = {}
    for row in stored_rows(store):
        held.setdefault(row.stream, []).append(row.state)
    filed: dict[str, list[bytes]] = {}
    for name in archived_files(store):
        file = EventFile(folder / name)
        for event in file.events():
            filed.setdefault(event.stream, []).append(event.body)
    for stream, bodies in histories.items():
        assert (held.get(stream), filed.get(stream)) in ((bodies, None), (None, bodies)), stream

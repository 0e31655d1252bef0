"""A rebuild that was killed or interrupted is gone on with, where what it left is still right."""

from __future__ import annotations

import random
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from projector.engines.ports import Beside, StoreEngine
from projector.envelope import ARCHIVE_LOG, NewEvent
from projector.events import ExecutionsArchived
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.projecting.resuming import Basis, resume_or_begin
from projector.projecting.sharding import fold_in_processes
from tests.engines import ENGINES
from tests.fleet import set_sail
from tests.processes import child
from tests.store_processes import rebuild_tables
from tests.tables import change, project, rewrite, rows

MARK = "UPDATE runners SET error = 'made before the interruption' WHERE runner_id = 'runner-0'"


@pytest.fixture
def fleet(store: StoreEngine) -> StoreEngine:
    set_sail(store, times=3)
    project(store)
    return store


def interrupted(store: StoreEngine, processes: int = 1) -> None:
    """Begin a rebuild, leave a mark in the new rows, and interrupt it."""
    with pytest.raises(KeyboardInterrupt), store.beside() as beside:
        resume_or_begin(store, beside, Basis.of(store))
        if processes > 1:
            fold_in_processes(store, beside, store.head(), processes)
        else:
            ProjectionRunner(store, beside.database, batch=10).catch_up(store.head() - 5)
        with beside.database.transaction(commit=True) as cursor:
            cursor.execute(MARK)
        raise KeyboardInterrupt


def goes_on(store: StoreEngine) -> bool:
    """Rebuild, and say whether the rows of the one before are among the new ones."""
    rebuild(store)
    with store.database.transaction(commit=False) as cursor:
        cursor.execute("SELECT count(*) FROM runners WHERE error = 'made before the interruption'")
        return bool(cursor.fetchone()[0])


def archive_log(store: StoreEngine) -> None:
    note = ExecutionsArchived(file="a.jsonl.zst", executions=1, events=1, sha256="0" * 64)
    store.append(ARCHIVE_LOG, [NewEvent("note", datetime.now(UTC), "test", note)])


@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_done_is_not_done_again(fleet: StoreEngine, processes: int) -> None:
    interrupted(fleet, processes)
    set_sail(fleet, prefix="late-")
    assert goes_on(fleet)
    assert not goes_on(fleet), "what was left is gone"


def test_the_rows_are_those_of_an_undisturbed_one(fleet: StoreEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contract.test_resumed_rebuild.MARK", "UPDATE runners SET error = error")
    truth = rows(fleet)
    interrupted(fleet)
    change(fleet, "DELETE FROM executions")
    rebuild(fleet)
    assert rows(fleet) == truth


def test_another_fold_begins_anew(fleet: StoreEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(fleet)
    monkeypatch.setattr("projector.projecting.resuming.FOLD_VERSION", 2**30)
    assert not goes_on(fleet)


def test_a_store_that_was_archived_from_is_begun_anew(fleet: StoreEngine) -> None:
    interrupted(fleet)
    archive_log(fleet)
    assert not goes_on(fleet)


def test_another_store_in_its_place_is_begun_anew(fleet: StoreEngine) -> None:
    interrupted(fleet)
    (last,) = fleet.tail_stored(after=fleet.head() - 1, limit=1)
    rewrite(fleet, last.stream, last.version, lambda state: state + b" ")
    assert not goes_on(fleet)


def test_rows_of_executions_that_are_archived_meanwhile_do_not_come_back(
    fleet: StoreEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[int] = []

    def fill(store: StoreEngine, beside: Beside, upto: int, processes: int) -> None:
        ProjectionRunner(store, beside.database).catch_up(upto)
        if not filled:  # as an archive does in one transaction
            (gone,) = store.read_stored("execution/voyage-0-1", after=0, limit=1)
            archive_log(store)
            change(store, "DELETE FROM stored_events WHERE originator_id = ?", gone.stream)
        filled.append(upto)

    monkeypatch.setattr("projector.projecting.rebuild.fold_in_processes", fill)
    rebuild(fleet)
    assert len(filled) == 2
    assert "voyage-0-1" not in {row[0] for row in rows(fleet)["executions"]}


@pytest.mark.chaos
@pytest.mark.parametrize("name", ENGINES)
def test_a_rebuild_that_is_killed_often_comes_to_its_end_and_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, engine = random.Random(seed), ENGINES[name]
    with engine.make_place(tmp_path) as place, closing(engine.open(place)) as store:
        for part in range(20):
            set_sail(store, times=20, prefix=f"fleet-{part}-")
        project(store)
        truth = rows(store)
        change(store, "DELETE FROM executions")
        killed = 0
        for turn in range(12):
            with child(rebuild_tables, engine.open, place, 1 + turn % 2, is_parent=True) as rebuilding:
                assert rebuilding.hear() == "begins"
                time.sleep(dice.uniform(0, 0.4))  # the point of it is that nobody knows when
                killed += not rebuilding.pipe.poll(0)
                rebuilding.kill()
        assert killed > 2
        rebuild(store)
        assert rows(store) == truth
        assert not list(tmp_path.glob("*-rebuild-*"))

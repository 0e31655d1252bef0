"""Of all who want to lead in a role one does, until it lets go or dies, whatever happens to the lock's file."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from projector.engines.sqlite.file_leadership import FileLeadership
from projector.engines.sqlite.file_lock import FileLock
from tests.processes import child
from tests.sharing_processes import lead, lead_and_fork


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "store.db").touch()
    return tmp_path / "store.db"


def test_one_leads_until_it_lets_go(place: Path) -> None:
    first, second = FileLeadership(place, "navigator"), FileLeadership(place, "navigator")
    assert (first.hold(), second.hold(), first.hold()) == (True, False, True)
    first.release()
    first.release()
    assert (second.hold(), first.hold()) == (True, False)
    second.release()
    assert list(place.parent.iterdir()) == [place]


def test_each_role_and_each_store_has_its_own_leader(place: Path) -> None:
    leaders = [
        FileLeadership(store, role) for store in (place, place.with_name("other.db")) for role in ("navigator", "cook")
    ]
    assert all(leader.hold() for leader in leaders)
    for leader in leaders:
        leader.release()


def test_when_a_leader_is_killed_another_leads(place: Path) -> None:
    mine = FileLeadership(place, "navigator")
    with child(lead, str(place)) as leader:
        assert leader.hear() is True
        assert not mine.hold()
        leader.kill()
        assert mine.hold()
    mine.release()


def test_a_child_of_a_leader_does_not_keep_the_lead_when_the_leader_dies(place: Path) -> None:
    mine = FileLeadership(place, "navigator")
    with child(lead_and_fork, str(place)) as leader:
        grandchild = leader.hear()
        assert not mine.hold()
        leader.kill()
        os.kill(grandchild, 0)  # it lives
        deadline = time.monotonic() + 5  # right after its birth it may not have let go yet
        while not mine.hold():
            assert time.monotonic() < deadline
        os.kill(grandchild, 9)
    mine.release()


def test_a_leader_whose_file_was_replaced_contends_for_the_new_one(place: Path) -> None:
    first, second = FileLeadership(place, "navigator"), FileLeadership(place, "navigator")
    assert first.hold()
    (lock,) = set(place.parent.iterdir()) - {place}
    lock.rename(lock.with_suffix(".old"))
    assert second.hold(), "nobody has the new one"
    assert not first.hold(), "and it is the one that counts"
    second.release()
    assert first.hold()
    first.release()


def test_where_there_can_be_no_lock_all_lead(place: Path) -> None:
    place.with_name("store.db-navigator.lock").mkdir()
    assert all(FileLeadership(place, "navigator").hold() for _ in range(2))
    assert FileLeadership(place.parent / "away" / "store.db", "navigator").hold()


def test_a_lock_is_as_open_as_its_store(place: Path) -> None:
    place.chmod(0o664)
    lock = FileLock(place, "next")
    assert lock.take()
    assert stat.S_IMODE(place.with_name("store.db-next.lock").stat().st_mode) == 0o664
    lock.remove()


def test_a_lock_makes_no_files_where_a_link_leads(place: Path) -> None:
    place.with_name("store.db-next.lock").symlink_to(place.with_name("trap"))
    with pytest.raises(OSError):
        FileLock(place, "next").take()
    assert not place.with_name("trap").exists()


class _Contention(RuleBasedStateMachine):
    """Three who contend, and a file that somebody deletes: nobody leads beside another who asked since."""

    place: ClassVar[Path]
    who = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self._crew = [FileLeadership(self.place, "navigator") for _ in range(3)]
        self._leader: int | None = None

    @rule(one=who)
    def holds(self, one: int) -> None:
        leads = self._crew[one].hold()
        assert leads == (self._leader in (None, one))
        if leads:
            self._leader = one

    @rule(one=who)
    def releases(self, one: int) -> None:
        self._crew[one].release()
        if self._leader == one:
            self._leader = None

    @rule()
    def file_goes_away(self) -> None:
        self.place.with_name("store.db-navigator.lock").unlink(missing_ok=True)
        self._leader = None

    def teardown(self) -> None:
        for one in self._crew:
            one.release()


def test_whatever_happens_one_leads(place: Path) -> None:
    class Here(_Contention):
        pass

    Here.place = place
    run_state_machine_as_test(Here)
    assert list(place.parent.iterdir()) == [place]

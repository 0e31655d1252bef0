"""When a projector that stands by must step in: the tables stand still behind the store, look after look."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from projector.projecting.standby import Standby


def test_it_steps_in_at_the_third_look_at_which_nothing_has_moved() -> None:
    standby = Standby()
    assert [standby.must_step_in(5, 9) for _ in range(5)] == [False, False, False, True, True]


def test_a_leader_that_moves_at_all_is_left_alone() -> None:
    standby = Standby()
    assert not any(standby.must_step_in(position, 1000) for position in range(100))


def test_tables_that_are_at_the_store_s_head_stand_still_for_good_reason() -> None:
    standby = Standby()
    assert not any(standby.must_step_in(9, 9) for _ in range(10))
    assert [standby.must_step_in(9, 10) for _ in range(3)] == [False, False, True], "and then they do not"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_it_steps_in_exactly_when_three_looks_in_a_row_saw_no_move_behind_the_store(
    looks: list[tuple[int, int]],
) -> None:
    standby = Standby()
    told = [standby.must_step_in(position, head) for position, head in looks]
    still = [at > 0 and looks[at - 1][0] == position and head > position for at, (position, head) in enumerate(looks)]
    assert told == [at >= 3 and all(still[at - 2 : at + 1]) for at in range(len(looks))]

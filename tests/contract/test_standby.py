"""Of several projectors on one store one leads; another takes over when it dies, and steps in when it is frozen."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.projecting.standby import LOOK_EVERY
from tests.engines import Engine
from tests.fleet import set_sail
from tests.histories import VOYAGE, news
from tests.postgres import wait_for
from tests.processes import Child, child
from tests.store_processes import project_for_ever
from tests.tables import folded, statuses

FEW_SECONDS = 10 * LOOK_EVERY
"""On a busy machine; it takes about one after a death, and about four when the leader is frozen."""


@contextmanager
def leading(engine: Engine, place: str) -> Iterator[Child]:
    """A projector in a process of its own, which has the lead."""
    with child(project_for_ever, engine.open, place, 500) as leader:
        assert leader.hear() == "running"
        yield leader


class Watched(ProjectionRunner):
    """A projector that counts what it does."""

    looks = 0
    """At the work of the one that leads."""
    steps = 0

    def step(self, upto: int | None = None) -> int:
        self.steps += 1
        return super().step(upto)

    def _where(self) -> int:
        self.looks += 1
        return super()._where()


@contextmanager
def standing_by(engine: Engine, place: str) -> Iterator[Watched]:
    """A second projector, in this process."""
    stopping = threading.Event()
    with closing(engine.open(place)) as store:
        runner = Watched(store, store.database)
        thread = threading.Thread(target=runner.run, args=(stopping,), kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield runner
        finally:
            stopping.set()
            thread.join(10)
            assert not thread.is_alive()


def is_up_to_date(store: StoreEngine) -> bool:
    return statuses(store) == folded(store)


def test_the_second_projector_stands_by_while_the_first_works(engine: Engine, place: str, store: StoreEngine) -> None:
    set_sail(store)
    with leading(engine, place):
        wait_for(lambda: is_up_to_date(store), FEW_SECONDS)
        with standing_by(engine, place) as second:
            for looks in (1, 2):
                store.append(execution_stream(f"late-{looks}"), news(*VOYAGE))
                wait_for(lambda looks=looks: second.looks >= looks, FEW_SECONDS)  # type: ignore[misc]
                wait_for(lambda: is_up_to_date(store), FEW_SECONDS)
            assert second.steps == 0


def test_it_takes_over_when_the_first_is_killed(engine: Engine, place: str, store: StoreEngine) -> None:
    set_sail(store)
    with leading(engine, place) as first:
        wait_for(lambda: is_up_to_date(store), FEW_SECONDS)
        with standing_by(engine, place) as second:
            first.kill()
            store.append(execution_stream("late"), news(*VOYAGE))
            wait_for(lambda: second.position == store.head(), FEW_SECONDS)
            assert is_up_to_date(store)
    assert rebuild(store, verify_only=True).differences == ()


@pytest.mark.slow
def test_it_steps_in_while_the_first_is_frozen_and_both_together_count_nothing_twice(
    engine: Engine, place: str, store: StoreEngine
) -> None:
    set_sail(store)
    with leading(engine, place) as first:
        wait_for(lambda: is_up_to_date(store), FEW_SECONDS)
        with standing_by(engine, place):
            assert first.process.pid is not None
            os.kill(first.process.pid, signal.SIGSTOP)
            try:
                set_sail(store, prefix="while-frozen-")
                wait_for(lambda: is_up_to_date(store), FEW_SECONDS)
            finally:
                os.kill(first.process.pid, signal.SIGCONT)
            set_sail(store, prefix="both-awake-", times=3)
            wait_for(lambda: is_up_to_date(store), FEW_SECONDS)
    assert rebuild(store, verify_only=True).differences == ()


def test_a_projector_that_is_told_to_stop_leaves_the_lead_to_the_next(
    engine: Engine, place: str, store: StoreEngine
) -> None:
    with standing_by(engine, place) as first:
        set_sail(store)
        wait_for(lambda: first.position == store.head(), FEW_SECONDS)
    leadership = store.leadership("projector")
    assert leadership.hold()
    leadership.release()

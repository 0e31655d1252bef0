"""Appends on PostgreSQL ring, and all who listen hear it on one connection of their process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from projector.engines.postgres.store import PostgresEventStore
from tests.contract.event_store_contract import REEF
from tests.histories import REMARK, news
from tests.postgres import connections_to, run, wait_for
from tests.postgres_processes import open_postgres

LISTENING = "LISTEN stored_events"


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresEventStore]:
    with closing(open_postgres(dsn)) as store:
        yield store


def ears(dsn: str) -> list[int]:
    return [pid for pid, query in connections_to(dsn) if query == LISTENING]


class Listener:
    """Counts the rings."""

    def __init__(self) -> None:
        self.heard = threading.Event()
        self.rings = 0

    def wake(self) -> None:
        self.rings += 1
        self.heard.set()

    def hears(self, patience: float = 10.0) -> bool:
        """Whether it rings, from now or from the last time on."""
        heard = self.heard.wait(patience)
        self.heard.clear()
        return heard


def test_an_append_of_any_process_rings_and_a_read_does_not(dsn: str, store: PostgresEventStore) -> None:
    listener = Listener()
    with closing(open_postgres(dsn)) as other, store.bell.listen(listener.wake):
        assert listener.hears(), "it rings once when it is there: something may have come before"
        for _ in range(5):
            began = time.monotonic()
            other.append(REEF, news(REMARK))
            assert listener.hears()
            assert time.monotonic() - began < 5
        rings = listener.rings
        other.read(REEF)
        other.append_batch([])
        store.bell.ring()
        other.append(REEF, news(REMARK))
        assert listener.hears()
        assert listener.rings == rings + 1


def test_an_append_that_stores_nothing_rings_for_nobody(dsn: str, store: PostgresEventStore) -> None:
    listener, written = Listener(), news(REMARK)
    store.append(REEF, written)
    with store.bell.listen(listener.wake):
        assert listener.hears()
        assert not store.append(REEF, written).is_new
        store.append(REEF, news(REMARK))
        assert listener.hears()
        assert listener.rings == 2


def test_however_many_listen_there_is_one_connection_while_anybody_does(dsn: str, store: PostgresEventStore) -> None:
    assert ears(dsn) == []
    for _ in range(2):
        listeners = [Listener() for _ in range(20)]
        with ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(store.bell.listen(listener.wake))
            assert listeners[0].hears()
            assert len(ears(dsn)) == 1
            store.append(REEF, news(REMARK))
            assert all(listener.hears() for listener in listeners)
        wait_for(lambda: ears(dsn) == [])
    assert not [thread for thread in threading.enumerate() if thread.name == "postgres-bell"]


def test_who_has_stopped_listening_is_left_alone(store: PostgresEventStore) -> None:
    one, other = Listener(), Listener()
    with store.bell.listen(other.wake):
        with store.bell.listen(one.wake):
            assert other.hears()
            store.append(REEF, news(REMARK))
            assert one.hears() and other.hears()
        rings = one.rings
        store.append(REEF, news(REMARK))
        assert other.hears()
        assert one.rings == rings


def test_a_listener_that_fails_does_not_keep_it_from_the_others(
    store: PostgresEventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise KeyError("the foghorn")

    listener = Listener()
    with store.bell.listen(fail), store.bell.listen(listener.wake):
        assert listener.hears()
        store.append(REEF, news(REMARK))
        assert listener.hears()
    assert "a listener could not be woken" in capsys.readouterr().out


def test_a_connection_that_was_ended_is_made_anew_and_rings(dsn: str, store: PostgresEventStore) -> None:
    listener = Listener()
    with store.bell.listen(listener.wake):
        assert listener.hears()
        for _ in range(3):
            (ear,) = ears(dsn)
            run(dsn, f"SELECT pg_terminate_backend({ear})")
            assert listener.hears(5.0), "what came meanwhile would be missed"
            store.append(REEF, news(REMARK))
            assert listener.hears(5.0)


def test_a_process_that_listens_and_hears_nothing_costs_nothing(store: PostgresEventStore) -> None:
    listener = Listener()
    with store.bell.listen(listener.wake):
        assert listener.hears()
        before = time.process_time()
        assert not listener.hears(1.0)
        assert time.process_time() - before < 0.05

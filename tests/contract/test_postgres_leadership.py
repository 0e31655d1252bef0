"""Of several processes on one PostgreSQL store, one leads in each role."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from projector.engines.postgres.store import PostgresEventStore
from tests.postgres import connections_to, run, wait_for
from tests.postgres_processes import lead, open_postgres
from tests.processes import child, children


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresEventStore]:
    with closing(open_postgres(dsn)) as store:
        yield store


def test_one_leads_in_a_role_until_it_lets_another(store: PostgresEventStore) -> None:
    one, other, cook = store.leadership("projector"), store.leadership("projector"), store.leadership("cook")
    try:
        assert [one.hold(), other.hold(), cook.hold(), one.hold(), other.hold()] == [True, False, True, True, False]
        one.release()
        one.release()
        assert [other.hold(), one.hold()] == [True, False]
    finally:
        for each in (one, other, cook):
            each.release()


def test_of_eight_processes_one_leads_and_its_death_makes_another_lead(dsn: str) -> None:
    open_postgres(dsn).close()
    with children(lead, [(dsn, "projector") for _ in range(8)]) as crew:
        for survivors in (8, 7, 6):
            for one in crew:
                one.tell("who leads?")
            leads = [one for one in crew if one.hear()]
            assert len(leads) == 1, f"{len(leads)} of {survivors} lead"
            leads[0].kill()
            crew = [one for one in crew if one is not leads[0]]
            wait_for(lambda: run(dsn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)])


def test_two_schemas_have_leaders_of_their_own(dsn: str, store: PostgresEventStore) -> None:
    run(dsn, "CREATE SCHEMA tenant")
    with closing(open_postgres(dsn + " options=-csearch_path=tenant")) as tenant:
        one, other = store.leadership("projector"), tenant.leadership("projector")
        assert one.hold() and other.hold()
        one.release()
        other.release()


def test_a_lead_that_was_lost_with_its_connection_is_taken_again_or_left(dsn: str, store: PostgresEventStore) -> None:
    one, other = store.leadership("projector"), store.leadership("projector")
    assert one.hold()
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'execution-status'"
    run(dsn, end + " AND datname = current_database()")
    wait_for(lambda: connections_to(dsn) == [])
    assert one.hold(), "nobody else had it"
    run(dsn, end + " AND datname = current_database()")
    wait_for(lambda: connections_to(dsn) == [])
    assert other.hold()
    assert not one.hold()
    other.release()
    one.release()


def test_holding_the_lead_is_quick(store: PostgresEventStore) -> None:
    one = store.leadership("projector")
    one.hold()
    began = time.monotonic()
    assert all(one.hold() for _ in range(100))
    assert time.monotonic() - began < 5
    one.release()


def test_who_leads_may_end_without_a_word(dsn: str, store: PostgresEventStore) -> None:
    with child(lead, dsn, "projector") as leader:
        leader.tell("who leads?")
        assert leader.hear()
        mine = store.leadership("projector")
        assert not mine.hold()
        leader.kill()
        wait_for(mine.hold)
        mine.release()

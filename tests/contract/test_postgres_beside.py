"""New query tables on PostgreSQL, beside those in use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import psycopg
import pytest

from projector.engines.postgres.beside import PREFIX
from projector.engines.postgres.store import PostgresEventStore
from projector.errors import StoreError
from projector.events import RunnerReady
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from tests.contract.event_store_contract import REEF, SHIP, WRECK
from tests.histories import QUEUE, REMARK, REQUESTED, SHIPWRECK, SURVEY, VOYAGE, news
from tests.postgres import TIDES, UPSERT, run, wait_for
from tests.postgres_processes import fill, open_postgres, stay_beside
from tests.processes import child


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresEventStore]:
    with closing(open_postgres(dsn)) as store:
        store.database.create_tables([TIDES])
        yield store


def schemas(dsn: str) -> list[str]:
    return [row[0] for row in run(dsn, f"SELECT nspname FROM pg_namespace WHERE starts_with(nspname, '{PREFIX}')")]


def test_new_tables_are_made_filled_compared_and_exchanged_beside_those_in_use(
    dsn: str, store: PostgresEventStore
) -> None:
    with store.database.transaction(commit=True) as cursor:
        cursor.executemany(UPSERT, [("Brest", 1, ""), ("Ostend", 5, "")])
    with store.beside() as room:
        room.database.create_tables([TIDES])
        assert len(schemas(dsn)) == 1
        with room.database.transaction(commit=True) as cursor:
            cursor.executemany(UPSERT, [("Brest", 7, ""), ("Ostend", 5, "")])
        with store.database.transaction(commit=False) as cursor:
            assert cursor.execute("SELECT height FROM tides WHERE harbour = 'Brest'").fetchone() == (1,)
        with room.standing_still() as cursor:
            old, new = f"{room.in_use}.tides", f"{room.fresh}.tides"
            cursor.execute(f"SELECT harbour FROM (SELECT * FROM {old} EXCEPT SELECT * FROM {new}) AS changed")
            assert cursor.fetchall() == [("Brest",)]
            with room.database.transaction(commit=True) as filling:  # the fresh ones can still be brought up
                filling.execute(UPSERT, ("Zeebrugge", 4, ""))
            cursor.execute(f"DELETE FROM {old}")
            cursor.execute(f"INSERT INTO {old} SELECT * FROM {new}")
    assert schemas(dsn) == []
    with store.database.transaction(commit=False) as cursor:
        cursor.execute("SELECT harbour, height FROM tides ORDER BY harbour")
        assert cursor.fetchall() == [("Brest", 7), ("Ostend", 5), ("Zeebrugge", 4)]


def test_another_process_fills_the_fresh_tables_too(dsn: str, store: PostgresEventStore) -> None:
    with store.beside() as room:
        room.database.create_tables([TIDES])
        with child(fill, room.opener(), UPSERT) as other:
            assert other.hear() == "filled"
        with room.database.transaction(commit=False) as cursor:
            assert cursor.execute("SELECT harbour FROM tides").fetchall() == [("Brest",)]
            assert cursor.execute("SHOW synchronous_commit").fetchall() == [("off",)], "it is made again after a crash"
        with room.standing_still() as cursor:
            assert cursor.execute("SHOW synchronous_commit").fetchall() == [("on",)]
    with store.database.transaction(commit=False) as cursor:
        assert cursor.execute("SELECT * FROM tides").fetchall() == []


@pytest.mark.parametrize("processes", [1, 2])
def test_the_tables_of_all_projections_are_rebuilt(store: PostgresEventStore, processes: int) -> None:
    store.append(REEF, news(*VOYAGE))
    store.append(WRECK, news(*SHIPWRECK))
    store.append(SHIP, news(RunnerReady(task_queue=QUEUE)))
    ProjectionRunner(store, store.database).catch_up()
    assert rebuild(store, verify_only=True, processes=processes).differences == ()
    with store.database.transaction(commit=True) as cursor:
        cursor.execute("DELETE FROM runners")
        cursor.execute("UPDATE executions SET phase = 'LOST' WHERE execution_id = ?", (SURVEY,))
    report = rebuild(store, processes=processes)
    assert [one.partition(":")[0] for one in report.differences] == ["executions", "runners"]
    assert report.position == store.head()
    assert rebuild(store, verify_only=True).differences == ()


def test_while_all_stand_still_nobody_appends_or_projects_and_all_read(dsn: str, store: PostgresEventStore) -> None:
    store.append(REEF, news(REQUESTED))
    done: list[str] = []

    def project() -> None:
        with store.database.transaction(commit=True) as cursor:
            cursor.execute(UPSERT, ("Brest", 7, ""))
        done.append("projected")

    def append() -> None:
        store.append(REEF, news(REMARK))
        done.append("appended")

    threads = [threading.Thread(target=work) for work in (project, append)]
    with store.beside() as room, room.standing_still():
        for thread in threads:
            thread.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        wait_for(lambda: run(dsn, waiting) == [(2,)])
        assert store.version(REEF) == 1
        assert len(store.tail(after=0)) == 1
        with store.database.transaction(commit=False) as cursor:
            assert cursor.execute("SELECT * FROM tides").fetchall() == []
        assert done == []
    for thread in threads:
        thread.join(10)
    assert sorted(done) == ["appended", "projected"]


def test_what_fails_while_all_stand_still_changes_nothing(dsn: str, store: PostgresEventStore) -> None:
    with store.database.transaction(commit=True) as cursor:
        cursor.execute(UPSERT, ("Brest", 1, ""))
    with pytest.raises(KeyError), store.beside() as room, room.standing_still() as cursor:
        cursor.execute(f"DELETE FROM {room.in_use}.tides")
        raise KeyError
    assert schemas(dsn) == []
    with store.database.transaction(commit=False) as cursor:
        assert len(cursor.execute("SELECT * FROM tides").fetchall()) == 1


def test_what_a_killed_rebuild_left_is_taken_over_by_the_next_and_a_living_one_s_is_not(
    dsn: str, store: PostgresEventStore
) -> None:
    with child(stay_beside, dsn) as living, child(stay_beside, dsn) as doomed:
        left = {living.hear(), doomed.hear()}
        assert len(left) == 2
        assert set(schemas(dsn)) == left
        doomed.kill()
        owners = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        wait_for(lambda: run(dsn, owners) == [(1,)])
        with store.beside():
            assert len(schemas(dsn)) == 2
        (lives,) = schemas(dsn)
        living.tell("leave")
        living.join()
        assert schemas(dsn) == [], lives


def test_who_may_make_no_schema_is_told(dsn: str, store: PostgresEventStore) -> None:
    name = f"mate_{next(_roles)}"
    run(dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'sounding'")
    try:
        grants = [f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"]
        run(dsn, *grants)
        with (
            closing(open_postgres(psycopg.conninfo.make_conninfo(dsn, user=name, password="sounding"))) as mate,
            pytest.raises(StoreError, match="refuses this program: permission denied for database"),
            mate.beside(),
        ):
            pytest.fail("it made a schema")
    finally:
        run(dsn, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


_roles = count(1)

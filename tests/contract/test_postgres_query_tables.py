"""The query tables on PostgreSQL: transactions, in the words that the engines share."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projector.engines.postgres.statements import in_postgres_words
from projector.engines.postgres.store import PostgresEventStore
from projector.errors import StoreUnavailable
from projector.projections import tables
from tests.contract.event_store_contract import REEF
from tests.histories import REQUESTED, news
from tests.postgres import TIDES, UPSERT, run
from tests.postgres_processes import add_to_counter, open_postgres
from tests.processes import children


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresEventStore]:
    with closing(open_postgres(dsn)) as store:
        store.database.create_tables([TIDES])
        yield store


# --- the shared words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shared", "theirs"),
    [
        ("SELECT * FROM t WHERE a = ? AND b = :name", "SELECT * FROM t WHERE a = %s AND b = %(name)s"),
        ("SELECT '?' || \":a\" || ':b' -- why ?\n, ?", "SELECT '?' || \":a\" || ':b' -- why ?\n, %s"),
        (
            "SELECT 'it''s 50 %' WHERE a LIKE '%?' AND b % 2 = ?",
            "SELECT 'it''s 50 %%' WHERE a LIKE '%%?' AND b %% 2 = %s",
        ),
        ("SELECT a::text /* ? */ FROM t", "SELECT a::text /* ? */ FROM t"),
        (
            'CREATE TABLE IF NOT EXISTS t (a TEXT PRIMARY KEY, "text" INTEGER, c REAL, d BLOB) WITHOUT ROWID',
            'CREATE TABLE IF NOT EXISTS t (a TEXT COLLATE "C" PRIMARY KEY, "text" BIGINT, c DOUBLE PRECISION, d BYTEA)',
        ),
        ("CREATE INDEX i ON t (text)", "CREATE INDEX i ON t (text)"),
    ],
)
def test_the_shared_words_become_postgresql_s(shared: str, theirs: str) -> None:
    assert in_postgres_words(shared) == theirs


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="'\0")))
@example("?")
@example(":a %s %(b)s %% --")
def test_what_stands_in_quotes_is_left_as_it_is(text: str) -> None:
    assert in_postgres_words(f"SELECT '{text}', ?") == f"SELECT '{text.replace('%', '%%')}', %s"


def test_statements_take_both_kinds_of_parameters_and_give_tuples(store: PostgresEventStore) -> None:
    with store.database.transaction(commit=True) as cursor:
        cursor.executemany(UPSERT, [("Brest", 7, "50 %"), ("Zeebrugge", 4, None), ("Åbo", 2**40, "")])
        cursor.executemany(UPSERT, iter([("Brest", 8, "100 %")]))
    with store.database.transaction(commit=False) as cursor:
        cursor.execute(
            "SELECT height, note FROM tides WHERE harbour = :harbour AND note LIKE '%\\%'", {"harbour": "Brest"}
        )
        assert cursor.fetchone() == (8, "100 %")
        assert cursor.fetchone() is None
        cursor.execute("SELECT harbour, height FROM tides WHERE height > ? ORDER BY harbour", (3,))
        assert cursor.fetchall() == [("Brest", 8), ("Zeebrugge", 4), ("Åbo", 2**40)], "in the order of their bytes"


def test_the_tables_of_all_projections_are_made_with_the_store(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store, store.database.transaction(commit=False) as cursor:
        for table in ("tracking", *tables.QUERY_TABLES):
            assert cursor.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    collations = run(
        dsn,
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type = 'text' AND table_name <> 'stored_events'",
    )
    assert collations == [("C",)], "texts are compared byte by byte, whatever the database does by itself"


def test_a_table_that_was_dropped_is_missed_in_our_words_and_can_be_made_again(
    store: PostgresEventStore, dsn: str
) -> None:
    run(dsn, "DROP TABLE tides")
    with (
        pytest.raises(StoreUnavailable, match=r'relation "tides" does not exist; check that nobody has dropped'),
        store.database.transaction(commit=False) as cursor,
    ):
        cursor.execute("SELECT * FROM tides")
    store.database.create_tables([TIDES])
    with store.database.transaction(commit=False) as cursor:
        assert cursor.execute("SELECT * FROM tides").fetchall() == []


# --- transactions --------------------------------------------------------------------------------------------------


def test_a_transaction_is_kept_as_a_whole_or_not_at_all(store: PostgresEventStore) -> None:
    with pytest.raises(KeyError), store.database.transaction(commit=True) as cursor:
        cursor.execute(UPSERT, ("Brest", 7, ""))
        raise KeyError
    with store.database.transaction(commit=True) as cursor:
        cursor.execute(UPSERT, ("Ostend", 5, ""))
    with store.database.transaction(commit=False) as cursor:
        assert cursor.execute("SELECT harbour FROM tides").fetchall() == [("Ostend",)]


def test_a_statement_that_failed_spoils_its_transaction_and_says_so(store: PostgresEventStore) -> None:
    with (
        pytest.raises(psycopg.errors.InFailedSqlTransaction, match="nothing was committed"),
        store.database.transaction(commit=True) as cursor,
    ):
        cursor.execute(UPSERT, ("Brest", 7, ""))
        with pytest.raises(psycopg.errors.NotNullViolation):
            cursor.execute(UPSERT, ("Ostend", None, ""))
    with store.database.transaction(commit=False) as cursor:
        assert cursor.execute("SELECT * FROM tides").fetchall() == []


def test_a_savepoint_saves_a_transaction_from_a_statement_that_failed(store: PostgresEventStore) -> None:
    with store.database.transaction(commit=True) as cursor:
        cursor.execute("SAVEPOINT record")
        with pytest.raises(psycopg.errors.NotNullViolation):
            cursor.executemany(UPSERT, [("Brest", 7, ""), ("Ostend", None, "")])
        cursor.execute("ROLLBACK TO record")
        cursor.execute(UPSERT, ("Zeebrugge", 4, ""))
        cursor.execute("RELEASE record")
    with store.database.transaction(commit=False) as cursor:
        assert cursor.execute("SELECT harbour FROM tides").fetchall() == [("Zeebrugge",)]


def test_a_transaction_that_reads_sees_one_moment_and_changes_nothing(store: PostgresEventStore) -> None:
    with store.database.transaction(commit=False) as reading:
        assert reading.execute("SELECT count(*) FROM tides").fetchone() == (0,)
        with store.database.transaction(commit=True) as writing:
            writing.execute(UPSERT, ("Brest", 7, ""))
        assert reading.execute("SELECT count(*) FROM tides").fetchone() == (0,)
        with pytest.raises(StoreUnavailable, match="read-only"):
            reading.execute(UPSERT, ("Ostend", 7, ""))


def test_what_a_writing_transaction_has_read_still_holds_when_it_writes(dsn: str, store: PostgresEventStore) -> None:
    with store.database.transaction(commit=True) as cursor:
        cursor.execute("INSERT INTO tracking VALUES ('counter', 0)")
    each = 50
    with children(add_to_counter, [(dsn, each) for _ in range(4)]) as crew:
        assert [one.hear() for one in crew] == ["done"] * 4
    with store.database.transaction(commit=False) as cursor:
        cursor.execute("SELECT notification_id FROM tracking WHERE application_name = 'counter'")
        assert cursor.fetchone() == (4 * each,)


def test_who_projects_does_not_keep_others_from_appending(store: PostgresEventStore) -> None:
    with store.database.transaction(commit=True) as cursor, ThreadPoolExecutor(1) as thread:
        cursor.execute(UPSERT, ("Brest", 7, ""))
        assert thread.submit(store.append, REEF, news(REQUESTED)).result(5).is_new


def test_who_projects_too_long_is_not_waited_for_for_ever(dsn: str) -> None:
    with (
        closing(open_postgres(dsn)) as one,
        closing(open_postgres(dsn, 0.2)) as other,
        one.database.transaction(commit=True),
        pytest.raises(StoreUnavailable, match=r"at this moment: .*; check that no other process is stuck"),
        other.database.transaction(commit=True),
    ):
        pytest.fail("two wrote at once")

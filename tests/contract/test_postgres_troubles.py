"""Databases that are no store of ours, and troubles of those that are."""

from __future__ import annotations

import secrets
from contextlib import closing

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.engines.postgres.datastore import refuse_db_functions
from projector.engines.postgres.schema import SCHEMA_VERSION
from projector.errors import StoreDamaged, StoreError, StoreForeign, StoreMissing, StoreTooNew, StoreUnavailable
from tests.contract.event_store_contract import REEF
from tests.histories import REMARK, REQUESTED, news
from tests.postgres import GIVEN, run, shared_server
from tests.postgres_processes import open_postgres

# --- whose tables they are -----------------------------------------------------------------------------------------


def test_an_empty_database_is_not_a_store_unless_it_may_become_one(dsn: str) -> None:
    with pytest.raises(StoreMissing, match=r"there is no event store at postgresql://.* yet: `execution-status up`"):
        open_postgres(dsn, create=False)
    open_postgres(dsn).close()
    open_postgres(dsn, create=False).close()


@pytest.mark.parametrize(
    ("made", "refusal", "words"),
    [
        ("CREATE TABLE stored_events (recipe text)", StoreForeign, "tables of something else, such as 'stored_events'"),
        (
            "CREATE TABLE runners (name text)",
            StoreForeign,
            "such as 'runners': name another database, or another",
        ),
        ("CREATE TABLE execution_status_schema (version int)", StoreForeign, "such as 'execution_status_schema'"),
        (
            f"CREATE TABLE execution_status_schema AS SELECT {SCHEMA_VERSION + 1} AS version",
            StoreTooNew,
            f"has schema {SCHEMA_VERSION + 1}, and this version reads up to {SCHEMA_VERSION}: install the newer",
        ),
    ],
)
def test_tables_of_something_else_are_left_alone(dsn: str, made: str, refusal: type[StoreError], words: str) -> None:
    run(dsn, made)
    names = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
    before = run(dsn, names)
    for create in (True, False):
        with pytest.raises(refusal, match=words):
            open_postgres(dsn, create=create)
    assert run(dsn, names) == before


def test_a_database_may_hold_other_tables_too(dsn: str) -> None:
    run(dsn, "CREATE TABLE recipes (name text)")
    with closing(open_postgres(dsn)) as store:
        assert store.append(REEF, news(REQUESTED)).is_new


def test_a_type_that_was_left_over_is_used(dsn: str) -> None:
    open_postgres(dsn).close()
    tables = "stored_events, event_ids, execution_status_schema, executions, failure_groups, runners, parked, tracking"
    run(dsn, f"DROP TABLE {tables}")
    with closing(open_postgres(dsn)) as store:
        assert store.append(REEF, news(REQUESTED)).is_new


def test_a_search_path_that_leads_nowhere_is_told(dsn: str) -> None:
    with pytest.raises(StoreError, match=r"has no schema to be in: none of its search_path \(nowhere\) exists; make"):
        open_postgres(make_conninfo(dsn, options="-csearch_path=nowhere"))


@pytest.mark.skipif(bool(GIVEN), reason="takes a locale that the server may not have")
def test_a_database_that_cannot_hold_all_texts_is_refused() -> None:
    dsn = shared_server().dsn
    run(dsn, "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        with pytest.raises(StoreError, match="has the encoding LATIN1, which cannot hold all texts: make one"):
            open_postgres(make_conninfo(dsn, dbname="latin"))
    finally:
        run(dsn, "DROP DATABASE latin WITH (FORCE)")


# --- trouble while it is used --------------------------------------------------------------------------------------

TROUBLES = [
    ("53100", StoreUnavailable, "cannot be used at this moment: .*; check that the disk of the server has room"),
    ("57014", StoreUnavailable, "cannot be used at this moment: .*; check that nobody cancels its statements"),
    ("58030", StoreUnavailable, "cannot be used at this moment: .*; check that the server runs"),
    ("25006", StoreUnavailable, "at this moment: .*; check that the address leads to the primary server"),
    ("40001", StoreUnavailable, "cannot be used at this moment"),
    ("55P03", StoreUnavailable, "cannot be used at this moment: .*; check that no other process is stuck"),
    ("42501", StoreError, "refuses this program"),
    ("XX001", StoreDamaged, r"is damaged \(.*\): restore it from a backup"),
]


@pytest.mark.parametrize(("state", "refusal", "words"), TROUBLES)
def test_trouble_is_told_by_what_can_be_done_about_it_and_may_pass(
    dsn: str, state: str, refusal: type[StoreError], words: str
) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(REQUESTED))
        run(
            dsn,
            f"CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE EXCEPTION 'the hold\n  is wet' USING ERRCODE = '{state}'; END$$",
            "CREATE TRIGGER trouble BEFORE INSERT ON event_ids FOR EACH ROW EXECUTE FUNCTION trouble()",
            "SELECT 1",
        )
        written = news(REMARK)
        for _ in range(2):
            with pytest.raises(StoreError, match=words) as refused:
                store.append(REEF, written)
            assert type(refused.value) is refusal
            assert "the hold is wet" in str(refused.value)
        assert store.version(REEF) == 1, "nothing is half written"
        run(dsn, "DROP TRIGGER trouble ON event_ids")
        assert store.append(REEF, written).is_new


def test_what_is_wrong_with_an_append_itself_is_not_taken_for_the_store_s_fault(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        with pytest.raises(psycopg.DataError):
            store.append("execution/\0", news(REQUESTED))
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            store.append("runner/" + secrets.token_hex(5000), news(REQUESTED))
        assert store.append(REEF, news(REQUESTED)).is_new


def test_a_read_only_database_is_read_and_says_why_it_takes_nothing(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(REQUESTED))
    name = conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(open_postgres(dsn)) as store:
        assert store.version(REEF) == 1
        assert store.append(REEF, news(REMARK)).is_new, "our transactions ask for what they need"


# --- the library's database functions ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "y", "TRUE", "on", "perhaps"])
def test_the_library_s_database_functions_are_refused(dsn: str, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", value)
    with pytest.raises(StoreError, match=r"^POSTGRES_ENABLE_DB_FUNCTIONS is set: .*readers miss events; unset it$"):
        open_postgres(dsn)


def test_database_functions_that_are_switched_off_are_nothing_to_refuse() -> None:
    for environment in ({}, {"POSTGRES_ENABLE_DB_FUNCTIONS": ""}, {"POSTGRES_ENABLE_DB_FUNCTIONS": "no"}):
        refuse_db_functions(environment)

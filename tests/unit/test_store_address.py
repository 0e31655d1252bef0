"""Where a store is, as people write it: a path, or the URL of an SQLite file or of a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.settings import StoreSettings
from projector.store_address import PostgresAddress, SqliteAddress, StoreAddress, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("harbour/events.db", SqliteAddress(Path("harbour/events.db"))),
        ("/harbour/events.db", SqliteAddress(Path("/harbour/events.db"))),
        ("sqlite:///harbour/events.db", SqliteAddress(Path("harbour/events.db"))),
        ("sqlite:////harbour/events.db", SqliteAddress(Path("/harbour/events.db"))),
        ("postgresql://me@harbour/events", PostgresAddress("postgresql://me@harbour/events")),
        ("postgres://harbour", PostgresAddress("postgres://harbour")),
        ("postgresql:///events?host=/run/postgres", PostgresAddress("postgresql:///events?host=/run/postgres")),
        ("postgresql-backup.db", SqliteAddress(Path("postgresql-backup.db"))),
    ],
)
def test_an_address_names_a_file_or_a_database(text: str, address: StoreAddress) -> None:
    assert parse(text) == address
    assert StoreSettings(store=text).store_address == address


@pytest.mark.parametrize("text", ["mysql://harbour/events", "sqlite://", "sqlite://harbour", "sqlite:///", "://x"])
def test_what_is_neither_is_refused_and_told_what_it_may_be(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"name an SQLite file, as sqlite:///.*, or a PostgreSQL database, as postgres"
    ):
        parse(text)


def test_without_an_address_the_store_is_a_file_in_the_data_folder() -> None:
    assert StoreSettings(data_dir=Path("/harbour"), store="").store_address == SqliteAddress(Path("/harbour/store.db"))


def test_another_process_is_told_where_a_file_is_wherever_that_runs() -> None:
    assert SqliteAddress(Path("events.db")).url == str(Path.cwd() / "events.db")
    assert parse(PostgresAddress("postgresql://me:secret@harbour/events").url).url.endswith("secret@harbour/events")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://harbour/events", "postgresql://harbour/events"),
        ("postgresql://me@harbour:5432/events", "postgresql://me@harbour:5432/events"),
        ("postgresql://me:hunter2@harbour:5432/events?sslmode=require", None),
        ("postgresql://me:hunter2/and/so?on@harbour/events", None),
        ("postgresql://me:hunter2@and@so@harbour/events", None),
        ("postgresql://:hunter2@harbour/events", None),
        ("postgresql://harbour/events?user=me&password=hunter2&sslmode=require", None),
        ("postgresql://harbour/events?sslpassword=hunter2", None),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str | None) -> None:
    told = str(PostgresAddress(url))
    if shown is not None:
        assert told == shown
    assert "hunter2" not in told and "and" not in told
    assert told.startswith("postgresql://") and "harbour" in told


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.sampled_from(["me", ""]))
def test_no_password_whatever_its_signs_is_shown(password: str, user: str) -> None:
    shown = str(PostgresAddress(f"postgresql://{user}:{password}@harbour/events"))
    assert shown == f"postgresql://{user}:***@harbour/events"

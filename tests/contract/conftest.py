"""A store on each engine in turn, for what must be the same on all; `--store` chooses one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from psycopg.conninfo import make_conninfo

from projector.engines.ports import StoreEngine
from tests.engines import ENGINES, POSTGRES, Engine, url_of
from tests.fleet import set_sail
from tests.postgres import fresh_database, run
from tests.tables import project

_numbers: Final = count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--store")
        metafunc.parametrize("engine", [chosen] if chosen else list(ENGINES), indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine of the test's store."""
    chosen: str = request.param
    return ENGINES[chosen]


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """One database for all stores on PostgreSQL, each in a schema of its own, which is made in no time."""
    with fresh_database() as dsn:
        yield dsn


@pytest.fixture
def place(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the test's store is."""
    if engine is POSTGRES:
        dsn: str = request.getfixturevalue("database")
        schema = f"test_{next(_numbers)}"
        run(dsn, f"CREATE SCHEMA {schema}")
        yield url_of(make_conninfo(dsn, options=f"-csearch_path={schema}"))
    else:
        with engine.make_place(tmp_path) as place:
            yield place


@pytest.fixture
def store(engine: Engine, place: str) -> Iterator[StoreEngine]:
    """The test's store, empty at first."""
    with closing(engine.open(place, 10.0)) as store:
        yield store


@pytest.fixture
def dsn() -> Iterator[str]:
    """A database of the test's own on PostgreSQL."""
    with fresh_database() as dsn:
        yield dsn


@pytest.fixture
def fleet(store: StoreEngine) -> StoreEngine:
    """A store with 21 executions that have ended, three at sea, three runners, and rows of all of them."""
    set_sail(store, times=3)
    project(store)
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the test's archives go; it is not there yet."""
    return tmp_path / "deep" / "archive"

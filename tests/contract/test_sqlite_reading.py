"""Reading a store on SQLite: what is no store is refused and left alone, and lists are found by their indexes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from projector.engines.sqlite.datastore import APPLICATION_ID, SCHEMA_VERSION
from projector.engines.sqlite.reader import SqliteReader
from projector.errors import StoreError
from projector.execution_filter import ExecutionFilter
from projector.execution_selection import selection
from projector.execution_status import Phase
from projector.failures import fingerprint
from projector.projections import executions
from tests.histories import DAWN, REQUESTED, SURVEY, VOYAGE, failed
from tests.statuses import given_history
from tests.store_processes import open_sqlite
from tests.tables import make_database

MANY: Final = 10_000


@pytest.mark.parametrize(
    ("make", "refusal", "words"),
    [
        (lambda path: None, "StoreMissing", "there is no event store at .* yet"),
        (lambda path: path.mkdir(), "StoreError", "is a folder"),
        (lambda path: path.touch(), "StoreForeign", "is an empty file, not an event store"),
        (lambda path: path.write_text("Dear diary, " * 100), "StoreForeign", "is not an SQLite database"),
        (
            lambda path: make_database(path, "CREATE TABLE recipes (name)"),
            "StoreForeign",
            "a database of something else",
        ),
        (
            lambda path: make_database(
                path, f"PRAGMA application_id={APPLICATION_ID}", f"PRAGMA user_version={SCHEMA_VERSION + 1}"
            ),
            "StoreTooNew",
            "install the newer version",
        ),
    ],
    ids=["nothing", "a folder", "an empty file", "a letter", "recipes", "a newer store"],
)
async def test_a_place_without_a_store_of_ours_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], object], refusal: str, words: str
) -> None:
    path = tmp_path / "store.db"
    make(path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}
    with pytest.raises(StoreError, match=words) as refused:
        await SqliteReader(path).open()
    assert type(refused.value).__name__ == refusal
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()} == before
    async with asyncio.timeout(5):  # its thread ends, or the process never would
        while any(not thread.daemon and "connection" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0.01)


# --- ten thousand executions ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The tables of a store with ten thousand executions: of a thousand sessions, and every hundredth has failed."""
    place = tmp_path_factory.mktemp("fleet") / "store.db"
    well, ill = given_history(*VOYAGE), given_history(REQUESTED, failed())
    with closing(open_sqlite(str(place))) as store, store.database.transaction(commit=True) as cursor:
        cursor.executemany(
            executions.UPSERT,
            (
                executions.row(
                    (ill if number % 100 == 0 else well).model_copy(
                        update={
                            "execution_id": f"{SURVEY}-{number}",
                            "session_id": f"reef-{number % 1000}",
                            "first_position": number,
                            "finished_at": DAWN + timedelta(seconds=number),
                        }
                    )
                )
                for number in range(1, MANY + 1)
            ),
        )
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("SELECT count(*) FROM executions").fetchone() == (MANY,)
        yield connection


def steps_of(connection: sqlite3.Connection, chosen: ExecutionFilter) -> int:
    """How much SQLite does for a list, in thousands of instructions of its machine."""
    steps = 0

    def one() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(one, 1000)
    try:
        connection.execute(*selection(chosen)).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


CAUSE: Final = fingerprint(failed().failure)
LATELY: Final = DAWN + timedelta(seconds=MANY - 50)


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (ExecutionFilter(), "executions_by_age (first_position<?)"),
        (ExecutionFilter(after="100"), "executions_by_age (first_position<?)"),
        (ExecutionFilter(phase=Phase.FAILED), "executions_by_phase (phase=? AND first_position<?)"),
        (ExecutionFilter(code="E401"), "executions_by_code (code=? AND first_position<?)"),
        (ExecutionFilter(category="runner_lost"), "executions_by_code (code=? AND first_position<?)"),
        (ExecutionFilter(session="reef-7"), "executions_by_session (session_id=? AND first_position<?)"),
        (ExecutionFilter(cause=CAUSE), "executions_by_cause (fingerprint=? AND first_position<?)"),
        (ExecutionFilter(cause=CAUSE, code="E401", phase=Phase.FAILED), "executions_by_"),
        (ExecutionFilter(agent="harbour:pilot"), "executions_by_agent (agent=? AND first_position<?)"),
        (ExecutionFilter(finished_since=LATELY), "executions_by_end (finished_at>?"),
        (ExecutionFilter(finished_since=LATELY, code="E401"), "executions_by_"),
        (ExecutionFilter(session="reef-7", phase=Phase.COMPLETED), "executions_by_"),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_a_list_seeks_in_an_index_and_looks_at_few_rows(
    fleet: sqlite3.Connection, chosen: ExecutionFilter, index: str
) -> None:
    statement, parameters = selection(chosen)
    plan = [row[3] for row in fleet.execute("EXPLAIN QUERY PLAN " + statement, parameters)]
    assert plan[0].startswith("SEARCH executions USING INDEX " + index), plan
    assert steps_of(fleet, chosen) < 20, "a look at every row takes more than a hundred"


def test_a_look_at_every_row_would_be_noticed(fleet: sqlite3.Connection) -> None:
    assert steps_of(fleet, ExecutionFilter(finished_until=DAWN + timedelta(seconds=2))) > 20

"""No text makes a list's statement do anything but read our tables: SQLite itself is asked, at every statement."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from projector.engines.sqlite.reader import SqliteReader
from projector.envelope import execution_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.execution_filter import ExecutionFilter
from projector.queries import Queries
from tests.fleet import set_sail
from tests.histories import VOYAGE, news
from tests.store_processes import open_sqlite
from tests.tables import project

MANY: Final = 10_000
TABLES: Final = frozenset(
    ("executions", "failure_groups", "runners", "parked", "tracking", "stored_events", "event_ids")
)
FUNCTIONS: Final = frozenset(("coalesce", "max"))
PARTS: Final = (
    *(
        "'",
        '"',
        "`",
        ";",
        "--",
        "/*",
        "*/",
        "\\",
        "%",
        "_",
        "?",
        ":phase",
        "@x",
        "$x",
        "||",
        "\n",
        "\0",
        "\udcff",
        "\N{WHALE}",
    ),
    *(" OR 1=1", " UNION SELECT sql FROM sqlite_master", "; DROP TABLE executions", "; ATTACH DATABASE 'x' AS y"),
    *(
        "; PRAGMA writable_schema=1",
        "load_extension('x')",
        "writefile('x', 'y')",
        "reef-",
        "FAILED",
        "E401",
        "0",
        "1",
        "9" * 18,
    ),
)
Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


def only_reads(refused: list[tuple[Any, ...]]) -> Authorizer:
    """Lets reads of our tables through, and denies and notes all else."""

    def authorize(action: int, first: str | None, second: str | None, database: str | None, within: str | None) -> int:
        is_well = (
            action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_READ and first in TABLES)
            or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FUNCTIONS)
        )
        if is_well:
            return sqlite3.SQLITE_OK
        refused.append((action, first, second, database, within))
        return sqlite3.SQLITE_DENY

    return authorize


async def reader_with(path: Path, refused: list[tuple[Any, ...]]) -> SqliteReader:
    """A reader that is open, and whose connection asks the authorizer."""
    reader = SqliteReader(path)
    await reader.open()
    assert reader._connection is not None
    await reader._connection.set_authorizer(only_reads(refused))
    return reader


class Opened:
    """The Reader port over one that is open already."""

    def __init__(self, reader: SqliteReader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def open(self) -> None:
        """It is."""


def odd_text(dice: random.Random) -> str:
    return "".join(dice.choice(PARTS) for _ in range(dice.randint(0, 4)))


async def test_ten_thousand_filters_read_our_tables_and_do_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_sqlite(str(path))
    store.append(execution_stream("reef"), news(*VOYAGE))
    set_sail(store, times=1)
    project(store)
    dice, refused, outcomes = random.Random(1797), list[tuple[Any, ...]](), Counter[str]()
    # Most texts cannot be a phase, a code, a cause or a cursor: those are tried, but not so often.
    names = ("phase", "code", "category", "cause", "after", *["session", "agent"] * 8)

    async def ask(what: str, question: Awaitable[object]) -> None:
        try:
            await question
            outcomes[what] += 1
        except (InputRejected, ExecutionNotFound):
            outcomes["refused"] += 1

    async def listed(queries: Queries, chosen: dict[str, Any]) -> None:
        await queries.executions(ExecutionFilter.parse(**chosen))

    try:
        async with Queries(Opened(await reader_with(path, refused))) as queries:
            for _ in range(MANY):
                chosen = {name: odd_text(dice) for name in dice.sample(names, dice.choice((1, 1, 2)))}
                await ask("listed", listed(queries, chosen | {"limit": dice.randint(1, 500)}))
                if dice.random() < 0.1:
                    await ask("runners", queries.runners(odd_text(dice)))
                    await ask("one", queries.execution(odd_text(dice)))
            assert len((await queries.executions(ExecutionFilter())).items) > 5, "all is still there"
    finally:
        store.close()
    assert refused == []
    assert outcomes["listed"] > MANY / 5 and outcomes["runners"] > 0 and outcomes["refused"] > 0, outcomes


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE executions", "SELECT sql FROM sqlite_master", "PRAGMA writable_schema=1", "DELETE FROM executions"],
)
async def test_what_is_more_than_a_read_would_be_noticed(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "store.db"
    open_sqlite(str(path)).close()
    refused: list[tuple[Any, ...]] = []
    reader = await reader_with(path, refused)
    try:
        with pytest.raises(Exception, match=r"not authorized|prohibited"):
            await reader.fetch(statement)
    finally:
        await reader.close()
    assert refused

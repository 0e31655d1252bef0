"""Reads of a PostgreSQL store for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from psycopg.conninfo import make_conninfo

from projector.engines.postgres.address import Address
from projector.engines.postgres.reader import PostgresReader
from projector.engines.postgres.schema import SCHEMA_VERSION
from projector.envelope import RUNNER_STREAMS
from projector.errors import InputRejected, StoreClosed, StoreForeign, StoreMissing, StoreTooNew, StoreUnavailable
from projector.events import RunnerReady
from projector.execution_status import FOLD_VERSION
from projector.projecting.projection_runner import ProjectionRunner
from tests.contract.event_store_contract import REEF, SHIP, WRECK
from tests.histories import QUEUE, REMARK, SURVEY, VOYAGE, news
from tests.postgres import run
from tests.postgres_processes import open_postgres


@pytest.fixture
async def reader(dsn: str) -> AsyncIterator[PostgresReader]:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(*VOYAGE))
        store.append(SHIP, news(RunnerReady(task_queue=QUEUE)))
        store.append(WRECK, news(REMARK))
        made = store.reader()
        await made.open()
        yield made
        await made.close()


async def test_events_are_read_as_the_store_reads_them(dsn: str, reader: PostgresReader) -> None:
    with closing(open_postgres(dsn)) as store:
        assert await reader.stream(REEF, 0) == store.recorder.select_events(REEF)
        assert await reader.stream(REEF, 10) == store.recorder.select_events(REEF, gt=10)
        assert await reader.stream(REEF, 10**30) == []
        assert await reader.head() == store.head()
        assert [event.originator_id for event in await reader.streams(RUNNER_STREAMS, 0)] == [SHIP]
        assert [event.id for event in await reader.streams("execution/", 11)] == [12, 14]
        assert await reader.streams("execution/", 10**30) == []


async def test_an_execution_is_read_with_what_its_row_lacks(dsn: str, reader: PostgresReader) -> None:
    row, events = await reader.current(SURVEY, FOLD_VERSION)
    assert row is None
    assert events == await reader.stream(REEF, 0)
    assert await reader.current("nobody", FOLD_VERSION) == (None, [])
    with closing(open_postgres(dsn)) as store:
        ProjectionRunner(store, store.database).catch_up(10)
        row, events = await reader.current(SURVEY, FOLD_VERSION)
        assert row == (await reader.fetch("SELECT status FROM executions WHERE execution_id = ?", (SURVEY,)))[0][0]
        assert [event.originator_version for event in events] == [11, 12]
        assert await reader.current(SURVEY, FOLD_VERSION + 1) == (None, await reader.stream(REEF, 0))


async def test_rows_are_read_in_the_shared_words(reader: PostgresReader) -> None:
    assert await reader.fetch("SELECT ? || ?", ("a", "b")) == [("ab",)]
    rows = await reader.fetch(
        "SELECT event_id FROM event_ids WHERE originator_id = :stream AND event_id LIKE '%end%'", {"stream": REEF}
    )
    assert rows == [("end",)]
    assert await reader.fetch("SELECT position FROM executions") == []


async def test_nothing_can_be_written(reader: PostgresReader) -> None:
    with pytest.raises(StoreUnavailable, match="read-only"):
        await reader.fetch("DELETE FROM event_ids RETURNING event_id")
    assert len(await reader.fetch("SELECT * FROM event_ids")) == 14


async def test_many_may_read_at_once(reader: PostgresReader) -> None:
    answers = await asyncio.gather(*(reader.fetch("SELECT ?", (number,)) for number in range(50)))
    assert answers == [[(number,)] for number in range(50)]


async def test_a_read_that_was_given_up_does_not_spoil_the_next(reader: PostgresReader) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.fetch("SELECT pg_sleep(60)")
    assert await reader.head() == 14


async def test_a_connection_that_was_ended_is_made_anew_without_a_word(dsn: str, reader: PostgresReader) -> None:
    for _ in range(3):
        ended = run(
            dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert ended
        answers = await asyncio.gather(*(reader.head() for _ in range(5)))
        assert answers == [14] * 5


@pytest.mark.parametrize("odd", ["a\0b", "half of a whale: \ud83d"])
async def test_a_text_that_no_row_can_hold_is_refused(reader: PostgresReader, odd: str) -> None:
    with pytest.raises(InputRejected, match="cannot be looked for"):
        await reader.fetch("SELECT status FROM executions WHERE execution_id = ?", (odd,))
    assert await reader.head() == 14


async def test_a_reader_that_is_closed_says_so(reader: PostgresReader) -> None:
    await reader.close()
    await reader.close()
    with pytest.raises(StoreClosed, match="is not open"):
        await reader.head()
    await reader.open()
    assert await reader.head() == 14


async def test_what_is_no_store_is_not_opened(dsn: str) -> None:
    reader = PostgresReader(Address.parse(dsn))
    with pytest.raises(StoreMissing, match="there is no event store at postgresql://"):
        await reader.open()
    run(dsn, "CREATE TABLE stored_events (recipe text)")
    with pytest.raises(StoreForeign, match="has tables of something else"):
        await reader.open()
    run(dsn, f"CREATE TABLE execution_status_schema AS SELECT {SCHEMA_VERSION + 1} AS version")
    with pytest.raises(StoreTooNew, match="install the newer version"):
        await reader.open()
    for wrong, words in (({"dbname": "atlantis"}, "does not exist"), ({"host": "/no/folder"}, "at this moment")):
        with pytest.raises(Exception, match=words):
            await PostgresReader(Address.parse(make_conninfo(dsn, **wrong))).open()

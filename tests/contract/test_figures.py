"""Counts for whoever watches an installation: those of the statuses, on every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from projector import figures
from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.event_store import Append
from projector.events import ConditionKind, ConditionObserved
from projector.figures import Ending, Figures
from projector.queries import Queries
from tests.engines import SQLITE
from tests.fleet import set_sail
from tests.histories import ATTEMPT, DAWN, REQUESTED, SHIPWRECK, news
from tests.tables import project

EMPTY = Figures(0, 0, {}, {}, {}, {}, None, 0, {}, None)


@pytest.fixture
async def queries(store: StoreEngine) -> AsyncIterator[Queries]:
    async with Queries(store.reader()) as queries:
        yield queries


async def test_a_store_without_events_has_none(queries: Queries) -> None:
    assert await queries.figures() == EMPTY
    assert await queries.endings(DAWN, 0, 10) == ()


async def test_they_are_what_the_statuses_say(fleet: StoreEngine, queries: Queries) -> None:
    found = await queries.figures()
    statuses = (await queries.executions()).items

    assert found.phases == Counter(status.phase.value for status in statuses)
    assert found.codes == Counter(status.failure.code for status in statuses if status.failure)
    assert found.runners == {"ready": 1, "startup_failed": 1, "stopped": 1}
    assert (found.head, found.position, found.parked) == (fleet.head(), fleet.head(), 0)
    assert found.newest_end == max(status.finished_at for status in statuses if status.finished_at)


async def test_conditions_count_while_their_execution_is_open(store: StoreEngine, queries: Queries) -> None:
    stalled = ConditionObserved(kind=ConditionKind.STALLED, reason="no wind")
    for name, end in (("becalmed", ()), ("becalmed-2", ()), ("wrecked", SHIPWRECK[-1:])):
        store.append(execution_stream(name), news(REQUESTED, ATTEMPT, stalled, *end))
    project(store)
    found = await queries.figures()
    assert found.conditions == {"stalled": 2}
    assert found.conditions_since == {"stalled": DAWN + timedelta(seconds=2)}


async def test_who_has_been_silent_longest_is_found(store: StoreEngine, queries: Queries) -> None:
    store.append(execution_stream("silent"), news(REQUESTED, ATTEMPT))
    store.append(execution_stream("talking"), news(*SHIPWRECK[:-2]))
    store.append(execution_stream("wrecked"), news(*SHIPWRECK))
    project(store)
    assert (await queries.figures()).quiet_since == DAWN + timedelta(seconds=1)


async def test_endings_come_once_by_position(fleet: StoreEngine, queries: Queries) -> None:
    ended = {status.execution_id: status for status in (await queries.executions()).items if status.finished_at}
    seen: list[Ending] = []
    after = 0
    while page := await queries.endings(DAWN, after, 5):
        seen += page
        after = page[-1].position
    assert [ending.position for ending in seen] == sorted(status.position for status in ended.values())
    for ending in seen:
        status = ended[ending.execution_id]
        code = status.failure.code if status.failure else ""
        assert (ending.phase, ending.code, ending.finished_at) == (status.phase, code, status.finished_at)
        assert ending.before_end_at == status.before_end_at is not None
    assert await queries.endings(DAWN + timedelta(days=1), 0, 5) == ()


async def test_a_store_tells_how_long_each_append_took(store: StoreEngine) -> None:
    told: list[tuple[int, float]] = []
    store.append(execution_stream("untold"), news(REQUESTED))
    store.on_append = lambda events, seconds: told.append((events, seconds))
    wanted = [Append(execution_stream(name), tuple(news(*SHIPWRECK))) for name in ("wrecked", "wrecked-too")]
    store.append_batch(wanted)
    store.append(execution_stream("wrecked"), news(REQUESTED))
    set_sail(store)
    assert [events for events, _ in told[:2]] == [2 * len(SHIPWRECK), 1]
    assert all(seconds > 0 for _, seconds in told)


def test_no_question_reads_the_rows_of_what_has_ended_or_any_event(tmp_path: Path) -> None:
    questions = {name: getattr(figures, name) for name in dir(figures) if name.startswith("SELECT_")}
    assert len(questions) >= 10
    known = {"since": "2026", "after": 0, "limit": 1}
    with SQLITE.make_place(tmp_path) as place, closing(SQLITE.open(place, 10.0)) as store:
        for name, question in questions.items():
            with store.database.transaction(commit=False) as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {question}", known if ":since" in question else ())
                steps = [tuple(row)[3] for row in cursor.fetchall()]
            for step in steps:
                assert "stored_events" not in step, name
                assert not step.startswith("SCAN executions") or "COVERING INDEX" in step, name

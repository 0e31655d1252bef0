"""The read side: right without a projector, paged without gap or repeat, and never able to write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream, runner_stream
from projector.errors import ExecutionNotFound, InputRejected, StoreError
from projector.events import ExecutionRequested, RunnerReady, RunnerStarting, RunnerStopped
from projector.execution_filter import MOST_ROWS, ExecutionFilter
from projector.execution_status import ExecutionStatus, Phase
from projector.failures import fingerprint
from projector.projections.runners import RunnerState
from projector.queries import Queries
from tests.engines import Engine
from tests.fleet import RUNNERS, STORIES, set_sail
from tests.histories import (
    AGENT,
    ATTEMPT,
    COMPLETED,
    DAWN,
    QUEUE,
    REMARK,
    REQUESTED,
    SHIPWRECK,
    SURVEY,
    VOYAGE,
    failed,
    new,
    news,
)
from tests.processes import child
from tests.store_processes import hold_lock
from tests.tables import folded, project, rows

REEF = execution_stream(SURVEY)


@pytest.fixture
async def queries(store: StoreEngine) -> AsyncIterator[Queries]:
    async with Queries(store.reader()) as queries:
        yield queries


CAUSE = fingerprint(failed().failure)


def failed_of(status: ExecutionStatus, cause: str) -> bool:
    return status.failure is not None and fingerprint(status.failure) == cause


async def listed(queries: Queries, **chosen: str | int | None) -> list[str]:
    """The ids that a filter lets through."""
    page = await queries.executions(ExecutionFilter.parse(**chosen))  # type: ignore[arg-type]
    return [status.execution_id for status in page.items]


def newest_first(statuses: dict[str, ExecutionStatus], chosen: Callable[[ExecutionStatus], bool]) -> list[str]:
    kept = [status for status in statuses.values() if chosen(status)]
    return [status.execution_id for status in sorted(kept, key=lambda status: -status.first_position)]


# --- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "keeps"),
    [
        ({}, lambda status: True),
        ({"phase": "FAILED"}, lambda status: status.phase is Phase.FAILED),
        ({"phase": "failed"}, lambda status: status.phase is Phase.FAILED),
        ({"phase": "IN_PROGRESS"}, lambda status: status.phase is Phase.IN_PROGRESS),
        ({"code": "e102"}, lambda status: status.failure is not None and status.failure.code == "E102"),
        ({"category": "agent_failed"}, lambda status: status.failure is not None and status.failure.code == "E401"),
        ({"session": "reefs"}, lambda status: status.session_id == "reefs"),
        ({"session": "REEFS"}, lambda status: False),
        ({"category": "agent_failed", "code": "E102"}, lambda status: False),
        ({"agent": AGENT}, lambda status: True),
        ({"agent": AGENT[:-1]}, lambda status: False),
        ({"cause": CAUSE}, lambda status: failed_of(status, CAUSE)),
        ({"cause": CAUSE, "phase": "FAILED", "code": "E401", "agent": AGENT}, lambda status: failed_of(status, CAUSE)),
        ({"cause": "0" * 12}, lambda status: False),
        (
            {"category": "runner_unavailable", "phase": "FAILED"},
            lambda status: status.failure is not None and status.failure.code == "E102",
        ),
        ({"phase": "COMPLETED", "code": "E401"}, lambda status: False),
        (
            {"phase": "FAILED", "code": "E401", "session": "reefs"},
            lambda status: status.failure is not None and status.failure.code == "E401",
        ),
    ],
)
async def test_a_filter_lets_through_what_it_says_newest_first(
    store: StoreEngine, queries: Queries, chosen: dict[str, str], keeps: Callable[[ExecutionStatus], bool]
) -> None:
    set_sail(store, times=3)
    project(store)
    assert await listed(queries, **chosen) == newest_first(folded(store), keeps)


def at(second: float) -> datetime:
    return DAWN + timedelta(seconds=second)


@pytest.mark.parametrize(
    ("since", "until"), [(3, None), (None, 4), (3, 4), (4, 5), (0, 3600), (3600, 7200), (3.5, None), (None, 3.5)]
)
@pytest.mark.parametrize("code", [None, "E102", "E401"])
async def test_executions_are_told_by_when_they_ended(
    store: StoreEngine, queries: Queries, since: float | None, until: float | None, code: str | None
) -> None:
    """What ended just then is in for `since` and out for `until`; what has not ended is never in."""
    set_sail(store, times=3)
    project(store)
    chosen = ExecutionFilter(
        code=code,
        finished_since=None if since is None else at(since),
        finished_until=None if until is None else at(until),
    )

    def keeps(status: ExecutionStatus) -> bool:
        end = status.finished_at
        return (
            end is not None
            and (since is None or end >= at(since))
            and (until is None or end < at(until))
            and (code is None or (status.failure is not None and status.failure.code == code))
        )

    page = await queries.executions(chosen)
    assert [status.execution_id for status in page.items] == newest_first(folded(store), keeps)


@pytest.mark.parametrize("hours", [5.5, -11])
async def test_a_moment_of_another_zone_is_the_same_moment(store: StoreEngine, queries: Queries, hours: float) -> None:
    set_sail(store)
    project(store)
    there = at(4).astimezone(timezone(timedelta(hours=hours)))
    here = await queries.executions(ExecutionFilter(finished_since=at(4)))
    assert here.items and await queries.executions(ExecutionFilter(finished_since=there)) == here


async def test_a_fraction_of_a_second_counts(store: StoreEngine, queries: Queries) -> None:
    for second in (1, 1.000001, 1.5, 2):
        end = [new(REQUESTED), new(COMPLETED, seconds=second)]
        store.append(execution_stream(f"boat-{second}"), end)
    project(store)
    page = await queries.executions(ExecutionFilter(finished_since=at(1.000001), finished_until=at(2)))
    assert [status.execution_id for status in page.items] == ["boat-1.5", "boat-1.000001"]


async def test_pages_of_what_ended_in_some_time_have_neither_gap_nor_repeat(
    store: StoreEngine, queries: Queries
) -> None:
    set_sail(store, times=4)
    project(store)
    chosen = ExecutionFilter(finished_since=at(3), limit=3)
    seen: list[str] = []
    for _ in range(100):
        page = await queries.executions(chosen)
        seen += [status.execution_id for status in page.items]
        if page.next_cursor is None:
            break
        chosen = replace(chosen, after=page.next_cursor)
    assert seen == newest_first(
        folded(store), lambda status: status.finished_at is not None and status.finished_at >= at(3)
    )
    assert len(seen) > 2 * chosen.limit


async def test_a_list_shows_the_whole_status(store: StoreEngine, queries: Queries) -> None:
    set_sail(store, times=2)
    project(store)
    page = await queries.executions()
    assert {status.execution_id: status for status in page.items} == folded(store)
    assert page.next_cursor is None


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_have_neither_gap_nor_repeat_while_new_executions_arrive(
    store: StoreEngine, queries: Queries, limit: int
) -> None:
    set_sail(store, times=3)
    project(store)
    there_at_first = newest_first(folded(store), lambda status: True)
    seen: list[str] = []
    cursor: str | None = None
    for page_number in range(100):
        page = await queries.executions(ExecutionFilter.parse(limit=limit, after=cursor))
        seen += [status.execution_id for status in page.items]
        store.append(execution_stream(f"late-{page_number}"), news(*VOYAGE))
        project(store)
        if (cursor := page.next_cursor) is None:
            break
    assert seen == there_at_first


async def test_the_last_page_is_known_to_be_the_last(store: StoreEngine, queries: Queries) -> None:
    for number in range(4):
        store.append(execution_stream(f"boat-{number}"), news(REQUESTED))
    project(store)
    first = await queries.executions(ExecutionFilter(limit=2))
    assert first.next_cursor is not None
    second = await queries.executions(ExecutionFilter(limit=2, after=first.next_cursor))
    assert [status.execution_id for status in second.items] == ["boat-1", "boat-0"]
    assert second.next_cursor is None


NASTY = ["' OR '1'='1", "'; DROP TABLE executions; --", "%", "reef_", ":phase", "?", "\\", '"', "\N{WHALE}" * 50]


@pytest.mark.parametrize("text", NASTY)
async def test_a_filter_that_looks_like_a_statement_is_only_a_text(
    store: StoreEngine, queries: Queries, text: str
) -> None:
    store.append(REEF, news(REQUESTED))
    store.append(execution_stream("nasty"), news(REQUESTED.model_copy(update={"session_id": text})))
    project(store)
    assert await listed(queries, session=text) == ["nasty"]
    assert len(await listed(queries)) == 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"phase": "SUNK"}, r"'SUNK' is not a phase: choose one of PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED"),
        ({"phase": ""}, "'' is not a phase"),
        ({"code": "E000"}, "'E000' is not a failure code: `execution-status codes` lists them"),
        ({"category": "bad_luck"}, "'bad_luck' is not a failure category"),
        ({"session": "\udcff"}, "cannot be a session"),
        ({"agent": "harbour\0"}, "cannot be an agent"),
        *(
            ({"cause": text}, "is not a cause: take a group's fingerprint")
            for text in ("", "x" * 12, "a" * 13, "A" * 12)
        ),
        (
            {"finished_since": DAWN, "finished_until": DAWN},
            "nothing can have ended in that time: give --since a moment",
        ),
        ({"limit": 0}, f"0 is not a limit: choose a number from 1 to {MOST_ROWS}"),
        ({"limit": -1}, "-1 is not a limit"),
        ({"limit": MOST_ROWS + 1}, "is not a limit"),
        ({"after": "0"}, "'0' is not a cursor: take the one that the page before it ended with"),
        ({"after": "-1"}, "is not a cursor"),
        ({"after": "1.5"}, "is not a cursor"),
        ({"after": "\N{ARABIC-INDIC DIGIT SEVEN}"}, "is not a cursor"),
        ({"after": "9" * 5000}, "is not a cursor"),
        ({"after": "1\n"}, "is not a cursor"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(typed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputRejected, match=words):
        ExecutionFilter.parse(**typed)


async def test_failures_are_listed_by_cause_the_latest_first(store: StoreEngine, queries: Queries) -> None:
    store.append(execution_stream("one"), news(REQUESTED, failed(message="the lead line parted at 3 fathoms")))
    store.append(execution_stream("two"), news(REQUESTED, failed(type="OSError", message="no chart")))
    store.append(execution_stream("three"), news(REQUESTED, failed(message="the lead line parted at 12 fathoms")))
    project(store)
    groups = await queries.failure_groups()
    assert [(group.cause, group.executions, group.last_execution_id) for group in groups] == [
        ("ValueError", 2, "three"),
        ("OSError", 1, "two"),
    ]
    assert groups[0].message == "ValueError: the lead line parted at 12 fathoms"
    assert len(await queries.failure_groups(limit=1)) == 1


# --- one execution and the runners, as of now ----------------------------------------------------------------------


async def test_an_execution_is_right_without_any_projector(store: StoreEngine, queries: Queries) -> None:
    for event in news(*SHIPWRECK):
        store.append(REEF, [event])
        assert await queries.execution(SURVEY) == folded(store)[SURVEY]


async def test_an_execution_is_its_row_and_what_came_since(store: StoreEngine, queries: Queries) -> None:
    store.append(REEF, news(*VOYAGE[:5]))
    project(store)
    store.append(REEF, news(*VOYAGE[5:]))
    assert (await queries.execution(SURVEY)).phase is Phase.COMPLETED
    assert await queries.execution(SURVEY) == folded(store)[SURVEY]
    assert await listed(queries, phase="COMPLETED") == [], "lists are as fresh as the projector"
    lag = await queries.lag()
    assert (lag.position, lag.head, lag.events) == (5, 12, 7)


async def test_an_execution_that_is_parked_is_still_told_to_its_end(store: StoreEngine, queries: Queries) -> None:
    store.append(REEF, [new(REQUESTED), new(ATTEMPT, attempt=2**70), new(REMARK), new(COMPLETED)])
    project(store)
    status = await queries.execution(SURVEY)
    assert (status.phase, status.version, status.messages) == (Phase.COMPLETED, 4, 1)
    assert status.condition is not None and "the projector could not take event 2" in status.condition.reason


async def test_an_unknown_execution_is_not_found(queries: Queries) -> None:
    with pytest.raises(ExecutionNotFound, match="there is no execution 'the-flying-dutchman' in this store"):
        await queries.execution("the-flying-dutchman")


@pytest.mark.parametrize(
    "malformed", ["", "a/b", "x" * 201, "boat\n", "bo at", "b\N{LATIN SMALL LETTER O WITH STROKE}at", "'; --"]
)
async def test_a_malformed_id_is_refused(queries: Queries, malformed: str) -> None:
    with pytest.raises(InputRejected, match="is not an execution id: use 1 to 200 letters, digits and the characters"):
        await queries.execution(malformed)


async def test_runners_are_right_without_any_projector(store: StoreEngine, queries: Queries) -> None:
    for number, events in enumerate(RUNNERS):
        store.append(runner_stream(f"runner-{number}"), news(*events))
    runners = await queries.runners()
    assert [(runner.runner_id, runner.state) for runner in runners] == [
        ("runner-2", RunnerState.STOPPED),
        ("runner-1", RunnerState.STARTUP_FAILED),
        ("runner-0", RunnerState.READY),
    ]
    project(store)
    assert await queries.runners() == runners
    store.append(runner_stream("runner-0"), news(RunnerStopped(reason="SIGTERM")))
    assert [runner.runner_id for runner in await queries.runners()] == ["runner-0", "runner-2", "runner-1"]
    assert (await queries.runners())[0].state is RunnerState.STOPPED


async def test_runners_are_told_by_queue_also_when_they_moved_to_another(store: StoreEngine, queries: Queries) -> None:
    store.append(runner_stream("polaris"), news(RunnerStarting(task_queue=QUEUE)))
    project(store)
    store.append(runner_stream("polaris"), news(RunnerReady(task_queue="night")))
    assert await queries.runners(QUEUE) == ()
    assert [runner.runner_id for runner in await queries.runners("night")] == ["polaris"]
    assert await queries.runners("'; --") == ()


async def test_streams_whose_names_begin_alike_are_not_runners(store: StoreEngine, queries: Queries) -> None:
    for stream in ("runner", "runner.", "runner0/x", "runnerx", "runnes"):
        store.append(stream, news(RunnerReady(task_queue=QUEUE)))
    store.append(execution_stream("runner"), news(ExecutionRequested(agent=AGENT, task_queue=QUEUE)))
    assert await queries.runners() == ()


# --- only reading --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", ["DELETE FROM executions", "INSERT INTO parked VALUES ('x', 1, 'y')", "DROP TABLE runners"]
)
async def test_its_connection_cannot_write(store: StoreEngine, statement: str) -> None:
    store.append(REEF, news(REQUESTED))
    project(store)
    before, reader = rows(store), store.reader()
    await reader.open()
    try:
        with pytest.raises(StoreError, match=r"read-?only"):
            await reader.fetch(statement)
    finally:
        await reader.close()
    assert rows(store) == before


async def test_reading_waits_for_no_lock(engine: Engine, place: str, store: StoreEngine, queries: Queries) -> None:
    store.append(REEF, news(*VOYAGE))
    with child(hold_lock, engine.locked, place) as keeper:
        assert keeper.hear() == "locked"
        assert (await queries.execution(SURVEY)).phase is Phase.COMPLETED
        async with Queries(store.reader()) as others:
            assert (await others.lag()).head == len(VOYAGE)


async def test_closing_twice_does_no_harm(store: StoreEngine) -> None:
    queries = await Queries(store.reader()).__aenter__()
    await queries.close()
    await queries.close()


async def test_a_writer_s_events_are_seen_by_a_reader_that_was_there_before(
    store: StoreEngine, queries: Queries
) -> None:
    assert (await queries.lag()).head == 0
    set_sail(store)
    assert (await queries.lag()).head == store.head()
    assert len(STORIES) == len({name for name in folded(store)})

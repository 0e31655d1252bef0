"""Open executions and runners in memory: always what the store says, wherever the query tables stand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import RecordedEvent, execution_stream, runner_stream
from projector.events import ConditionKind, RunnerExited, RunnerReady, RunnerStarting
from projector.execution_status import ExecutionStatus
from projector.live_statuses import LiveStatuses
from projector.projections.runners import Runner, RunnerState
from projector.queries import Queries
from tests.engines import Engine
from tests.fleet import set_sail
from tests.histories import (
    AGROUND,
    ATTEMPT,
    AWAITED,
    COMPLETED,
    QUEUE,
    REMARK,
    REQUESTED,
    RESULT,
    SHIPWRECK,
    STARTED,
    SURVEY,
    VOYAGE,
    new,
    news,
)
from tests.processes import child
from tests.store_processes import hold_lock
from tests.tables import change, folded, project

REEF: Final = execution_stream(SURVEY)
POISON: Final = new(ATTEMPT, attempt=2**70)
"""An event that no row can hold: the projector parks its stream."""


async def fresh(store: StoreEngine) -> LiveStatuses:
    """Statuses that have just been taken up."""
    live = LiveStatuses(store)
    await live.refresh()
    return live


def open_in(store: StoreEngine) -> list[ExecutionStatus]:
    """The executions that have not ended, as the store itself says, the oldest first."""
    statuses = [status for status in folded(store).values() if not status.phase.is_terminal]
    return sorted(statuses, key=lambda status: status.first_position)


async def runners_in(store: StoreEngine) -> list[Runner]:
    async with Queries(store.reader()) as queries:
        return list(await queries.runners())


async def agrees(live: LiveStatuses, store: StoreEngine) -> bool:
    assert list(live.open_executions()) == open_in(store)
    assert list(live.runners()) == await runners_in(store)
    assert live.position == store.head()
    return True


# --- where they begin ----------------------------------------------------------------------------------------------


async def test_an_empty_store_has_nothing_open(store: StoreEngine) -> None:
    live = LiveStatuses(store)
    assert not live.has_caught_up
    assert await live.refresh() == 0
    assert live.has_caught_up
    assert (live.open_executions(), live.runners(), live.position) == ([], [], 0)


async def test_without_any_projector_they_are_what_the_store_says(store: StoreEngine) -> None:
    set_sail(store, times=5)
    assert open_in(store), "or this would show nothing"
    assert await agrees(await fresh(store), store)


@pytest.mark.parametrize("projected", [0, 1, 7, 40, 10_000])
async def test_tables_that_are_behind_are_only_where_they_begin(store: StoreEngine, projected: int) -> None:
    set_sail(store, times=3, prefix="first-")
    runner = project(store)
    set_sail(store, times=3, prefix="second-")
    runner.catch_up(runner.position + projected)
    assert await agrees(await fresh(store), store)


async def test_rows_that_are_newer_than_the_tables_position_are_not_folded_twice(store: StoreEngine) -> None:
    set_sail(store, times=3)
    project(store)
    change(store, "DELETE FROM tracking WHERE application_name = 'projector'")
    change(store, "INSERT INTO tracking VALUES ('projector', 5)")
    assert await agrees(await fresh(store), store)


async def test_more_events_than_one_page_are_all_folded(store: StoreEngine) -> None:
    set_sail(store, times=40)
    assert store.head() > 2000
    assert await agrees(await fresh(store), store)


# --- what comes ----------------------------------------------------------------------------------------------------


async def test_each_refresh_folds_what_came_since(store: StoreEngine) -> None:
    live = await fresh(store)
    for event in news(*VOYAGE):
        store.append(REEF, [event])
        assert await live.refresh() == 1
        assert await agrees(live, store)
    assert await live.refresh() == 0


async def test_an_execution_that_ends_leaves_and_its_late_events_do_not_bring_it_back(store: StoreEngine) -> None:
    store.append(REEF, news(*SHIPWRECK[:-1]))
    live = await fresh(store)
    assert live.execution(SURVEY) == folded(store)[SURVEY]
    store.append(REEF, [new(SHIPWRECK[-1])])
    await live.refresh()
    assert live.execution(SURVEY) is None
    store.append(REEF, news(REMARK, AGROUND))
    await live.refresh()
    assert live.execution(SURVEY) is None
    assert await agrees(live, store)


async def test_an_end_beyond_the_tables_takes_it_out_from_the_beginning(store: StoreEngine) -> None:
    store.append(REEF, news(*VOYAGE[:5]))
    project(store)
    store.append(REEF, news(*VOYAGE[5:], REMARK))
    assert (await fresh(store)).open_executions() == []


async def test_an_end_that_cannot_be_read_is_one_too(store: StoreEngine) -> None:
    store.append(REEF, news(*VOYAGE[:5]))
    live = await fresh(store)
    store.append(REEF, [new(COMPLETED)])
    change(store, "UPDATE stored_events SET topic = 'ExecutionAbducted' WHERE originator_version = 6")
    await live.refresh()
    assert live.open_executions() == []
    project(store)
    assert (await fresh(store)).open_executions() == []


async def test_runners_are_found_by_id_and_by_queue_the_latest_to_change_first(store: StoreEngine) -> None:
    for name, queue in (("polaris", QUEUE), ("vega", "night-watch"), ("deneb", QUEUE)):
        store.append(runner_stream(name), news(RunnerStarting(task_queue=queue)))
    project(store)
    live = await fresh(store)
    store.append(runner_stream("polaris"), news(RunnerReady(task_queue=QUEUE, slots=8)))
    await live.refresh()
    assert [runner.runner_id for runner in live.runners()] == ["polaris", "deneb", "vega"]
    assert [runner.runner_id for runner in live.runners(QUEUE)] == ["polaris", "deneb"]
    polaris = live.runner("polaris")
    assert polaris is not None and (polaris.state, polaris.slots) == (RunnerState.READY, 8)
    assert live.runner("bellatrix") is None
    store.append(runner_stream("polaris"), news(RunnerReady(task_queue="night-watch")))
    await live.refresh()
    assert [runner.runner_id for runner in live.runners("night-watch")] == ["polaris", "vega"]


# --- rows that stand still -----------------------------------------------------------------------------------------


async def test_an_execution_whose_row_stands_still_is_as_the_store_says(store: StoreEngine) -> None:
    store.append(REEF, [new(REQUESTED), new(STARTED), POISON, new(REMARK)])
    project(store)
    live = await fresh(store)
    status = live.execution(SURVEY)
    assert status is not None and (status.version, status.messages) == (4, 1)
    store.append(REEF, [new(REMARK)])
    await live.refresh()
    assert await agrees(live, store)
    store.append(REEF, [new(COMPLETED)])
    await live.refresh()
    assert live.open_executions() == []


async def test_an_execution_that_never_got_a_row_is_open_all_the_same(store: StoreEngine) -> None:
    store.append(REEF, [POISON, new(REMARK)])
    project(store)
    live = await fresh(store)
    assert [status.execution_id for status in live.open_executions()] == [SURVEY]
    assert await agrees(live, store)


async def test_an_execution_that_ended_after_its_row_stood_still_is_not_open(store: StoreEngine) -> None:
    store.append(REEF, [new(REQUESTED), POISON, new(RESULT), new(COMPLETED)])
    project(store)
    assert (await fresh(store)).open_executions() == []


async def test_a_row_that_stands_still_while_they_are_followed_changes_nothing(store: StoreEngine) -> None:
    store.append(REEF, [new(REQUESTED), new(STARTED)])
    project(store)
    live = await fresh(store)
    store.append(REEF, [POISON, new(AWAITED)])
    project(store)
    await live.refresh()
    assert await agrees(live, store)


async def test_a_runner_whose_row_stands_still_is_as_the_store_says(store: StoreEngine) -> None:
    store.append(
        runner_stream("polaris"), news(RunnerStarting(task_queue=QUEUE, pid=2**70), RunnerReady(task_queue=QUEUE))
    )
    project(store)
    live = await fresh(store)
    assert [(runner.runner_id, runner.state) for runner in live.runners()] == [("polaris", RunnerState.READY)]
    store.append(runner_stream("polaris"), news(RunnerExited(exit_code=1)))
    await live.refresh()
    assert [runner.state for runner in live.runners(QUEUE)] == [RunnerState.EXITED]


# --- who listens ---------------------------------------------------------------------------------------------------


async def test_a_listener_hears_each_event_once_after_it_is_folded(store: StoreEngine) -> None:
    live = LiveStatuses(store)
    heard: list[tuple[RecordedEvent, int | None]] = []

    def listen(record: RecordedEvent) -> None:
        status = live.execution(SURVEY)
        heard.append((record, status.version if status else None))

    live.listen(listen)
    store.append(REEF, news(*VOYAGE))
    store.append(runner_stream("polaris"), news(RunnerReady(task_queue=QUEUE)))
    await live.refresh()
    assert [record for record, _ in heard] == store.tail(after=0)
    assert [version for _, version in heard] == [*range(1, len(VOYAGE)), None, None]
    await live.refresh()
    assert len(heard) == len(VOYAGE) + 1


async def test_what_the_tables_held_and_what_comes_after_an_end_is_not_news(store: StoreEngine) -> None:
    store.append(REEF, news(*VOYAGE[:4]))
    project(store)
    live = LiveStatuses(store)
    heard: list[str] = []
    live.listen(lambda record: heard.append(record.type))
    store.append(REEF, news(ATTEMPT, COMPLETED, REMARK))
    await live.refresh()
    assert heard == []
    store.append(execution_stream("second"), news(REQUESTED))
    await live.refresh()
    assert heard == ["ExecutionRequested"]


async def test_two_refreshes_at_once_fold_each_event_once(store: StoreEngine) -> None:
    set_sail(store, times=3)
    live = LiveStatuses(store)
    heard: list[int] = []
    live.listen(lambda record: heard.append(record.position))
    await asyncio.gather(live.refresh(), live.refresh(), live.refresh())
    assert len(heard) == len(set(heard))
    assert await agrees(live, store)


# --- being kept fresh ----------------------------------------------------------------------------------------------


async def _until_fresh(live: LiveStatuses, store: StoreEngine) -> None:
    async with asyncio.timeout(10):
        while live.position < store.head():
            await asyncio.sleep(0.01)


async def test_they_are_kept_fresh_until_told_to_stop(engine: Engine, store: StoreEngine, place: str) -> None:
    live = LiveStatuses(store)
    keeping = asyncio.create_task(live.keep_fresh(0.01))
    for event in news(*VOYAGE[:6]):
        store.append(REEF, [event])
        await _until_fresh(live, store)
        assert await agrees(live, store)
    with child(hold_lock, engine.locked, place) as keeper:
        assert keeper.hear() == "locked"
        assert await agrees(live, store), "reading waits for no lock"
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


async def test_the_conditions_of_an_open_execution_are_there(store: StoreEngine) -> None:
    store.append(REEF, news(REQUESTED, STARTED, AWAITED))
    live = await fresh(store)
    status = live.execution(SURVEY)
    assert status is not None
    assert [held.kind for held in status.conditions] == [ConditionKind.WAITING_FOR_RUNNER]
    store.append(REEF, news(ATTEMPT))
    await live.refresh()
    status = live.execution(SURVEY)
    assert status is not None and status.conditions == ()

"""Live streams: history and what follows are one sequence, from any position, through outages, up to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import RecordedEvent, execution_stream, runner_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.events import RunnerReady
from projector.execution_status import Phase, fold
from projector.streams import StatusChange, follow, follow_all
from tests.engines import Engine
from tests.fleet import set_sail
from tests.histories import ATTEMPT, COMPLETED, QUEUE, REMARK, REQUESTED, SHIPWRECK, SURVEY, VOYAGE, failed, new, news
from tests.processes import child
from tests.store_processes import append_history_slowly, hold_lock
from tests.tables import folded

REEF = execution_stream(SURVEY)
PATIENCE = 20.0


async def to_the_end(stream: AsyncIterator[StatusChange]) -> list[StatusChange]:
    async with asyncio.timeout(PATIENCE):
        return [change async for change in stream]


async def some(stream: AsyncIterator[StatusChange], count: int) -> list[StatusChange]:
    """The first so many changes; the stream is left after them."""
    seen: list[StatusChange] = []
    async with asyncio.timeout(PATIENCE), aclosing(stream):  # type: ignore[type-var]
        async for change in stream:
            seen.append(change)
            if len(seen) == count:
                break
    return seen


def assert_is_the_history(store: StoreEngine, seen: list[StatusChange], *, after: int = 0) -> None:
    """Each event above the position once, in order, each with the status after it."""
    history = store.read(REEF)
    assert [change.record for change in seen] == [record for record in history if record.position > after]
    for change in seen:
        assert change.status == fold(None, history[: change.record.version])


# --- one execution -------------------------------------------------------------------------------------------------


async def test_a_history_that_has_ended_is_told_to_its_end(store: StoreEngine) -> None:
    store.append(execution_stream("another"), news(*VOYAGE))
    store.append(REEF, news(*SHIPWRECK))
    seen = await to_the_end(follow(store, SURVEY))
    assert_is_the_history(store, seen)
    assert seen[-1].status.phase is Phase.FAILED


@pytest.mark.parametrize("end", [COMPLETED, failed()], ids=lambda end: type(end).__name__)
async def test_a_stream_ends_at_the_end_and_tells_nothing_that_came_late(store: StoreEngine, end: object) -> None:
    store.append(REEF, news(REQUESTED, ATTEMPT, end, REMARK, REMARK))  # type: ignore[arg-type]
    seen = await to_the_end(follow(store, SURVEY))
    assert [change.record.version for change in seen] == [1, 2, 3]


async def test_a_history_longer_than_a_page_has_no_seam(store: StoreEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projector.streams.PAGE", 5)
    store.append(REEF, news(REQUESTED, ATTEMPT, *[REMARK] * 17, COMPLETED))
    assert_is_the_history(store, await to_the_end(follow(store, SURVEY)))


async def test_a_stream_can_be_resumed_from_every_position(store: StoreEngine) -> None:
    for number, event in enumerate(news(*VOYAGE)):
        store.append(execution_stream(f"another-{number}"), news(REQUESTED))
        store.append(REEF, [event])
    for after in range(store.head() + 1):
        assert_is_the_history(store, await to_the_end(follow(store, SURVEY, after=after)), after=after)


async def test_a_stream_that_was_left_goes_on_where_it_was(store: StoreEngine) -> None:
    store.append(REEF, news(*VOYAGE))
    first = await some(follow(store, SURVEY), 5)
    rest = await to_the_end(follow(store, SURVEY, after=first[-1].record.position))
    assert_is_the_history(store, first + rest)


async def test_what_another_process_writes_meanwhile_follows_without_gap_or_repeat(
    engine: Engine, store: StoreEngine, place: str
) -> None:
    store.append(REEF, news(REQUESTED, ATTEMPT))
    with child(append_history_slowly, engine.open, place, REEF, 300) as writer:
        streams = [follow(store, SURVEY, poll_interval=0.005), follow(store, SURVEY, after=1, poll_interval=0.001)]
        whole, resumed = await asyncio.gather(*map(to_the_end, streams))
        writer.join()
    assert len(whole) == 303
    assert_is_the_history(store, whole)
    assert_is_the_history(store, resumed, after=1)
    assert_is_the_history(store, await to_the_end(follow(store, SURVEY)))


async def test_a_stream_that_is_resumed_again_and_again_beside_a_writer_misses_nothing(
    engine: Engine, store: StoreEngine, place: str
) -> None:
    store.append(REEF, news(REQUESTED, ATTEMPT))
    seen: list[StatusChange] = []
    with child(append_history_slowly, engine.open, place, REEF, 100) as writer:
        while not seen or not seen[-1].status.phase.is_terminal:
            seen += await some(
                follow(store, SURVEY, after=seen[-1].record.position if seen else 0, poll_interval=0.001), 7
            )
        writer.join()
    assert_is_the_history(store, seen)


async def test_a_locked_store_delays_nobody_who_follows(engine: Engine, store: StoreEngine, place: str) -> None:
    store.append(REEF, news(*VOYAGE))
    with child(hold_lock, engine.locked, place) as keeper:
        assert keeper.hear() == "locked"
        assert_is_the_history(store, await to_the_end(follow(store, SURVEY)))


async def test_an_unknown_execution_is_not_followed(store: StoreEngine) -> None:
    with pytest.raises(ExecutionNotFound):
        await to_the_end(follow(store, "the-flying-dutchman"))


@pytest.mark.parametrize(
    ("execution_id", "after", "words"),
    [
        ("no such/id", 0, "is not an execution id"),
        (SURVEY, -1, "-1 is not a position: positions begin at 1, and 0 means from the beginning"),
        (SURVEY, 13, "position 13 is beyond the end of this store, which is at 12"),
        (SURVEY, 10**30, "is beyond the end of this store"),
    ],
)
async def test_a_cursor_that_makes_no_sense_is_refused(
    store: StoreEngine, execution_id: str, after: int, words: str
) -> None:
    store.append(REEF, news(*VOYAGE))
    with pytest.raises(InputRejected, match=words):
        await to_the_end(follow(store, execution_id, after=after))


def of_executions(store: StoreEngine) -> list[RecordedEvent]:
    return [record for record in store.tail(after=0, limit=100_000) if record.stream.startswith("execution/")]


# --- all executions ------------------------------------------------------------------------------------------------


async def test_all_executions_are_told_in_the_order_of_the_store(store: StoreEngine) -> None:
    set_sail(store, times=2)
    seen = await some(follow_all(store, after=0), len(of_executions(store)))
    assert [change.record for change in seen] == of_executions(store)
    assert {change.status.execution_id: change.status for change in seen} == folded(store)


async def test_following_all_from_any_position_gives_whole_statuses(store: StoreEngine) -> None:
    set_sail(store)
    whole = await some(
        follow_all(store, after=0), len([r for r in store.tail(after=0) if r.stream.startswith("execution/")])
    )
    for number, change in enumerate(whole[:-1]):
        seen = await some(follow_all(store, after=change.record.position), len(whole) - number - 1)
        assert seen == whole[number + 1 :]


async def test_following_all_from_now_on_tells_only_what_is_new_and_all_of_it(store: StoreEngine) -> None:
    set_sail(store)
    now = store.head()
    watching = asyncio.ensure_future(some(follow_all(store, poll_interval=0.001), 5))
    while not watching.done():
        store.append(runner_stream("vega"), news(RunnerReady(task_queue=QUEUE)))
        store.append(execution_stream(f"boat-{store.head()}"), news(REQUESTED, COMPLETED))
        await asyncio.sleep(0.001)
    told = [change.record for change in await watching]
    expected = [record for record in of_executions(store) if record.position >= told[0].position]
    assert told == expected[:5]
    assert told[0].position > now


async def test_following_all_goes_on_after_an_end(store: StoreEngine) -> None:
    store.append(REEF, news(REQUESTED, COMPLETED, REMARK))
    seen = await some(follow_all(store, after=0), 3)
    assert [change.status.late_events for change in seen] == [0, 0, 1]


async def test_following_all_remembers_few_and_forgets_nothing(
    store: StoreEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.streams._STATUSES_AT_HAND", 2)
    monkeypatch.setattr("projector.streams.PAGE", 4)
    set_sail(store, times=3)
    seen = await some(follow_all(store, after=0), len(of_executions(store)))
    assert {change.status.execution_id: change.status for change in seen} == folded(store)
    assert all(one.record.position < other.record.position for one, other in pairwise(seen))


async def test_following_all_refuses_a_position_of_another_store(store: StoreEngine) -> None:
    with pytest.raises(InputRejected, match="position 1 is beyond the end of this store, which is at 0"):
        await some(follow_all(store, after=1), 1)


async def test_events_with_one_id_are_followed_once(store: StoreEngine) -> None:
    for _ in range(3):
        store.append(REEF, [new(REQUESTED, "requested")])
    store.append(REEF, news(COMPLETED))
    assert len(await to_the_end(follow(store, SURVEY))) == 2

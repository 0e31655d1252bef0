"""An attempt's emitter: in order, soon, at once where something depends on it, and bounded while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import RecordedEvent, execution_stream
from projector.errors import StoreDamaged
from projector.event_queue import MOST_BYTES_WAITING, MOST_WAITING
from projector.event_writer import EventWriter
from projector.events import (
    AttemptFinished,
    HeartbeatRecorded,
    MessageAppended,
    ToolCallFinished,
    ToolCallStarted,
)
from runner.agent import Agent, AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult
from runner.agent_run import AgentRun, Finished, Outcome, Raised, Stopped
from runner.emitter import FIRST_ON_DISK, Emitter, size_of
from tests.emitting_processes import emitter, fork_while_emitting, number_of, utterance
from tests.histories import ATTEMPT, HALFWAY, REMARK, RESULT, SOUNDED, SOUNDING, SURVEY
from tests.processes import child
from tests.store_processes import hold_lock, open_sqlite, sqlite_locked

REEF = execution_stream(SURVEY)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


@pytest.fixture
def store(place: str) -> Iterator[SqliteEventStore]:
    with closing(open_sqlite(place, 0.2)) as store:
        yield store


@pytest.fixture
def writer(store: SqliteEventStore) -> Iterator[EventWriter]:
    with closing(EventWriter(store)) as writer:
        yield writer


@pytest.fixture
def mate(writer: EventWriter) -> Emitter:
    return emitter(writer, SURVEY)


def stored(place: str) -> list[RecordedEvent]:
    """The history as another process sees it."""
    with closing(open_sqlite(place)) as store:
        return store.read(REEF)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.005)


# --- order and times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [SOUNDING, ATTEMPT, RESULT], ids=lambda event: type(event).__name__)
async def test_what_precedes_an_effect_is_on_disk_when_emit_returns(mate: Emitter, place: str, event: Any) -> None:
    await mate.emit(REMARK)
    await mate.emit(event)
    assert [record.event for record in stored(place)] == [REMARK, event], "and all before it too"


async def test_what_nobody_waits_for_is_stored_without_another_call(mate: Emitter, place: str) -> None:
    for event in (REMARK, SOUNDED, HALFWAY):
        assert type(event) not in FIRST_ON_DISK
        await mate.emit(event)
    await until(lambda: len(stored(place)) == 3)
    assert [record.event for record in stored(place)] == [REMARK, SOUNDED, HALFWAY]


async def test_events_keep_the_order_in_which_they_were_emitted_in_whatever_way(mate: Emitter, place: str) -> None:
    for number in range(1, 501):
        match number % 5:
            case 0:
                await mate.store(utterance(number))
            case 1:
                mate.emit_soon(utterance(number))
            case 2:
                mate.emit_if_room(utterance(number))
            case _:
                await mate.emit(utterance(number))
    await mate.settled()
    assert [number_of(record.event) for record in stored(place)] == list(range(1, 501))


def test_threads_and_loops_may_share_an_emitter(mate: Emitter, place: str) -> None:
    """Ids follow the order in the store, whoever emits; each thread's own events keep their order."""

    async def emit(thread: int) -> None:
        for number in range(150):
            await mate.emit(MessageAppended(role=str(thread), text=str(number)))
        await mate.settled()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(asyncio.run, emit(thread)) for thread in range(4)]:
            done.result(30)
    records = stored(place)
    assert [int(record.id.rpartition("-")[2]) for record in records] == list(range(1, 601))
    assert len({record.id for record in records}) == 600
    for thread in range(4):
        own = [r.event.text for r in records if isinstance(r.event, MessageAppended) and r.event.role == str(thread)]
        assert own == [str(number) for number in range(150)]


async def test_a_flood_leaves_the_loop_its_turns(mate: Emitter) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    for number in range(1, 1600):  # for which there is room
        if number % 17:
            await mate.emit(utterance(number))
    counting.cancel()
    assert turns >= 4


async def test_settled_waits_for_all_that_was_emitted(mate: Emitter, place: str) -> None:
    for number in range(1, 301):
        mate.emit_soon(utterance(number))
    await mate.settled()
    assert len(stored(place)) == 300


# --- while the store is away ---------------------------------------------------------------------------------------


async def test_who_emits_waits_for_room_while_the_store_is_away_and_nothing_is_lost(
    mate: Emitter, writer: EventWriter, place: str
) -> None:
    emitted = 0

    async def emit(talker: Emitter) -> None:
        nonlocal emitted
        for _ in range(MOST_WAITING):
            emitted += 1
            await talker.emit(MessageAppended(role="assistant", text=str(emitted)))

    crew = [mate, emitter(writer, "the-cook"), emitter(writer, "the-bosun")]
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        talking = [asyncio.ensure_future(emit(talker)) for talker in crew]
        await until(lambda: not writer.has_room)
        held = emitted
        mate.emit_if_room(HeartbeatRecorded(events_processed=1, messages=1, tool_calls=0, phase="talking"))
        await asyncio.sleep(0.3)  # time enough to emit thousands, if there were room
        assert emitted == held <= MOST_WAITING + len(crew)
        assert not any(task.done() for task in talking)
        keeper.tell("let go")
        async with asyncio.timeout(20):
            await asyncio.gather(*talking)
            await mate.settled()
    with closing(open_sqlite(place)) as store:
        texts = {name: store.read(execution_stream(name)) for name in (SURVEY, "the-cook", "the-bosun")}
    assert sorted(int(record.event.text) for records in texts.values() for record in records) == list(  # type: ignore[union-attr]
        range(1, 3 * MOST_WAITING + 1)
    )
    assert all(not isinstance(record.event, HeartbeatRecorded) for record in texts[SURVEY]), "it was not worth the room"


async def test_large_events_fill_the_room_sooner(mate: Emitter, writer: EventWriter, place: str) -> None:
    event = MessageAppended(role="assistant", text="fathoms " * 4000)
    most = MOST_BYTES_WAITING // size_of(event) + 1
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        for _ in range(most - 1):
            await mate.emit(event)
        assert writer.has_room
        last = asyncio.ensure_future(mate.emit(event))
        await asyncio.sleep(0.05)
        assert not writer.has_room and not last.done()
        last.cancel()  # who gives up waiting for room takes nothing back
        await asyncio.wait({last})
        keeper.tell("let go")
        async with asyncio.timeout(20):
            await mate.settled()
    assert [record.event for record in stored(place)] == [event] * most


async def test_being_cancelled_takes_no_event_back(mate: Emitter, place: str) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await mate.emit(SOUNDING)
        keeper.tell("let go")
        async with asyncio.timeout(20):
            await mate.store(SOUNDED)
    assert [record.event for record in stored(place)] == [SOUNDING, SOUNDED]


async def test_patience_ends_and_the_event_is_stored_all_the_same(mate: Emitter, place: str) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        assert await mate.store(RESULT, patience=0.05) is False
        keeper.tell("let go")
        await until(lambda: stored(place))
    assert [record.event for record in stored(place)] == [RESULT]


class Flooded(SqliteEventStore):
    """A store whose file is found to be damaged when it is written to."""

    def append_batch(self, appends: Any) -> Any:
        raise StoreDamaged("the event store has sprung a leak: restore it from a backup")


async def test_a_store_that_refuses_is_told_to_whoever_emits_next(tmp_path: Path) -> None:
    with (
        closing(Flooded(tmp_path / "store.db", Hygiene(Redactor()))) as store,
        closing(EventWriter(store)) as writer,
    ):
        mate = emitter(writer, SURVEY)
        await mate.emit(REMARK)
        async with asyncio.timeout(10):
            await mate.settled()
        with pytest.raises(StoreDamaged, match="has sprung a leak"):
            await mate.emit(REMARK)


async def test_what_comes_too_late_is_no_error_of_who_says_it(store: SqliteEventStore, mate: Emitter) -> None:
    writer = EventWriter(store)
    late = emitter(writer, SURVEY)
    writer.close()
    late.emit_soon(REMARK)
    assert store.version(REEF) == 0


def test_a_fork_repeats_nothing(place: str) -> None:
    open_sqlite(place).close()
    with child(fork_while_emitting, place, SURVEY) as runner:
        assert runner.hear() == 7
        runner.join()
    assert [number_of(record.event) for record in stored(place)] == list(range(1, 201))


# --- an agent that emits -------------------------------------------------------------------------------------------


def run_of(agent: Agent, mate: Emitter) -> AgentRun:
    task = AgentTask(SURVEY, input="", session_id=None, thread_id="", thread_dir=Path(), attempt=1)
    return AgentRun(agent, task, mate, Hygiene(Redactor()), lambda: None)


async def outcome_of(run: AgentRun) -> Outcome:
    async with asyncio.timeout(20):
        return await asyncio.wrap_future(run.outcome)


async def changes_what_it_emitted(task: AgentTask) -> AsyncIterator[Step]:
    output: dict[str, Any] = {"fathoms": [7, 8], "reef": {"name": "north"}}
    yield ToolResult("1", output=output)
    output["fathoms"].append(9)
    output["reef"]["name"] = "south"
    output["wreck"] = True
    large = {"casts": ["seven fathoms"] * 1_000}
    yield ToolResult("2", output=large)
    large["casts"].clear()
    odd = [{"depth"}, b"mud"]
    yield ToolResult("3", output=odd)
    odd.clear()


async def test_an_agent_cannot_change_what_it_emitted(mate: Emitter, place: str) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:  # nothing is written before the agent is done
        assert keeper.hear() == "locked"
        run = run_of(changes_what_it_emitted, mate)
        run.start()
        await until(lambda: run.progress.events_processed == 3)
        await asyncio.sleep(0.05)
        assert not run.outcome.done(), "its steps are not stored yet"
        keeper.tell("let go")
        assert isinstance(await outcome_of(run), Finished)
    first, second, third = [record.event for record in stored(place)]
    assert first == ToolCallFinished(call_id="1", output={"fathoms": [7, 8], "reef": {"name": "north"}})
    assert isinstance(second, ToolCallFinished) and second.output["truncated"] is True
    assert isinstance(third, ToolCallFinished) and third.output == [["depth"], "mud"]


async def finishes(task: AgentTask) -> AsyncIterator[Step]:
    for number in range(200):
        yield Message("assistant", str(number))
    yield Result("the chart")


async def fails(task: AgentTask) -> AsyncIterator[Step]:
    for number in range(200):
        yield Message("assistant", str(number))
    raise ValueError("the lead line parted")


@pytest.mark.parametrize(("agent", "kind"), [(finishes, Finished), (fails, Raised)])
async def test_the_outcome_is_known_when_every_step_is_stored(
    mate: Emitter, place: str, agent: Agent, kind: type[Outcome]
) -> None:
    run = run_of(agent, mate)
    run.start()
    assert isinstance(await outcome_of(run), kind)
    assert [record.event.text for record in stored(place)] == [str(number) for number in range(200)]  # type: ignore[union-attr]
    await mate.store(AttemptFinished())
    assert isinstance(stored(place)[-1].event, AttemptFinished)


async def test_an_agent_that_is_told_to_stop_while_its_steps_wait_for_the_store_ends(mate: Emitter, place: str) -> None:
    with child(hold_lock, sqlite_locked, place) as keeper:
        assert keeper.hear() == "locked"
        run = run_of(finishes, mate)
        run.start()
        await until(lambda: run.progress.events_processed == 200)
        run.stop()
        assert isinstance(await outcome_of(run), (Finished, Stopped))


async def is_a_chatterbox(task: AgentTask) -> AsyncIterator[Step]:
    while True:
        yield Progress(note="and another thing")


async def test_an_agent_that_never_waits_can_be_stopped(mate: Emitter) -> None:
    run = run_of(is_a_chatterbox, mate)
    run.start()
    await until(lambda: run.progress.events_processed > 1000)
    run.stop()
    assert isinstance(await outcome_of(run), Stopped)


async def uses_a_tool(task: AgentTask) -> AsyncIterator[Step]:
    yield ToolCall("1", "sound_depth", {"token": "ghp_" + "a1B2c3D4e5F6" * 3})
    yield Result()


async def test_a_tool_call_is_stored_before_the_agent_goes_on_and_without_its_secrets(
    mate: Emitter, place: str
) -> None:
    run = run_of(uses_a_tool, mate)
    run.start()
    await outcome_of(run)
    (record,) = stored(place)
    assert isinstance(record.event, ToolCallStarted) and record.event.arguments == {"token": "[redacted]"}
    assert (run.progress.tool_calls, run.progress.phase) == (1, "in tool sound_depth")


def test_the_size_of_an_event_is_known_from_its_texts() -> None:
    assert size_of(MessageAppended(role="assistant", text="a" * 10_000)) > 10_000
    assert size_of(ToolCallFinished(call_id="1", output={"a": 1})) > 8_000

"""What waiting executions are told about their queue, how soon, and when their waiting is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from projector.envelope import NewEvent, RecordedEvent, execution_stream, runner_stream
from projector.event_store import Append
from projector.event_writer import EventWriter
from projector.events import (
    AttemptStarted,
    ConditionKind,
    ConditionObserved,
    RunnerAwaited,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    Timeouts,
    WritableEvent,
)
from projector.failures import ErrorReport
from projector.live_statuses import LiveStatuses
from projector.streams import StatusChange
from runner.connection import connect
from tests.histories import AWAITED, QUEUE, REQUESTED, STARTED
from tests.temporal.harness import Harness, agent, failure_of
from workflows.orchestrator import orchestrating
from workflows.queues.nudges import Nudges
from workflows.queues.queue_watch import MOST_TOLD, QueueWatch
from workflows.queues.task_queue import TaskQueues

GRACE: Final = 2.0
BUSY: Final = 10.0
"""By how much a busy machine may be late, in seconds: a small part of the minute that Temporal's timeout would take."""


@asynccontextmanager
async def wharf(bare: Harness, name: str, *, grace: float = GRACE, orchestrators: int = 1) -> AsyncIterator[Harness]:
    """A store of its own, and so many orchestrators that watch it."""
    async with bare.beside(name, lock_timeout=5.0, orchestrated=False) as harness, AsyncExitStack() as stack:
        settings = harness.settings.model_copy(update={"startup_grace": grace})
        for number in range(orchestrators):  # each with a connection of its own, as processes have
            client = await connect(settings.data_dir, timeout=10.0, identity=f"orchestrator:{name}-{number}")
            await stack.enter_async_context(orchestrating(client, harness.store, settings=settings))
        yield harness


def says(words: str) -> Callable[[StatusChange], bool]:
    """Whether an execution's condition holds these words."""

    def holds(change: StatusChange) -> bool:
        condition = change.status.condition
        return condition is not None and words in condition.reason

    return holds


async def told(harness: Harness, execution_id: str) -> list[str]:
    """Everything that the execution was told about its queue."""
    history = await harness.history(execution_id)
    return [record.event.reason for record in history if isinstance(record.event, ConditionObserved)]


async def startup_failure(harness: Harness) -> RecordedEvent:
    """The last runner's own word that it could not start."""
    records = await asyncio.to_thread(harness.store.tail, after=0, limit=100_000)
    return next(record for record in reversed(records) if isinstance(record.event, RunnerStartupFailed))


def broken(folder: Path) -> Path:
    """A folder with an agent that cannot be imported."""
    folder.mkdir()
    (folder / "cargo.py").write_text('raise ImportError("the hold is empty")\n')
    return folder


# --- real runners --------------------------------------------------------------------------------------------------


async def test_a_queue_that_nobody_polls_is_told_at_the_start_and_only_once_though_two_orchestrators_watch(
    bare: Harness,
) -> None:
    async with wharf(bare, "wharf-empty", orchestrators=2) as harness:
        timeouts = Timeouts(schedule_to_start=6, heartbeat=2, start_to_close=10)
        execution_id = await harness.start("surveyor", queue="rockall", timeouts=timeouts)
        change = await harness.until(execution_id, says("no runner has ever announced itself there"))
        assert change.status.condition is not None
        assert change.status.condition.observer == "orchestrator"
        status = await harness.end(execution_id)
        assert failure_of(status).code == "E102"
        assert status.finished_at is not None
        assert status.finished_at - change.record.time > timedelta(seconds=1), "it was told long before the timeout"
        assert await told(harness, execution_id) == [
            "no runner polls queue 'rockall'; no runner has ever announced itself there"
        ]


async def test_a_startup_failure_is_told_within_a_second_and_ends_the_waiting_after_the_grace(
    bare: Harness, tmp_path: Path
) -> None:
    async with wharf(bare, "wharf-broken") as harness:
        waiting = [await harness.start("surveyor", queue="cargo") for _ in range(3)]
        for execution_id in waiting:
            await harness.until_event(execution_id, RunnerAwaited)
        async with harness.starting_runner("cargo:agent", queue="cargo", cwd=broken(tmp_path / "cargo")) as runner:
            assert await runner.exits() == 1
        failed = await startup_failure(harness)
        for execution_id in waiting:
            change = await harness.until(execution_id, says("none could start: ImportError: the hold is empty"))
            assert change.record.time - failed.time < timedelta(seconds=1 + BUSY)
            status = await harness.end(execution_id)
            failure = failure_of(status)
            assert (failure.code, status.started_at) == ("E101", None)
            assert "ImportError: the hold is empty" in failure.message
            assert status.finished_at is not None
            assert timedelta(seconds=GRACE) <= status.finished_at - failed.time < timedelta(seconds=GRACE + 1 + BUSY)
        later = await harness.start("surveyor", queue="cargo")
        status = await harness.end(later)
        assert failure_of(status).code == "E101", "nothing has changed since: it is told at once, and has its own grace"
        assert status.requested_at is not None and status.finished_at is not None
        assert timedelta(seconds=GRACE) <= status.finished_at - status.requested_at
        assert status.finished_at - status.requested_at < timedelta(seconds=GRACE + 1 + BUSY)
        assert len(await told(harness, later)) == 1


async def test_a_runner_that_comes_up_within_the_grace_saves_the_execution(bare: Harness, tmp_path: Path) -> None:
    async with wharf(bare, "wharf-relief", grace=60.0) as harness:
        execution_id = await harness.start("surveyor", queue="relief")
        async with harness.starting_runner("cargo:agent", queue="relief", cwd=broken(tmp_path / "cargo")) as runner:
            assert await runner.exits() == 1
        await harness.until(execution_id, says("none could start"))
        async with harness.runner(agent("surveyor"), queue="relief"):
            status = await harness.end(execution_id)
        assert status.failure is None and status.output is not None
        assert status.conditions == ()


async def test_who_waits_for_a_slot_is_told_so_and_gets_it(bare: Harness, tmp_path: Path) -> None:
    sail = tmp_path / "sail"
    async with (
        wharf(bare, "wharf-full") as harness,
        harness.runner(agent("keeps_watch"), queue="lookout", extra={"EXECUTION_STATUS_SLOTS": "1"}),
    ):
        first = await harness.start("keeps_watch", str(sail), queue="lookout")
        await harness.until_event(first, AttemptStarted)
        second = await harness.start("keeps_watch", str(sail), queue="lookout")
        # Temporal knows of a taken slot at the worker's next beat.
        await harness.until(second, says("the only slot of 1 runner on queue 'lookout' is taken"), within=100)
        sail.touch()
        for execution_id in (first, second):
            assert (await harness.end(execution_id)).output == "a sail"


async def test_a_healthy_start_is_told_nothing(ship: Harness) -> None:
    status = await ship.run("says_nothing")
    assert await told(ship, status.execution_id) == []


# --- told by hand --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Desk:
    """One watch that looks when it is told to."""

    harness: Harness
    statuses: LiveStatuses
    watch: QueueWatch

    async def look(self) -> None:
        await self.statuses.refresh()
        await self.watch.look()
        await self.statuses.refresh()

    async def append(self, stream: str, *events: WritableEvent, ago: float = 0.0) -> None:
        when = datetime.now(UTC) - timedelta(seconds=ago)
        version = await asyncio.to_thread(self.harness.store.version, stream)
        new = [
            NewEvent(f"by-hand-{version + place}", when, "orchestrator", event) for place, event in enumerate(events)
        ]
        await asyncio.to_thread(self.harness.store.append, stream, new)

    async def waits(self, execution_id: str, *, ago: float = 10.0) -> None:
        await self.append(execution_stream(execution_id), REQUESTED, STARTED, AWAITED, ago=ago)

    def reason(self, execution_id: str) -> str:
        status = self.statuses.execution(execution_id)
        assert status is not None and status.condition is not None
        return status.condition.reason


@pytest.fixture
async def desk(bare: Harness, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    name = f"desk-{abs(hash(request.node.name))}"
    async with bare.beside(name, lock_timeout=5.0, orchestrated=False) as harness:
        writer = EventWriter(harness.store)
        yield _desk(harness, writer)
        await asyncio.to_thread(writer.close)


def _desk(harness: Harness, writer: EventWriter) -> Desk:
    statuses, client = LiveStatuses(harness.store), harness.temporal
    return Desk(
        harness, statuses, QueueWatch(statuses, TaskQueues(client), writer, Nudges(client), startup_grace=GRACE)
    )


async def test_a_crash_loop_is_told_with_its_count_and_its_last_end(desk: Desk) -> None:
    await desk.waits("sounding")
    for crashes in (1, 2, 3):
        stream = runner_stream(f"lugger-{crashes}")
        await desk.append(stream, RunnerStarting(task_queue=QUEUE), RunnerReady(task_queue=QUEUE, slots=2), ago=60)
        await desk.append(stream, RunnerExited(signal="SIGSEGV", crashes=crashes, last_stderr="a leak\nwe sink\n"))
        await desk.look()
        words = desk.reason("sounding")
        assert ("crashed 3 times in a row, last at" in words) == (crashes == 3)
    assert words.endswith("signal SIGSEGV; its last words: we sink")


async def test_a_queue_is_looked_at_at_once_when_one_of_its_runners_says_something(desk: Desk) -> None:
    await desk.waits("sounding")
    await desk.look()
    before = desk.reason("sounding")
    assert before == f"no runner polls queue '{QUEUE}'; no runner has ever announced itself there"
    await desk.append(runner_stream("lugger"), RunnerStarting(task_queue=QUEUE))
    await desk.look()
    assert "lugger is starting since" in desk.reason("sounding")
    await desk.append(runner_stream("lugger"), RunnerReady(task_queue=QUEUE, slots=1))
    await desk.look()
    assert "lugger is starting since" in desk.reason("sounding"), "a ready runner takes it: there is nothing to say"


async def test_who_has_just_begun_to_wait_is_left_alone(desk: Desk) -> None:
    await desk.waits("sounding", ago=0.0)
    await desk.look()
    assert desk.reason("sounding") == f"waiting for a runner on queue '{QUEUE}'"


async def test_two_watches_write_one_condition_and_an_execution_that_moved_is_not_told(desk: Desk) -> None:
    await desk.waits("sounding")
    await desk.waits("taken")
    writer = EventWriter(desk.harness.store)
    other = _desk(desk.harness, writer)
    await desk.statuses.refresh()
    await other.statuses.refresh()
    await desk.append(execution_stream("taken"), AttemptStarted(runner_id="lugger", task_queue=QUEUE))
    await asyncio.gather(desk.watch.look(), other.watch.look())
    for _ in range(3):
        await desk.look()
        await other.look()
    assert len(await told(desk.harness, "sounding")) == 1
    assert await told(desk.harness, "taken") == []
    await asyncio.to_thread(writer.close)


async def test_words_that_the_stores_door_changes_are_not_said_again_and_again(desk: Desk) -> None:
    await desk.waits("sounding")
    # The report passed the door with its secret cut out; put together with other words it may be cut once more.
    error = ErrorReport(type="OSError", message="x" * 60_000)
    await desk.append(runner_stream("lugger"), RunnerStartupFailed(task_queue=QUEUE, stage="importing", report=error))
    for _ in range(3):
        await desk.look()
        await desk.append(runner_stream("lugger-2"), RunnerStarting(task_queue=QUEUE))
    assert len(await told(desk.harness, "sounding")) == 1


async def test_a_crowd_is_told_in_bounded_passes_each_once(desk: Desk) -> None:
    crowd = [f"boat-{number}" for number in range(MOST_TOLD + 200)]
    when = datetime.now(UTC) - timedelta(seconds=10)
    story: tuple[WritableEvent, ...] = (REQUESTED, STARTED, AWAITED)
    told_so_far = tuple(NewEvent(f"{place}", when, "orchestrator", event) for place, event in enumerate(story))
    boats = [Append(execution_stream(boat), told_so_far) for boat in crowd]
    await asyncio.to_thread(desk.harness.store.append_batch, boats)
    await desk.look()
    records = await asyncio.to_thread(desk.harness.store.tail, after=3 * len(crowd), limit=10_000)
    assert len(records) == MOST_TOLD
    await desk.look()
    await desk.look()
    records = await asyncio.to_thread(desk.harness.store.tail, after=3 * len(crowd), limit=10_000)
    assert {record.stream for record in records} == {execution_stream(boat) for boat in crowd}
    assert len(records) == len(crowd)
    kinds = {record.event.kind for record in records if isinstance(record.event, ConditionObserved)}
    assert kinds == {ConditionKind.WAITING_FOR_RUNNER}


async def test_a_store_that_cannot_be_read_to_its_end_yet_is_not_judged(desk: Desk) -> None:
    await desk.waits("sounding")
    await desk.watch.look()
    await desk.statuses.refresh()
    assert desk.reason("sounding") == f"waiting for a runner on queue '{QUEUE}'"

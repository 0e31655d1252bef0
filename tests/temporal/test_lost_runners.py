"""A runner that is killed or frozen while an agent runs: what was done stays, and every watcher sees the same end."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from projector.envelope import RecordedEvent
from projector.events import AttemptFailed, ExecutionFailed, MessageAppended, Timeouts
from projector.execution_status import ExecutionStatus, Phase
from projector.streams import StatusChange
from tests.temporal.agents import MESSAGES_BEFORE_THE_DIVE
from tests.temporal.faults import standing_still
from tests.temporal.harness import Harness, agent, failure_of, types_of
from tests.temporal.processes import Program, until

HEARTBEAT: Final = 1.5
TIMEOUTS: Final = Timeouts(schedule_to_start=30, heartbeat=HEARTBEAT, start_to_close=60)


@dataclass(frozen=True)
class Watched:
    """What a watcher printed, line by line, and how it exited."""

    lines: Sequence[dict[str, Any]]
    code: int

    @classmethod
    async def of(cls, watcher: Program) -> Watched:
        code = await watcher.exits()
        return cls([json.loads(line) for line in watcher.printed().splitlines()], code)

    @property
    def positions(self) -> list[int]:
        return [line["position"] for line in self.lines]


@dataclass(frozen=True)
class Loss:
    """An execution whose runner was killed, and its three watchers. `after` is where the second one began."""

    status: ExecutionStatus
    history: Sequence[RecordedEvent]
    killed_at: datetime
    after: int
    before: Watched
    middle: Watched
    late: Watched


def _is_diving(change: StatusChange) -> bool:
    return change.status.in_flight is not None and change.status.in_flight.tool == "diving_bell"


@pytest.fixture(scope="module")
async def loss(bare: Harness) -> Loss:
    async with AsyncExitStack() as stack:
        runner = await stack.enter_async_context(bare.runner(agent("dives"), queue="deep"))
        execution_id = await bare.start("dives", queue="deep", timeouts=TIMEOUTS)
        before = await stack.enter_async_context(bare.watch(execution_id, "watch-before"))
        diving = await bare.until(execution_id, _is_diving)
        await until(lambda: "diving_bell" in before.printed())
        after = diving.record.position
        middle = await stack.enter_async_context(bare.watch(execution_id, "watch-middle", "--after", str(after)))
        runner.process.send_signal(signal.SIGKILL)
        killed_at = datetime.now(UTC)
        status = await bare.end(execution_id)
        late = await stack.enter_async_context(bare.watch(execution_id, "watch-late"))
        history = await bare.history(execution_id)
        watched = await asyncio.gather(*map(Watched.of, (before, middle, late)))
        return Loss(status, history, killed_at, after, *watched)


def test_a_killed_runner_is_e203_and_the_message_names_the_tool_and_the_last_event(loss: Loss) -> None:
    failure = failure_of(loss.status)

    assert (failure.code, failure.category, failure.retryable) == ("E203", "runner_lost", False)
    assert "while it used the tool 'diving_bell'" in failure.message
    assert "last event: " in failure.message
    assert f"no heartbeat for {HEARTBEAT:g} s" in failure.message
    assert loss.status.in_flight is not None and loss.status.in_flight.tool == "diving_bell"


def test_it_is_failed_within_the_heartbeat_timeout(loss: Loss) -> None:
    ended = next(record.time for record in loss.history if isinstance(record.event, ExecutionFailed))

    assert (ended - loss.killed_at).total_seconds() < HEARTBEAT + 5


def test_everything_that_the_agent_said_before_is_still_there(loss: Loss) -> None:
    said = [record.event.text for record in loss.history if isinstance(record.event, MessageAppended)]

    assert said == [f"{number} fathoms" for number in range(1, MESSAGES_BEFORE_THE_DIVE + 1)]
    assert loss.status.messages == MESSAGES_BEFORE_THE_DIVE
    assert types_of(loss.history)[-1] == "ExecutionFailed"


@pytest.mark.parametrize("when", ["before", "middle", "late"])
def test_every_watcher_sees_the_same_end_and_exits_with_1(loss: Loss, when: str) -> None:
    watched: Watched = getattr(loss, when)
    last = watched.lines[-1]

    assert watched.code == 1
    assert (last["type"], last["position"]) == ("ExecutionFailed", loss.history[-1].position)
    assert last["status"]["code"] == "E203"
    assert last["status"]["message"] == failure_of(loss.status).message


@pytest.mark.parametrize("when", ["before", "late"])
def test_a_watcher_from_the_start_sees_every_event_once_whenever_it_began(loss: Loss, when: str) -> None:
    watched: Watched = getattr(loss, when)

    assert watched.positions == [record.position for record in loss.history]


def test_a_watcher_that_resumes_sees_only_what_came_after_without_gap_or_repeat(loss: Loss) -> None:
    rest = [record.position for record in loss.history if record.position > loss.after]

    assert rest
    assert loss.middle.positions == rest


async def test_a_watcher_that_resumes_at_the_end_prints_nothing_and_exits_with_1(bare: Harness, loss: Loss) -> None:
    end = str(loss.history[-1].position)
    async with bare.watch(loss.status.execution_id, "watch-at-end", "--after", end) as watcher:
        assert await Watched.of(watcher) == Watched([], 1)


async def test_a_frozen_runner_that_wakes_after_the_verdict_changes_nothing(bare: Harness) -> None:
    async with bare.runner(agent("ticks"), queue="ice") as runner:
        execution_id = await bare.start("ticks", "60", queue="ice", timeouts=TIMEOUTS)
        await bare.until(execution_id, lambda change: change.status.events_processed >= 3)
        async with standing_still(runner.process.pid, bare.settings):
            status = await bare.end(execution_id)
        await bare.until_stored(execution_id, AttemptFailed)

    late = await bare.status(execution_id)
    assert failure_of(status).code == "E203"
    assert (late.phase, late.failure) == (Phase.FAILED, status.failure)
    assert late.late_events >= 1
    assert late.events_processed == status.events_processed

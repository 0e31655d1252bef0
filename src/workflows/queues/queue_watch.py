"""Keeps executions that wait for a runner told how their queue stands, and nudges them when waiting is pointless.

Each queue on which somebody waits is looked at once a second, and at once when one of its runners says something. What
is found becomes the condition of all that wait there. Several orchestrators may watch: a condition is appended at the
exact version that it was judged by, so one of them writes it, and each of them says the same thing once.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog

from projector.envelope import RUNNER_STREAMS, NewEvent, RecordedEvent, execution_stream
from projector.errors import StoreError, VersionConflict
from projector.event_store import exactly
from projector.event_writer import EventWriter
from projector.events import ConditionKind, ConditionObserved
from projector.execution_status import Condition, ExecutionStatus
from projector.live_statuses import LiveStatuses
from workflows.queues.nudges import Nudges
from workflows.queues.queue_state import QueueState, is_proof, judge_queue
from workflows.queues.task_queue import TaskQueues

PATIENCE: Final = timedelta(seconds=0.5)
"""How long an execution waits before anybody wonders: a healthy runner takes it sooner."""
LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at the same queue."""
TICK: Final = 0.25
"""Seconds between two passes when no runner says anything."""
ANSWER_WITHIN: Final = 0.5
"""How long Temporal may take to say who polls a queue, in seconds; then the store is judged alone."""
QUEUES_AT_ONCE: Final = 8
MOST_TOLD: Final = 500
"""How many executions one pass tells; the next one tells the others."""
WRITER: Final = "orchestrator"
_NOTHING_TO_SAY: Final = frozenset({"ready", "unknown"})

log = structlog.get_logger("queue_watch")


class _Waiting(NamedTuple):
    status: ExecutionStatus
    condition: Condition


class _Look(NamedTuple):
    at: float
    state: QueueState


class QueueWatch:
    """Watches the queues of one store's waiting executions. Somebody else keeps `statuses` fresh."""

    def __init__(
        self, statuses: LiveStatuses, queues: TaskQueues, writer: EventWriter, nudges: Nudges, *, startup_grace: float
    ) -> None:
        """`startup_grace` is in seconds: how long others may still come up after a runner could not start."""
        self._statuses = statuses
        self._queues = queues
        self._writer = writer
        self._nudges = nudges
        self._startup_grace = startup_grace
        self._looks: dict[str, _Look] = {}
        self._stirred: set[str] = set()
        self._stir = asyncio.Event()
        self._told: dict[str, tuple[datetime, str]] = {}
        self._places = asyncio.Semaphore(QUEUES_AT_ONCE)
        statuses.listen(self._hear)

    async def run(self) -> None:
        """Look again and again; ends when cancelled."""
        while True:
            await self.look()
            try:
                async with asyncio.timeout(TICK):
                    await self._stir.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """One pass: look at the queues that are due, tell those that wait, nudge those that wait for nothing."""
        self._stir.clear()
        if not self._statuses.has_caught_up:
            return
        now = datetime.now(UTC)
        waiting: dict[str, list[_Waiting]] = {}
        for one in _waiting(self._statuses.open_executions()):
            if now - one.condition.since >= PATIENCE:
                waiting.setdefault(one.status.task_queue, []).append(one)
        await asyncio.gather(*(self._look_at(queue) for queue in waiting if self._is_due(queue)))
        self._looks = {queue: look for queue, look in self._looks.items() if queue in waiting}
        self._stirred &= waiting.keys()
        self._told = {
            one.status.execution_id: self._told[one.status.execution_id]
            for those in waiting.values()
            for one in those
            if one.status.execution_id in self._told
        }
        await self._tell(waiting)
        await self._nudges.send(self._hopeless(waiting))

    def _hear(self, record: RecordedEvent) -> None:
        if record.stream.startswith(RUNNER_STREAMS):
            runner = self._statuses.runner(record.stream.removeprefix(RUNNER_STREAMS))
            if runner is not None:
                self._stirred.add(runner.task_queue)
                self._stir.set()

    def _is_due(self, queue: str) -> bool:
        look = self._looks.get(queue)
        return look is None or queue in self._stirred or time.monotonic() - look.at >= LOOK_AGAIN

    async def _look_at(self, queue: str) -> None:
        async with self._places:
            self._stirred.discard(queue)
            at = time.monotonic()
            workers = await self._queues.workers(queue, timeout=ANSWER_WITHIN)
            state = judge_queue(queue, self._statuses.runners(queue), workers, datetime.now(UTC))
            self._looks[queue] = _Look(at, state)

    async def _tell(self, waiting: dict[str, list[_Waiting]]) -> None:
        """Append the state of its queue to each execution whose condition says something else."""
        untold: list[tuple[ExecutionStatus, Condition, str]] = []
        for queue, those in waiting.items():
            state = self._looks[queue].state
            if state.kind in _NOTHING_TO_SAY:
                continue
            for status, condition in those:
                # What was stored may differ a little from what was said: the store's door cleans it.
                said = self._told.get(status.execution_id) == (condition.since, state.reason)
                if condition.reason != state.reason and not said:
                    untold.append((status, condition, state.reason))
        await asyncio.gather(*(self._append(*one) for one in untold[:MOST_TOLD]))

    async def _append(self, status: ExecutionStatus, condition: Condition, reason: str) -> None:
        event = ConditionObserved(kind=ConditionKind.WAITING_FOR_RUNNER, reason=reason)
        new = NewEvent(id=uuid.uuid4().hex, time=datetime.now(UTC), writer=WRITER, event=event)
        try:
            await self._writer.append(execution_stream(status.execution_id), [new], exactly(status.version))
            self._told[status.execution_id] = (condition.since, reason)
        except VersionConflict:
            pass  # it moves, or another orchestrator told it: the next pass sees which
        except StoreError as error:
            log.warning("a condition could not be stored", execution_id=status.execution_id, reason=str(error))

    def _hopeless(self, waiting: dict[str, list[_Waiting]]) -> Iterable[str]:
        now = datetime.now(UTC)
        for queue, those in waiting.items():
            state = self._looks[queue].state
            for status, condition in those:
                if is_proof(state, condition.since, now, self._startup_grace):
                    yield status.execution_id


def _waiting(statuses: Sequence[ExecutionStatus]) -> Iterable[_Waiting]:
    for status in statuses:
        for condition in status.conditions:
            if condition.kind is ConditionKind.WAITING_FOR_RUNNER:
                yield _Waiting(status, condition)

"""Gathering evidence: what the store, the queue's runners and Temporal's pollers say when a verdict is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from projector.engines.ports import StoreEngine
from projector.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptStarted,
    CancellationRequested,
    ConditionCleared,
    ConditionKind,
    ConditionObserved,
    Timeouts,
)
from projector.execution_status import ExecutionStatus
from projector.failures import Cause
from projector.landmarks import Landmarks
from projector.projections.runners import Runner
from projector.queries import Queries
from workflows.queues.queue_state import QueueState, is_proof, judge_queue
from workflows.queues.task_queue import TaskQueues
from workflows.verdict.evidence import Evidence, RunnerFact

RUNNERS_HEARD: Final = 5
POLLERS_PATIENCE: Final = 2.0
"""How long the question who polls a queue may take when a verdict is due, in seconds."""
_NOT_THE_AGENTS: Final = (AttemptFailed, ConditionObserved, ConditionCleared)


class Gathering:
    """Gathers evidence from one store and one Temporal (`queues`; None leaves it to the store alone)."""

    def __init__(self, store: StoreEngine, queues: TaskQueues | None, *, startup_grace: float) -> None:
        """`startup_grace` is in seconds."""
        self._store = store
        self._queues = queues
        self._startup_grace = startup_grace

    async def about_waiting(self, status: ExecutionStatus, evidence: Evidence) -> Evidence:
        """The evidence with what is known of the queue; for executions that nobody has begun."""
        now = datetime.now(UTC)
        workers = None
        if self._queues is not None:
            workers = await self._queues.workers(evidence.task_queue, timeout=POLLERS_PATIENCE)
        async with Queries(self._store.reader(), mapper=self._store.mapper) as queries:
            runners = await queries.runners(evidence.task_queue)
        state: QueueState = judge_queue(evidence.task_queue, runners, workers, now)
        since = next((c.since for c in status.conditions if c.kind is ConditionKind.WAITING_FOR_RUNNER), None)
        since = since or status.requested_at or now
        return evidence.model_copy(
            update={"queue": state, "may_stop_waiting": is_proof(state, since, now, self._startup_grace)}
        )

    async def about(self, execution_id: str, known: Landmarks, *, task_queue: str, timeouts: Timeouts) -> Evidence:
        """What the store knows about an execution. Raises StoreError."""
        now = datetime.now(UTC)
        history = known.records
        status = known.status or ExecutionStatus(execution_id=execution_id)
        finished = next((r.event for r in reversed(history) if isinstance(r.event, AttemptFinished)), None)
        failed = next((r.event for r in reversed(history) if isinstance(r.event, AttemptFailed)), None)
        asked = next((r.event for r in reversed(history) if isinstance(r.event, CancellationRequested)), None)
        lease = next((r for r in history if isinstance(r.event, AttemptStarted)), None)
        by_holder = [r for r in history if lease is not None and r.writer == lease.writer]
        # What the agent did last: the end of its attempt is what is being judged.
        last = next((r for r in reversed(by_holder) if not isinstance(r.event, _NOT_THE_AGENTS)), None)
        stalled = next((c for c in status.conditions if c.kind is ConditionKind.STALLED), None)
        return Evidence(
            task_queue=task_queue,
            timeouts=timeouts,
            attempt=status.attempt,
            runner_id=status.runner,
            finished=finished is not None,
            output=finished.output if finished else None,
            output_bytes=finished.output_bytes if finished else 0,
            report=failed.report if failed else None,
            tool_in_flight=status.in_flight.tool if status.in_flight else None,
            last_event=last.type if last else status.last_event,
            last_event_at=_clock(last.time if last else status.last_event_at),
            steps=status.events_processed,
            cancellation_requested=asked is not None,
            cancellation_reason=asked.reason if asked else "",
            silent_for=(now - by_holder[-1].time).total_seconds() if by_holder else None,
            is_overdue=lease is not None and (now - lease.time).total_seconds() > timeouts.start_to_close,
            stalled=stalled.reason if stalled and stalled.observer in ("runner", "supervisor") else "",
            stack=stalled.stack if stalled else "",
            runners=tuple(map(runner_fact, await self._runners(task_queue, status.runner))),
        )

    async def _runners(self, task_queue: str, holder: str | None = None) -> list[Runner]:
        """The latest runners of a queue, and the holder of the lease whatever its place among them."""
        async with Queries(self._store.reader(), mapper=self._store.mapper) as queries:
            found = await queries.runners(task_queue)
        latest = list(found[:RUNNERS_HEARD])
        return latest + [runner for runner in found[RUNNERS_HEARD:] if runner.runner_id == holder]


def runner_fact(runner: Runner) -> RunnerFact:
    """A runner as a verdict sees it."""
    error = None
    if runner.error:
        error = Cause(type=runner.error_type or "ProcessEnded", message=runner.error_message or runner.error)
    return RunnerFact(
        runner_id=runner.runner_id,
        state=runner.state.value,
        at=_clock(datetime.fromisoformat(runner.changed_at)) if runner.changed_at else "an unknown time",
        error=error,
        headline=runner.error,
        last_words=runner.last_words,
    )


def _clock(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%H:%M:%S} UTC" if time else "an unknown time"

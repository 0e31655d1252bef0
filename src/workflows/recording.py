"""The orchestrator's door to the store: the activities that append its events, and the one place where an end is
written.

Each may run any number of times: ids are made from the workflow's run, and every end has the same id, so the store
keeps the first verdict and hands it to whoever comes later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from temporalio import activity

from projector.engines.sqlite import SqliteEventStore
from projector.envelope import END_EVENT_ID, NewEvent, RecordedEvent, execution_stream
from projector.errors import ExecutionEnded, StoreUnavailable
from projector.event_writer import EventWriter
from projector.events import (
    AttemptFailed,
    AttemptFinished,
    CancellationRequested,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRequested,
    ExecutionStarted,
    RunnerAwaited,
    TerminalEvent,
    ThreadEnsured,
    WritableEvent,
)
from projector.execution_status import ExecutionStatus, Phase, fold
from projector.failures import Cause, Failure
from projector.projections.runners import Runner
from projector.queries import Queries
from workflows.contracts import (
    RECORD_OUTCOME,
    RECORD_START,
    RECORD_THREAD,
    OutcomeRecord,
    Started,
    StartRecord,
    ThreadRecord,
    VerdictRecord,
)
from workflows.evidence import Cancelled, Completed, Evidence, RunnerFact, Verdict
from workflows.failure_classifier import classify

PATIENCE: Final = 10.0
"""How long one try waits for the store, in seconds; Temporal tries again."""
RUNNERS_HEARD: Final = 5
WRITER: Final = "orchestrator"


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording activities of one orchestrator."""

    store: SqliteEventStore
    writer: EventWriter

    @activity.defn(name=RECORD_START)
    async def record_start(self, record: StartRecord) -> Started:
        """Append ExecutionStarted and RunnerAwaited, unless the execution has ended already."""
        request = record.request
        history = await self._history(request.execution_id)
        status = fold(None, history)
        if status is not None and status.phase.is_terminal:
            return Started(ended=status.phase)
        events: list[tuple[str, WritableEvent]] = [
            ("started", ExecutionStarted(run_id=record.run_id)),
            ("awaited", RunnerAwaited(task_queue=request.task_queue)),
        ]
        if status is None:  # started by another client than ours, straight through Temporal
            requested = ExecutionRequested(
                agent=request.agent,
                input=request.input,
                session_id=request.session_id,
                task_queue=request.task_queue,
                timeouts=request.timeouts,
            )
            events.insert(0, ("requested", requested))
        await self._append(request.execution_id, record.run_id, events)
        return Started()

    @activity.defn(name=RECORD_THREAD)
    async def record_thread(self, record: ThreadRecord) -> Started:
        """Append ThreadEnsured, and RunnerAwaited for the agent itself."""
        events: list[tuple[str, WritableEvent]] = [
            ("thread", ThreadEnsured(thread_id=record.thread_id)),
            ("agent-awaited", RunnerAwaited(task_queue=record.task_queue)),
        ]
        await self._append(record.execution_id, record.run_id, events)
        return Started()

    @activity.defn(name=RECORD_OUTCOME)
    async def record_outcome(self, record: OutcomeRecord) -> VerdictRecord:
        """Judge how the workflow went, append the end, and return the end that stands."""
        history = await self._history(record.execution_id)
        evidence = await self._evidence(record, history)
        verdict = _verdict(record, evidence)
        standing = await record_end(self.writer, record.execution_id, _end(verdict))
        return _verdict_record(standing)

    async def _history(self, execution_id: str) -> list[RecordedEvent]:
        return await asyncio.to_thread(self.store.read, execution_stream(execution_id))

    async def _append(self, execution_id: str, run_id: str, events: Sequence[tuple[str, WritableEvent]]) -> None:
        now = datetime.now(UTC)
        new = [NewEvent(id=f"{run_id}-{name}", time=now, writer=WRITER, event=event) for name, event in events]
        async with _in_time():
            await self.writer.append(execution_stream(execution_id), new)

    async def _evidence(self, record: OutcomeRecord, history: Sequence[RecordedEvent]) -> Evidence:
        status = fold(None, history) or ExecutionStatus(execution_id=record.execution_id)
        finished = next((r.event for r in reversed(history) if isinstance(r.event, AttemptFinished)), None)
        failed = next((r.event for r in reversed(history) if isinstance(r.event, AttemptFailed)), None)
        asked = next((r.event for r in reversed(history) if isinstance(r.event, CancellationRequested)), None)
        by_runner = (r for r in reversed(history) if r.writer.startswith("runner:"))
        # What the agent did last: the end of its attempt is what is being judged.
        last = next((r for r in by_runner if not isinstance(r.event, AttemptFailed)), None)
        runners: tuple[Runner, ...] = ()
        if record.chain:
            async with Queries(self.store.path) as queries:
                runners = (await queries.runners(record.task_queue))[:RUNNERS_HEARD]
        return Evidence(
            task_queue=record.task_queue,
            timeouts=record.timeouts,
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
            runners=tuple(_fact(runner) for runner in runners),
        )


async def record_end(
    writer: EventWriter, execution_id: str, end: TerminalEvent, *, writer_name: str = WRITER
) -> TerminalEvent:
    """Append an end and return the one that stands: the first to be written. Raises StoreError."""
    new = NewEvent(id=END_EVENT_ID, time=datetime.now(UTC), writer=writer_name, event=end)
    async with _in_time():
        appended = await writer.append(execution_stream(execution_id), [new])
    standing = appended.records[0].event
    if not isinstance(standing, TerminalEvent):
        raise ExecutionEnded(execution_id, "ended in a way that this version cannot read")
    return standing


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise StoreUnavailable(f"the store could not take an event within {PATIENCE:g} s") from None


def _verdict(record: OutcomeRecord, evidence: Evidence) -> Verdict:
    if record.chain:
        return classify(record.chain, evidence)
    if evidence.finished or not record.output_is_whole:
        return Completed(evidence.output, evidence.output_bytes or record.output_bytes, recovered="")
    return Completed(record.output, record.output_bytes, recovered="")


def _end(verdict: Verdict) -> TerminalEvent:
    match verdict:
        case Completed(output, output_bytes, recovered):
            return ExecutionCompleted(output=output, output_bytes=output_bytes, recovered=recovered)
        case Cancelled(reason):
            return ExecutionCancelled(reason=reason)
        case Failure():
            return ExecutionFailed(failure=verdict)


def _verdict_record(end: TerminalEvent) -> VerdictRecord:
    match end:
        case ExecutionCompleted():
            return VerdictRecord(phase=Phase.COMPLETED, output=end.output, output_bytes=end.output_bytes)
        case ExecutionCancelled():
            return VerdictRecord(phase=Phase.CANCELLED)
        case ExecutionFailed():
            failure = end.failure
            return VerdictRecord(
                phase=Phase.FAILED,
                code=failure.code,
                category=failure.category,
                message=failure.message,
                remedy=failure.remedy,
            )


def _fact(runner: Runner) -> RunnerFact:
    error = None
    if runner.error:
        error = Cause(type=runner.error_type or "ProcessEnded", message=runner.error_message or runner.error)
    return RunnerFact(
        runner_id=runner.runner_id,
        state=runner.state.value,
        at=_clock(datetime.fromisoformat(runner.changed_at)) if runner.changed_at else "an unknown time",
        error=error,
        headline=runner.error,
    )


def _clock(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%H:%M:%S} UTC" if time else "an unknown time"

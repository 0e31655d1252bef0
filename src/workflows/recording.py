"""The orchestrator's door to the store: the activities that append its events, and the one place where an end is
written.

Each may run any number of times: ids are made from the workflow's run, and every end has the same id, so the store
keeps the first verdict and hands it to whoever comes later.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from temporalio import activity

from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, NewEvent, execution_stream
from projector.errors import ExecutionEnded, StoreUnavailable, VersionConflict
from projector.event_store import ANY, Expectation, exactly
from projector.event_writer import EventWriter
from projector.events import (
    ConditionKind,
    ConditionObserved,
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
from projector.execution_status import ExecutionStatus, Phase
from projector.failures import Failure
from projector.landmarks import Landmarks, landmarks
from runner.tracing import tracing
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
from workflows.queues.preflight import Preflight
from workflows.verdict.evidence import Cancelled, Completed, Evidence, Undecided, Verdict
from workflows.verdict.failure_classifier import classify
from workflows.verdict.gathering import Gathering

PATIENCE: Final = 10.0
"""How long one try waits for the store, in seconds; Temporal tries again."""
WRITER: Final = "orchestrator"
_ADRIFT: Final = ConditionKind.DEGRADED
"""What an execution shows whose attempt goes on without Temporal."""


Recover = Callable[[str], Awaitable[object]]
"""Runs an execution that has FAILED again, if that is wanted and safe."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording activities of one orchestrator. `engine` is the id of its Temporal's namespace."""

    store: StoreEngine
    writer: EventWriter
    gathering: Gathering
    preflight: Preflight | None = None
    recover: Recover | None = None
    engine: str = ""

    @activity.defn(name=RECORD_START)
    async def record_start(self, record: StartRecord) -> Started:
        """Append ExecutionStarted and RunnerAwaited, unless the execution has ended already."""
        request = record.request
        status = (await self._landmarks(request.execution_id)).status
        if status is not None and status.phase.is_terminal:
            return Started(ended=status.phase)
        events: list[tuple[str, WritableEvent]] = [
            ("started", ExecutionStarted(run_id=record.run_id, engine=self.engine)),
            ("awaited", RunnerAwaited(task_queue=request.task_queue)),
        ]
        if status is None:  # started by another client than ours, straight through Temporal
            requested = ExecutionRequested(
                agent=request.agent,
                input=request.input,
                session_id=request.session_id,
                task_queue=request.task_queue,
                timeouts=request.timeouts,
                trace_id=tracing().trace_id,
            )
            events.insert(0, ("requested", requested))
        looking = asyncio.create_task(self._first_look(request.task_queue))
        await self._append(request.execution_id, record.run_id, events)
        if (observed := await looking) is not None:
            await self._append(request.execution_id, record.run_id, [("first-look", observed)])
        return Started()

    async def _first_look(self, queue: str) -> ConditionObserved | None:
        return await self.preflight.look(queue) if self.preflight is not None else None

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
        """Judge how the workflow went, append the end, and return the end that stands; or say that none is due yet."""
        while True:
            known = await self._landmarks(record.execution_id)
            status = known.status or ExecutionStatus(execution_id=record.execution_id)
            if status.phase.is_terminal:
                standing = next(r.event for r in known.records if isinstance(r.event, TerminalEvent))
                return await self._concluded(record.execution_id, standing)
            evidence = await self._evidence(record, known, status)
            verdict = _verdict(record, evidence)
            if isinstance(verdict, Undecided):
                await self._tell_undecided(status, verdict)
                return VerdictRecord(phase=status.phase, look_again=verdict.look_again)
            # A verdict that says that no agent began must not cross with one that begins.
            expect = ANY if evidence.began else exactly(status.version)
            with suppress(VersionConflict):
                standing = await record_end(
                    self.writer, record.execution_id, end_of(verdict), expect=expect, trace_id=status.trace_id
                )
                return await self._concluded(record.execution_id, standing)

    async def _concluded(self, execution_id: str, standing: TerminalEvent) -> VerdictRecord:
        """What follows from the end that stands. An automatic retry that cannot be started now is tried again, since
        then this activity fails and Temporal tries it again.
        """
        if isinstance(standing, ExecutionFailed) and self.recover is not None:
            await self.recover(execution_id)
        return _verdict_record(standing)

    async def _landmarks(self, execution_id: str) -> Landmarks:
        return await asyncio.to_thread(landmarks, self.store, execution_id)

    async def _append(self, execution_id: str, run_id: str, events: Sequence[tuple[str, WritableEvent]]) -> None:
        now = datetime.now(UTC)
        new = [NewEvent(id=f"{run_id}-{name}", time=now, writer=WRITER, event=event) for name, event in events]
        async with _in_time():
            await self.writer.append(execution_stream(execution_id), new)

    async def _evidence(self, record: OutcomeRecord, known: Landmarks, status: ExecutionStatus) -> Evidence:
        evidence = await self.gathering.about(
            record.execution_id, known, task_queue=record.task_queue, timeouts=record.timeouts
        )
        if evidence.began or not record.chain:
            return evidence
        return await self.gathering.about_waiting(status, evidence)

    async def _tell_undecided(self, status: ExecutionStatus, verdict: Undecided) -> None:
        """Say once, on the execution, why it has no verdict although Temporal has given its attempt up."""
        if not verdict.why or any(held.observer == WRITER for held in status.conditions if held.kind is _ADRIFT):
            return
        observed = ConditionObserved(kind=_ADRIFT, reason=verdict.why)
        new = NewEvent(uuid.uuid4().hex, datetime.now(UTC), WRITER, observed)
        with suppress(VersionConflict):  # it moves: the next look says it
            async with _in_time():
                await self.writer.append(execution_stream(status.execution_id), [new], exactly(status.version))


async def record_end(
    writer: EventWriter,
    execution_id: str,
    end: TerminalEvent,
    *,
    expect: Expectation = ANY,
    writer_name: str = WRITER,
    trace_id: str | None = None,
) -> TerminalEvent:
    """Append an end and return the one that stands: the first to be written. Raises VersionConflict, StoreError.

    `trace_id` is the execution's own: whoever writes its end may be outside of its trace.
    """
    new = NewEvent(id=END_EVENT_ID, time=datetime.now(UTC), writer=writer_name, event=end)
    async with _in_time():
        appended = await writer.append(execution_stream(execution_id), [new], expect)
    standing = appended.records[0].event
    if not isinstance(standing, TerminalEvent):
        raise ExecutionEnded(execution_id, "ended in a way that this version cannot read")
    if appended.is_new:
        with tracing().within(trace_id):
            tracing().verdict(execution_id, standing)
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


def end_of(verdict: Verdict) -> TerminalEvent:
    """The event that ends an execution with this verdict. Raises ValueError for one that decides nothing."""
    match verdict:
        case Completed(output, output_bytes, recovered):
            return ExecutionCompleted(output=output, output_bytes=output_bytes, recovered=recovered)
        case Cancelled(reason):
            return ExecutionCancelled(reason=reason)
        case Failure():
            return ExecutionFailed(failure=verdict)
        case Undecided(why):
            raise ValueError(f"nothing is decided: {why}")


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

"""One execution in one pass of the reconciler: what was found, and what is appended because of it.

Everything but an end is appended at the version at which it was decided; when the execution moves meanwhile, it is
decided anew on what it has become.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from projector.engines.ports import StoreEngine
from projector.envelope import NewEvent, execution_stream
from projector.errors import StoreUnavailable, VersionConflict
from projector.event_store import ANY, exactly
from projector.event_writer import EventWriter
from projector.events import (
    AnyEvent,
    ConditionObserved,
    ExecutionRequested,
    ExecutionStarted,
    RunnerAwaited,
    Timeouts,
    WritableEvent,
)
from projector.execution_status import ExecutionStatus, fold
from projector.landmarks import Landmarks, landmarks
from projector.rendering.describing_events import describe
from workflows.reconciliation.reconcile_report import Written
from workflows.reconciliation.workflow_conditions import OBSERVER, changes
from workflows.reconciliation.workflow_facts import WorkflowFacts
from workflows.recording import end_of, record_end
from workflows.verdict.evidence import Evidence, Undecided, Verdict
from workflows.verdict.gathering import Gathering

WRITER: Final = OBSERVER
PATIENCE: Final = 10.0
"""How long one append waits for the store, in seconds; the next pass tries again."""
TRIES: Final = 5
"""How often something is decided anew when the execution moves meanwhile, until the next pass."""


@dataclass(frozen=True, slots=True)
class CaseTools:
    """What every case of a reconciler is written with."""

    store: StoreEngine
    writer: EventWriter
    gathering: Gathering


@dataclass(slots=True)
class Case:
    """One execution in one pass: its status when Temporal was asked, what Temporal said, and what was written."""

    tools: CaseTools
    before: ExecutionStatus
    facts: WorkflowFacts | None
    written: list[Written] = field(default_factory=list)

    @property
    def execution_id(self) -> str:
        return self.before.execution_id

    @property
    def stream(self) -> str:
        return execution_stream(self.execution_id)

    async def follow(self, facts: WorkflowFacts, engine: str) -> bool:
        """Note that another run goes on with the execution; False when that moves too fast for this pass."""
        known = self.before.run_id
        if known is None or known == facts.run_id:
            return True
        for _ in range(TRIES):
            status = await self._fresh()
            if status.run_id == facts.run_id or status.phase.is_terminal:
                return True
            if status.run_id != known:  # later than what Temporal said
                return False
            # The ids are those that the run's own workflow would use, and both together are what it appends when it
            # begins: a part of a group alone would make the store refuse the whole.
            noted: list[tuple[str, WritableEvent]] = [
                (f"{facts.run_id}-started", ExecutionStarted(run_id=facts.run_id, engine=engine)),
                (f"{facts.run_id}-awaited", RunnerAwaited(task_queue=status.task_queue)),
            ]
            with suppress(VersionConflict):
                await self._append(status, noted[:1] if facts.is_closed else noted)
                return True
        return False

    async def show(self, due: Callable[[ExecutionStatus], Sequence[ConditionObserved]]) -> None:
        """Have the execution show the conditions that are due, and no other of ours."""
        for _ in range(TRIES):
            status = await self._fresh()
            events = () if status.phase.is_terminal else changes(status, due(status))
            if not events:
                return
            with suppress(VersionConflict):
                await self._append(status, [(f"reconciler-{uuid.uuid4().hex}", event) for event in events])
                return

    async def end(self, judge: Callable[[Evidence], Verdict]) -> None:
        """Append the end, unless there is one. The history is judged as it is: when it grows, it is judged anew."""
        for left in reversed(range(TRIES)):
            known = await asyncio.to_thread(landmarks, self.tools.store, self.execution_id)
            status = known.status
            if status is None or status.phase.is_terminal:
                return
            if status.run_id not in (self.before.run_id, self.facts.run_id if self.facts else None):
                return  # another run has begun since Temporal was asked
            evidence = await self._evidence(known)
            verdict = judge(evidence)
            if isinstance(verdict, Undecided):
                return
            # An agent that nobody waits for may go on and on; one that never began must not begin meanwhile.
            expect = ANY if evidence.began and not left else exactly(status.version)
            with suppress(VersionConflict):
                standing = await record_end(
                    self.tools.writer,
                    self.execution_id,
                    end_of(verdict),
                    expect=expect,
                    writer_name=WRITER,
                    trace_id=status.trace_id,
                )
                self.written.append(self._as_written(standing))
                return

    async def _evidence(self, known: Landmarks) -> Evidence:
        asked = next((record.event for record in known.records if isinstance(record.event, ExecutionRequested)), None)
        return await self.tools.gathering.about(
            self.execution_id,
            known,
            task_queue=asked.task_queue if asked else "",
            timeouts=asked.timeouts if asked else Timeouts(),
        )

    async def _fresh(self) -> ExecutionStatus:
        later = await asyncio.to_thread(self.tools.store.read, self.stream, after=self.before.version)
        return fold(self.before, later) or self.before

    async def _append(self, status: ExecutionStatus, events: Sequence[tuple[str, WritableEvent]]) -> None:
        now = datetime.now(UTC)
        new = [NewEvent(id=event_id, time=now, writer=WRITER, event=event) for event_id, event in events]
        try:
            async with asyncio.timeout(PATIENCE):
                appended = await self.tools.writer.append(self.stream, new, exactly(status.version))
        except TimeoutError:
            raise StoreUnavailable(f"the store could not take an event within {PATIENCE:g} s") from None
        if appended.is_new:
            self.written += [self._as_written(record.event) for record in appended.records]

    def _as_written(self, event: AnyEvent) -> Written:
        return Written(self.execution_id, type(event).__name__, describe(event))

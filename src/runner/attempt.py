"""One attempt: take the lease, let the agent run elsewhere, beat meanwhile, and tell the store of the end first.

The attempt itself stays on the worker's event loop. What it returns or raises is for Temporal; by then the store has
it.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, NoReturn

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from projector.door.hygiene import Hygiene
from projector.errors import StoreError
from projector.event_store import EventStore
from projector.event_writer import EventWriter
from projector.events import AttemptFailed, AttemptFinished, WritableEvent
from projector.failures import ErrorReport
from runner.adrift import Adrift
from runner.agent import Agent, AgentTask
from runner.agent_run import AgentRun, Finished, Outcome, Raised, Stopped
from runner.beating import Beating, beat_until
from runner.contracts import ATTEMPT_FAILED, ATTEMPT_REFUSED, AgentResult
from runner.emitter import Emitter
from runner.lease import Claimant, Refusal, take_lease
from runner.link import AttemptClosed, AttemptOpened, Link
from runner.liveness import LivenessWatch
from runner.tracing import AGENT, EXECUTION, SESSION, tracing

LAST_WORDS_PATIENCE: Final = 10.0
"""How long Temporal's answer waits for a store that cannot serve, in seconds; the answer carries the reason too."""

log = structlog.get_logger("runner")


@dataclass(frozen=True, slots=True)
class AttemptTools:
    """What every attempt of a runner works with. Times are in seconds.

    `stop_patience` is how long a stopped agent may take to end, `shutdown_grace` how long agents may go on when the
    runner is told to stop.
    """

    store: EventStore
    writer: EventWriter
    hygiene: Hygiene
    runner_id: str
    stop_patience: float = 5.0
    shutdown_grace: float = 17.5
    link: Link = field(default_factory=Link)
    liveness: LivenessWatch | None = None


class Attempt:
    """One attempt of one execution."""

    def __init__(self, tools: AttemptTools, agent: Agent, task: AgentTask, agent_name: str) -> None:
        self._tools = tools
        self._agent = agent
        self._task = task
        self._about = {EXECUTION: task.execution_id, AGENT: agent_name, SESSION: task.session_id}
        self._is_paused = False
        self._emitter = Emitter(tools.writer, task.execution_id, runner_id=tools.runner_id, attempt=task.attempt)

    async def run(self) -> AgentResult:
        """Run the agent once, or not at all when the lease cannot be had.

        Raises ApplicationError with the report of what went wrong, CancelledError when it was cancelled.
        """
        info = activity.info()
        task, link = self._task, self._tools.link
        # Before the lease: a runner that dies while it waits for the store is told of, too.
        link.say(AttemptOpened(task.execution_id, task.attempt, info.task_token))
        try:
            claimant = Claimant(self._tools.runner_id, info.task_queue, task.attempt)
            claim = asyncio.ensure_future(
                take_lease(self._tools.store, self._tools.writer, task.execution_id, claimant)
            )
            try:
                await beat_until(claim)
            finally:
                claim.cancel()
            if isinstance(refusal := claim.result(), Refusal):
                log.warning("the agent is not run", execution_id=task.execution_id, reason=refusal.reason)
                raise ApplicationError(refusal.reason, type=ATTEMPT_REFUSED, non_retryable=True)
            with tracing().attempt(self._about) as watch:
                self._emitter.watch = watch
                return await self._run_agent()
        finally:
            link.say(AttemptClosed(task.execution_id, task.attempt))

    async def _run_agent(self) -> AgentResult:
        beating = Beating(self._emitter)
        run = AgentRun(self._agent, self._task, self._emitter, self._tools.hygiene, beating.step_taken)
        run.start()
        with self._watched(run):
            try:
                outcome: Outcome | ErrorReport = await beating.until_done(run)
            except asyncio.CancelledError:
                outcome = await self._called(run, beating)
        if isinstance(outcome, ErrorReport):
            await self._tell(AttemptFailed(report=outcome))
            if outcome.kind == "cancelled" and not self._is_paused:
                raise asyncio.CancelledError
            fail(outcome)  # a paused activity that ends as cancelled would be tried again by Temporal
        return await self._settle(outcome)

    def _watched(self, run: AgentRun) -> AbstractContextManager[None]:
        liveness = self._tools.liveness
        return liveness.watching(self._emitter, run) if liveness is not None else nullcontext()

    async def _called(self, run: AgentRun, beating: Beating) -> Outcome | ErrorReport:
        """Temporal has called the attempt off, or only lost sight of it: how the agent ended, or why it was stopped."""
        details = activity.cancellation_details()
        if details is None or details.cancel_requested or details.worker_shutdown or details.reset:
            return await self._stop(run, _why_stopped(details))
        lost = "Temporal paused it" if details.paused else "Temporal no longer knows the attempt"
        log.warning("an agent goes on without Temporal", execution_id=self._task.execution_id, reason=lost)
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        self._is_paused = beating.is_heard = details.paused
        adrift = Adrift(self._tools.store, self._task.execution_id, shutdown_grace=self._tools.shutdown_grace)
        try:
            while (outcome := await beating.once(run)) is None:
                if (reason := await adrift.reason_to_stop()) is not None:
                    return await self._stop(run, reason)
            return outcome
        except asyncio.CancelledError:
            return await self._stop(run, _why_stopped(activity.cancellation_details()))

    async def _stop(self, run: AgentRun, reason: ErrorReport) -> Outcome | ErrorReport:
        run.stop()
        ended = asyncio.wrap_future(run.outcome)
        outcome = ended.result() if await beat_until(ended, self._tools.stop_patience) else Stopped()
        return reason if isinstance(outcome, Stopped) else outcome

    async def _settle(self, outcome: Outcome) -> AgentResult:
        match outcome:
            case Finished():
                await self._tell(AttemptFinished(output=outcome.output, output_bytes=outcome.output_bytes))
                return AgentResult(output=outcome.output, output_bytes=outcome.output_bytes)
            case Raised():
                log.warning("the agent failed", execution_id=self._task.execution_id, error=outcome.report.headline)
                await self._tell(AttemptFailed(report=outcome.report))
                fail(outcome.report)
            case Stopped():
                raise AssertionError("only an agent that was told to stop is stopped")

    async def _tell(self, event: WritableEvent) -> None:
        """Store an event while beating; a store that cannot serve for long must not keep the reason from Temporal."""
        telling = asyncio.ensure_future(self._emitter.store(event, patience=LAST_WORDS_PATIENCE))
        try:
            await beat_until(telling)
            if not telling.result():
                log.warning("the store could not take an event in time", event_type=type(event).__name__)
        except StoreError as error:
            log.error("the store refused an event", event_type=type(event).__name__, reason=str(error))


def fail(report: ErrorReport) -> NoReturn:
    """Hand a report to Temporal. Raised from nothing, so that no unbounded cause travels along."""
    raise ApplicationError(
        report.headline, report.model_dump(mode="json"), type=ATTEMPT_FAILED, non_retryable=report.kind != "system"
    ) from None


def _why_stopped(details: activity.ActivityCancellationDetails | None) -> ErrorReport:
    if details is not None and details.worker_shutdown:
        message = "the runner was shut down before the agent had finished"
        return ErrorReport(kind="shutdown", type="RunnerShutDown", message=message)
    if details is None or details.cancel_requested:
        return ErrorReport(kind="cancelled", type="Cancelled", message="the execution was cancelled")
    why = "its time was up" if details.timed_out else "it has moved on"
    return ErrorReport(kind="cancelled", type="Abandoned", message=f"Temporal no longer waits for this attempt: {why}")

"""The runner's two activities, thin: take the request, let the agent run elsewhere, tell the store first and Temporal
second.

The activity itself stays on the worker's event loop, where it beats: after every fifth step and on a timer, so that
an agent that waits long for its model is never taken for dead.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from projector.errors import StoreError
from projector.event_writer import EventWriter
from projector.events import AttemptFailed, AttemptFinished, AttemptStarted, HeartbeatRecorded, WritableEvent
from projector.failures import ErrorReport
from projector.hygiene import Hygiene
from runner.agent import Agent, AgentTask
from runner.agent_run import AgentRun, Finished, Outcome, Raised, Stopped
from runner.contracts import (
    ATTEMPT_FAILED,
    ENSURE_THREAD,
    EXECUTE_AGENT,
    AgentRequest,
    AgentResult,
    Thread,
    ThreadRequest,
)
from runner.emitter import Emitter
from runner.failure_report import report_failure
from runner.threads import prepare_thread

STEPS_A_BEAT: Final = 5
LONGEST_BEAT: Final = 2.0
"""Seconds between two beats at most: a cancellation reaches the runner as the answer to one."""
RECORDED_BEAT: Final = 1.0
"""Seconds between two HeartbeatRecorded events at least."""
LAST_WORDS_PATIENCE: Final = 10.0
"""How long Temporal's answer waits for a store that cannot serve, in seconds; the answer carries the reason too."""

log = structlog.get_logger("runner")


@dataclass(frozen=True, slots=True)
class RunnerActivities:
    """The activities of one runner. `stop_patience` is how long a stopped agent may take to end, in seconds."""

    agents: Mapping[str, Agent]
    writer: EventWriter
    hygiene: Hygiene
    threads_dir: Path
    runner_id: str
    stop_patience: float = 5.0

    @activity.defn(name=ENSURE_THREAD)
    async def ensure_thread(self, request: ThreadRequest) -> Thread:
        """Prepare the conversation of an execution; may run any number of times."""
        self._agent(request.agent)
        name = request.session_id or request.execution_id
        try:
            return await asyncio.to_thread(prepare_thread, self.threads_dir, name)
        except Exception as error:
            _fail(report_failure(error, self.hygiene, kind="system"))

    @activity.defn(name=EXECUTE_AGENT)
    async def execute_agent(self, request: AgentRequest) -> AgentResult:
        """Run the agent once. Whatever it does, its events are stored before Temporal hears of its end."""
        try:
            return await self._execute(request)
        except (ApplicationError, asyncio.CancelledError):
            raise
        except Exception as error:  # ours, not the agent's: no thread can be started, say
            _fail(report_failure(error, self.hygiene, kind="system"))

    async def _execute(self, request: AgentRequest) -> AgentResult:
        info = activity.info()
        agent = self._agent(request.agent)
        emitter = Emitter(self.writer, request.execution_id, runner_id=self.runner_id, attempt=info.attempt)
        await self._tell(emitter, AttemptStarted(runner_id=self.runner_id, task_queue=info.task_queue))
        task = AgentTask(
            execution_id=request.execution_id,
            input=request.input,
            session_id=request.session_id,
            thread_id=request.thread_id,
            thread_dir=self.threads_dir / request.thread_id,
            attempt=info.attempt,
        )
        beating = _Beating(emitter, _longest_silence())
        run = AgentRun(agent, task, emitter, self.hygiene, beating.step_taken)
        run.start()
        try:
            outcome = await beating.until_done(run)
        except asyncio.CancelledError:
            outcome = await self._stop(run)
            if isinstance(outcome, Stopped):
                report = _why_stopped()
                await self._tell(emitter, AttemptFailed(report=report))
                if report.kind == "cancelled":
                    raise
                _fail(report)
        return await self._settle(emitter, outcome)

    async def _settle(self, emitter: Emitter, outcome: Outcome) -> AgentResult:
        match outcome:
            case Finished():
                await self._tell(emitter, AttemptFinished(output=outcome.output, output_bytes=outcome.output_bytes))
                return AgentResult(output=outcome.output, output_bytes=outcome.output_bytes)
            case Raised():
                log.warning("the agent failed", execution_id=emitter.execution_id, error=outcome.report.headline)
                await self._tell(emitter, AttemptFailed(report=outcome.report))
                _fail(outcome.report)
            case Stopped():
                raise AssertionError("only an agent that was told to stop is stopped")

    async def _stop(self, run: AgentRun) -> Outcome:
        run.stop()
        ended = asyncio.wrap_future(run.outcome)
        return ended.result() if await _beat_until(ended, self.stop_patience) else Stopped()

    async def _tell(self, emitter: Emitter, event: WritableEvent) -> None:
        """Store an event while beating; a store that cannot serve for long must not keep the reason from Temporal."""
        telling = asyncio.ensure_future(emitter.emit(event, patience=LAST_WORDS_PATIENCE))
        try:
            await _beat_until(telling)
            if telling.result() is None:
                log.warning("the store could not take an event in time", event_type=type(event).__name__)
        except StoreError as error:
            log.error("the store refused an event", event_type=type(event).__name__, reason=str(error))

    def _agent(self, name: str) -> Agent:
        agent = self.agents.get(name)
        if agent is None:
            served = ", ".join(sorted(self.agents)) or "none"
            message = f"this runner does not serve the agent '{name}'; it serves: {served}"
            _fail(ErrorReport(kind="mismatch", type="AgentNotServed", message=self.hygiene.text(message).text))
        return agent


def _why_stopped() -> ErrorReport:
    details = activity.cancellation_details()
    if details is not None and details.worker_shutdown:
        message = "the runner was shut down before the agent had finished"
        return ErrorReport(kind="shutdown", type="RunnerShutDown", message=message)
    if details is None or details.cancel_requested:
        return ErrorReport(kind="cancelled", type="Cancelled", message="the execution was cancelled")
    why = "its time was up" if details.timed_out else "paused" if details.paused else "it has moved on"
    return ErrorReport(kind="cancelled", type="Abandoned", message=f"Temporal no longer waits for this attempt: {why}")


def _fail(report: ErrorReport) -> NoReturn:
    """Hand a report to Temporal. Raised from nothing, so that no unbounded cause travels along."""
    raise ApplicationError(
        report.headline, report.model_dump(mode="json"), type=ATTEMPT_FAILED, non_retryable=report.kind != "system"
    ) from None


def _longest_silence() -> float:
    """Seconds that this attempt may be silent: a third of its heartbeat timeout."""
    timeout = activity.info().heartbeat_timeout
    return (timeout.total_seconds() if timeout else 30.0) / 3


async def _beat_until(done: asyncio.Future[Any], patience: float = math.inf) -> bool:
    """Wait for something outside the agent's run while beating; False when `patience` (seconds) ran out before."""
    interval = min(_longest_silence(), LONGEST_BEAT)
    deadline = time.monotonic() + patience
    while not done.done() and (left := deadline - time.monotonic()) > 0:
        if not (await asyncio.wait({done}, timeout=min(interval, left)))[0]:
            activity.heartbeat()
    return done.done()


class _Beating:
    """The heartbeats of one attempt, to Temporal and, less often, to the store."""

    def __init__(self, emitter: Emitter, longest: float) -> None:
        self._emitter = emitter
        self._interval = min(longest, LONGEST_BEAT)
        self._recorded_interval = max(longest, RECORDED_BEAT)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._steps = 0
        self._recorded_at = time.monotonic()
        self._recorded_steps = 0

    def step_taken(self) -> None:
        """Count a step; called on the agent's thread."""
        self._steps += 1
        if self._steps % STEPS_A_BEAT == 0:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def until_done(self, run: AgentRun) -> Outcome:
        """Beat until the agent has ended."""
        ended = asyncio.wrap_future(run.outcome)
        while not ended.done():
            self._wake.clear()
            waking = asyncio.ensure_future(self._wake.wait())
            try:
                waited: set[asyncio.Future[Any]] = {ended, waking}
                await asyncio.wait(waited, timeout=self._interval, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waking.cancel()
            if not ended.done():
                self._beat(run)
        return ended.result()

    def _beat(self, run: AgentRun) -> None:
        progress = run.progress
        activity.heartbeat(progress)
        now = time.monotonic()
        due = RECORDED_BEAT if progress.events_processed != self._recorded_steps else self._recorded_interval
        if now - self._recorded_at >= due:
            self._recorded_at, self._recorded_steps = now, progress.events_processed
            self._emitter.emit_soon(HeartbeatRecorded(**progress.model_dump()))

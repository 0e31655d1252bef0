"""The workflow of one execution: prepare its thread, run its agent, and see to it that it gets exactly one verdict.

The only deterministic file. It decides the order of things and nothing else: what went wrong is judged, and every event
is appended, in activities on the orchestrator's own queue, which try again without limit. Whoever knows that the store
holds something that decides sends the signal `reconsider`: the workflow then has it judged, whatever it waits for.
"""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from projector.events import EXECUTION_ID_PATTERN
    from projector.execution_status import Phase
    from runner.contracts import (
        ENSURE_THREAD,
        EXECUTE_AGENT,
        RECONSIDER,
        SMALL_RESULT,
        WORKFLOW,
        AgentRequest,
        AgentResult,
        ExecutionInput,
        Thread,
        ThreadRequest,
    )
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
    from workflows.verdict.error_chain import error_chain
    from workflows.verdict.error_link import ErrorChain, ErrorLink

THREAD_START_TO_CLOSE: Final = timedelta(seconds=30)
THREAD_HEARTBEAT: Final = timedelta(seconds=10)
"""A runner that froze while it waited for work may be handed some; after this another one gets it."""
THREAD_ATTEMPTS: Final = 3
AGENT_ATTEMPTS: Final = 1
"""An agent run is not idempotent."""
RECORDING_START_TO_CLOSE: Final = timedelta(seconds=15)
RECORDING_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=0.2), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=5)
)
"""Without a limit: a store outage delays a verdict and never loses it."""
ASKED_TO_RECONSIDER: Final = (ErrorLink(kind="application", type=RECONSIDER, message="look into the store again"),)

Answer = TypeVar("Answer")


class _Decided(Exception):
    """The verdict was reached while the workflow still waited for something else."""

    def __init__(self, verdict: VerdictRecord) -> None:
        super().__init__(verdict.phase)
        self.verdict = verdict


@workflow.defn(name=WORKFLOW)
class InvokeAgentExecution:
    """Runs one execution from its start to its verdict."""

    def __init__(self) -> None:
        self._is_nudged = False
        self._cancelled: asyncio.CancelledError | None = None

    @workflow.signal(name=RECONSIDER)
    def reconsider(self) -> None:
        """The store may hold something that decides."""
        self._is_nudged = True

    @workflow.run
    async def run(self, request: ExecutionInput) -> AgentResult:
        """Return the agent's result; raise ApplicationError of the failure's code, or CancelledError."""
        _refuse_unless_sound(request)
        error: BaseException | None = None
        result: AgentResult | None = None
        try:
            result = await self._invoke(request)
            verdict = await self._judge(request, result, None)
        except _Decided as decided:
            verdict = decided.verdict
        except (asyncio.CancelledError, Exception) as caught:
            error = caught
            verdict = await self._judge(request, AgentResult(), error)
        workflow.set_current_details(_details(verdict))
        match verdict.phase:
            case Phase.COMPLETED:
                return result or AgentResult(output=verdict.output, output_bytes=verdict.output_bytes)
            case Phase.CANCELLED:
                raise error or asyncio.CancelledError
            case _:
                about = {"category": verdict.category, "remedy": verdict.remedy}
                raise ApplicationError(verdict.message, about, type=verdict.code, non_retryable=True) from None

    async def _invoke(self, request: ExecutionInput) -> AgentResult:
        run_id = workflow.info().run_id
        started = await self._record(RECORD_START, StartRecord(request=request, run_id=run_id), Started)
        if started.ended is not None:
            raise ApplicationError(f"the execution is {started.ended} already: nothing is run", non_retryable=True)
        limits = request.timeouts
        thread: Thread = await self._unless_decided(
            request,
            workflow.start_activity(
                ENSURE_THREAD,
                ThreadRequest(execution_id=request.execution_id, agent=request.agent, session_id=request.session_id),
                result_type=Thread,
                task_queue=request.task_queue,
                schedule_to_start_timeout=timedelta(seconds=limits.schedule_to_start),
                start_to_close_timeout=THREAD_START_TO_CLOSE,
                heartbeat_timeout=min(THREAD_HEARTBEAT, timedelta(seconds=limits.heartbeat)),
                retry_policy=RetryPolicy(maximum_attempts=THREAD_ATTEMPTS),
            ),
        )
        record = ThreadRecord(
            execution_id=request.execution_id,
            run_id=run_id,
            thread_id=thread.thread_id,
            task_queue=request.task_queue,
        )
        await self._record(RECORD_THREAD, record, Started)
        result: AgentResult = await self._unless_decided(
            request,
            workflow.start_activity(
                EXECUTE_AGENT,
                AgentRequest(
                    execution_id=request.execution_id,
                    agent=request.agent,
                    input=request.input,
                    session_id=request.session_id,
                    thread_id=thread.thread_id,
                ),
                result_type=AgentResult,
                task_queue=request.task_queue,
                schedule_to_start_timeout=timedelta(seconds=limits.schedule_to_start),
                start_to_close_timeout=timedelta(seconds=limits.start_to_close),
                heartbeat_timeout=timedelta(seconds=limits.heartbeat),
                retry_policy=RetryPolicy(maximum_attempts=AGENT_ATTEMPTS),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            ),
        )
        return result

    async def _unless_decided(self, request: ExecutionInput, activity: workflow.ActivityHandle[Any]) -> Any:
        """Wait for an activity of the runner's; raises _Decided when the verdict is reached before."""
        # Its end may come when nobody asks any more, or just before this workflow moves to another orchestrator;
        # unheard, its error would be logged as forgotten.
        activity.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        while True:
            try:
                if self._cancelled is None:
                    await workflow.wait_condition(lambda: activity.done() or self._is_nudged)
            except asyncio.CancelledError as error:
                self._cancelled = error
            if self._cancelled is not None:
                activity.cancel()
                return await activity
            if activity.done():
                return activity.result()
            self._is_nudged = False
            record = _outcome(request, AgentResult(), ASKED_TO_RECONSIDER)
            verdict = await self._record(RECORD_OUTCOME, record, VerdictRecord)
            if verdict.phase.is_terminal:
                raise _Decided(verdict)

    async def _judge(self, request: ExecutionInput, result: AgentResult, error: BaseException | None) -> VerdictRecord:
        """Have the end written; where the agent may still be at work, wait for what it stores."""
        chain: ErrorChain = error_chain(error) if error is not None else ()
        while True:
            self._is_nudged, self._cancelled = False, None
            verdict = await self._record(RECORD_OUTCOME, _outcome(request, result, chain), VerdictRecord)
            if verdict.phase.is_terminal:
                return verdict
            try:
                if self._cancelled is None:
                    await workflow.wait_condition(
                        lambda: self._is_nudged, timeout=timedelta(seconds=verdict.look_again)
                    )
            except TimeoutError:
                pass
            except asyncio.CancelledError as cancelled:
                self._cancelled = cancelled
            if self._cancelled is not None:
                chain = error_chain(self._cancelled)

    async def _record(self, activity: str, record: BaseModel, answer: type[Answer]) -> Answer:
        """Let an event be appended, whatever happens meanwhile: a cancellation waits until it is stored."""
        recording: asyncio.Task[Any] = asyncio.create_task(
            workflow.execute_activity(
                activity,
                record,
                result_type=answer,
                start_to_close_timeout=RECORDING_START_TO_CLOSE,
                retry_policy=RECORDING_RETRY,
            )
        )
        cancelled: asyncio.CancelledError | None = None
        while not recording.done():
            try:
                await asyncio.shield(recording)
            except asyncio.CancelledError as error:
                cancelled = self._cancelled = error
        if cancelled is not None and activity != RECORD_OUTCOME:
            raise cancelled
        stored: Answer = recording.result()
        return stored


def _refuse_unless_sound(request: ExecutionInput) -> None:
    """Fail a workflow that some other client started in a way that the store cannot take. Ours refuses it earlier."""
    workflow_id = workflow.info().workflow_id
    if request.execution_id != workflow_id:
        problem = f"the execution's id is '{request.execution_id}', and the workflow's is '{workflow_id}'"
    elif not re.fullmatch(EXECUTION_ID_PATTERN, workflow_id):
        problem = f"'{workflow_id}' is not an execution id"
    elif request.session_id is not None and not re.fullmatch(EXECUTION_ID_PATTERN, request.session_id):
        problem = f"'{request.session_id}' is not a session id"
    else:
        return
    raise ApplicationError(problem, type="InputRejected", non_retryable=True)


def _outcome(request: ExecutionInput, result: AgentResult, chain: ErrorChain) -> OutcomeRecord:
    is_small = result.output_bytes <= SMALL_RESULT
    return OutcomeRecord(
        execution_id=request.execution_id,
        task_queue=request.task_queue,
        timeouts=request.timeouts,
        chain=chain,
        output=result.output if is_small else None,
        output_bytes=result.output_bytes,
        output_is_whole=is_small,
    )


def _details(verdict: VerdictRecord) -> str:
    """What Temporal's own page shows for the workflow, as Markdown."""
    if verdict.code:
        return f"**{verdict.phase} · {verdict.code} {verdict.category}**\n\n{verdict.message}\n\n*{verdict.remedy}*"
    return f"**{verdict.phase}**"

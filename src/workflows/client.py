"""Asking for things: start an execution, cancel one, run one again.

The request is stored before Temporal hears of it, so that an execution whose start fails exists and says why (E601).
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from projector.catalogue import Code
from projector.door.hygiene import Hygiene
from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, NewEvent, execution_stream
from projector.errors import EngineUnreachable, ExecutionExists, ExecutionNotFound, InputRejected, VersionConflict
from projector.event_store import NO_STREAM
from projector.events import ExecutionFailed, ExecutionRequested, ExecutionRetried, Timeouts, WritableEvent
from projector.execution_status import ExecutionStatus, decide_cancellation
from projector.failures import Cause, build_failure
from projector.landmarks import Landmarks, landmarks
from runner.connection import connect
from runner.contracts import INPUT_LIMIT, WORKFLOW, ExecutionInput
from runner.startup import split_agent
from runner.tracing import AGENT, EXECUTION, SESSION, tracing
from workflows.settings import OrchestratorSettings

WRITER: Final = "client"
LONGEST_QUEUE: Final = 200
"""The most characters of a task queue's name, here as in the settings."""
_RPC_TIMEOUT: Final = timedelta(seconds=10)
_FINAL: Final = (RPCStatusCode.INVALID_ARGUMENT,)
"""What Temporal answers to a start that it will never take."""


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """What somebody wants to run. An id is made when none is given."""

    agent: str
    input: str = ""
    execution_id: str | None = None
    session_id: str | None = None
    retry_of: str | None = None
    auto_retry: int = 0
    task_queue: str | None = None
    timeouts: Timeouts | None = None


@dataclass(frozen=True, slots=True)
class StartedExecution:
    """An execution that Temporal accepted. `redacted` names the kinds of secrets that were taken out of its input."""

    execution_id: str
    redacted: tuple[str, ...] = ()


class ExecutionClient:
    """Starts, cancels and retries executions on one store and one Temporal."""

    def __init__(
        self,
        settings: OrchestratorSettings,
        store: StoreEngine,
        hygiene: Hygiene,
        *,
        connection: Client | None = None,
        writer: str = WRITER,
    ) -> None:
        """It makes its own connection to Temporal unless it is given one. `writer` is the name in its events."""
        self._settings = settings
        self._store = store
        self._hygiene = hygiene
        self._connection = connection
        self._writer = writer

    async def start(self, request: ExecutionRequest) -> StartedExecution:
        """Store the request, then start its workflow.

        Raises InputRejected for a malformed agent, id, session or a too large input, ExecutionExists for an id that
        is taken, and EngineUnreachable when Temporal cannot be reached or refuses: the execution then exists and is
        FAILED E601.
        """
        request = _with_id(request)
        with tracing().asking("start_execution", _about(request), apart=False):
            started, requested = await self._store_request(request)
            await self._start_workflow(started.execution_id, requested)
        return started

    async def cancel(self, execution_id: str, reason: str = "") -> None:
        """Ask for an execution to stop.

        Raises ExecutionNotFound, ExecutionEnded, or EngineUnreachable; nothing is stored when Temporal cannot be
        reached.
        """
        stream = execution_stream(execution_id)
        asked = decide_cancellation(await self.status(execution_id), execution_id, reason)
        client = await self._client()
        await asyncio.to_thread(self._store.append, stream, [self._new(uuid.uuid4().hex, asked)])
        try:
            await client.get_workflow_handle(execution_id).cancel(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            raise EngineUnreachable(
                f"Temporal could not cancel '{execution_id}': {error.message}; try again when it answers"
            ) from error

    async def retry(
        self,
        execution_id: str,
        *,
        new_id: str | None = None,
        auto_retry: int = 0,
        start_delay: timedelta | None = None,
    ) -> StartedExecution:
        """Start a new execution of the same agent, input and session, linked to one that has ended.

        With `new_id` it may be called again, also when it broke off in between: it is one and the same retry. An
        `auto_retry` above 0 marks the retry as an automatic one, whose start may be tried again: what only Temporal's
        absence prevents leaves it PENDING. The workflow begins after `start_delay`.

        Raises ExecutionNotFound, InputRejected when it has not ended or its input was too large to be kept, or what
        `start` raises: ExecutionExists when `new_id` is taken by something else.
        """
        old = _request_of(await self._landmarks(execution_id), execution_id)
        request = ExecutionRequest(
            agent=old.agent,
            input=old.input,
            execution_id=new_id,
            session_id=old.session_id,
            retry_of=execution_id,
            auto_retry=auto_retry,
            task_queue=old.task_queue,
            timeouts=old.timeouts,
        )
        request = _with_id(request)
        with tracing().asking("retry_execution", _about(request), apart=True):
            requested: ExecutionRequested | None
            try:
                started, requested = await self._store_request(request)
            except ExecutionExists:
                status = await self.status(new_id) if new_id else None
                if new_id is None or status is None or status.retry_of != execution_id:
                    raise
                # Ours, from a call that broke off, or from another orchestrator's.
                started = StartedExecution(new_id)
                requested = None if status.phase.is_terminal else _request_in(await self._landmarks(new_id))
            link = self._new(f"retried-{started.execution_id}", ExecutionRetried(retried_as=started.execution_id))
            await asyncio.to_thread(self._store.append, execution_stream(execution_id), [link])
            if requested is not None:
                with tracing().within(requested.trace_id):  # that of a call that broke off, perhaps
                    await self._start_workflow(
                        started.execution_id, requested, start_delay=start_delay, may_run_already=new_id is not None
                    )
            return started

    async def status(self, execution_id: str) -> ExecutionStatus | None:
        """The status as the store has it, None when there is no such execution. Raises InputRejected, StoreError."""
        return (await self._landmarks(execution_id)).status

    async def connect(self) -> None:
        """Connect to Temporal now, and not when it is needed first. Raises EngineUnreachable."""
        await self._client()

    async def _landmarks(self, execution_id: str) -> Landmarks:
        return await asyncio.to_thread(landmarks, self._store, execution_id)

    async def _client(self) -> Client:
        if self._connection is None:
            self._connection = await connect(
                self._settings.data_dir, timeout=self._settings.connect_timeout, identity=WRITER
            )
        return self._connection

    async def _store_request(self, request: ExecutionRequest) -> tuple[StartedExecution, ExecutionRequested]:
        execution_id = request.execution_id
        assert execution_id is not None, "whoever asks has given it one"
        stream = execution_stream(execution_id)
        split_agent(request.agent)
        if request.session_id is not None:
            _check_session(request.session_id)
        if request.task_queue is not None:
            _check_queue(request.task_queue)
        size = len(request.input.encode("utf-8", "replace"))
        if size > INPUT_LIMIT:
            raise InputRejected(
                f"the input has {size:,} bytes, and {INPUT_LIMIT:,} are the limit: put it into a file that the "
                "runner can read, and give the agent its path"
            )
        # Only secrets are taken out: the agent gets the text as it was given, apart from what UTF-8 cannot hold.
        text = self._hygiene.redactor.redact(request.input.encode("utf-8", "replace").decode())
        requested = ExecutionRequested(
            agent=request.agent,
            input=text,
            session_id=request.session_id,
            task_queue=request.task_queue or self._settings.agent_queue,
            timeouts=request.timeouts or self._settings.timeouts,
            retry_of=request.retry_of,
            auto_retry=request.auto_retry,
            trace_id=tracing().trace_id,
        )
        new = self._new(uuid.uuid4().hex, requested)
        try:
            await asyncio.to_thread(self._store.append, stream, [new], NO_STREAM)
        except VersionConflict:
            raise ExecutionExists(execution_id) from None
        return StartedExecution(execution_id, self._hygiene.redactor.found(request.input)), requested

    async def _start_workflow(
        self,
        execution_id: str,
        requested: ExecutionRequested,
        *,
        start_delay: timedelta | None = None,
        may_run_already: bool = False,
    ) -> None:
        try:
            client = await self._client()
            await client.start_workflow(
                WORKFLOW,
                ExecutionInput(
                    execution_id=execution_id,
                    agent=requested.agent,
                    input=requested.input,
                    session_id=requested.session_id,
                    task_queue=requested.task_queue,
                    timeouts=requested.timeouts,
                ),
                id=execution_id,
                task_queue=self._settings.orchestrator_queue,
                static_summary=requested.agent,
                start_delay=start_delay,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
                if may_run_already
                else WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                rpc_timeout=_RPC_TIMEOUT,
            )
        except (EngineUnreachable, RPCError, TemporalError, RuntimeError) as error:
            if may_run_already and isinstance(error, WorkflowAlreadyStartedError):
                return
            reason = self._hygiene.text(getattr(error, "what", error)).text
            if requested.auto_retry and not (isinstance(error, RPCError) and error.status in _FINAL):
                raise EngineUnreachable(f"Temporal could not start '{execution_id}' yet: {reason}") from error
            cause = Cause(type=type(error).__name__, message=reason)
            failure = build_failure(
                Code.ENGINE_UNAVAILABLE, cause=cause, headline=reason, evidence=(f"client: {cause}",)
            )
            end = self._new(END_EVENT_ID, ExecutionFailed(failure=failure))
            await asyncio.to_thread(self._store.append, execution_stream(execution_id), [end])
            tracing().verdict(execution_id, ExecutionFailed(failure=failure))
            raise EngineUnreachable(
                f"execution '{execution_id}' is FAILED {failure.code}: {failure.message}"
            ) from error

    def _new(self, event_id: str, event: WritableEvent) -> NewEvent:
        return NewEvent(id=event_id, time=datetime.now(UTC), writer=self._writer, event=event)


def _with_id(request: ExecutionRequest) -> ExecutionRequest:
    return request if request.execution_id else replace(request, execution_id=f"exec-{uuid.uuid4().hex[:12]}")


def _about(request: ExecutionRequest) -> dict[str, str | None]:
    return {EXECUTION: request.execution_id, AGENT: request.agent, SESSION: request.session_id}


def _request_of(known: Landmarks, execution_id: str) -> ExecutionRequested:
    status = known.status
    if status is None:
        raise ExecutionNotFound(execution_id)
    if not status.phase.is_terminal:
        raise InputRejected(f"execution '{execution_id}' is {status.phase}: only one that has ended can be retried")
    requested = _request_in(known)
    if requested is None:
        raise InputRejected(f"the request of execution '{execution_id}' cannot be read: start it anew with its input")
    if any(cut.field == "input" for cut in requested.truncated):
        raise InputRejected(f"the input of '{execution_id}' was too large to be kept: start it anew with its input")
    return requested


def _request_in(known: Landmarks) -> ExecutionRequested | None:
    return next((record.event for record in known.records if isinstance(record.event, ExecutionRequested)), None)


def _check_queue(task_queue: str) -> None:
    if not (1 <= len(task_queue) <= LONGEST_QUEUE and task_queue.isprintable()):
        raise InputRejected(
            f"{task_queue[:60]!r} is not a task queue: use 1 to {LONGEST_QUEUE} characters that can be printed"
        )


def _check_session(session_id: str) -> None:
    try:
        execution_stream(session_id)
    except InputRejected:
        raise InputRejected(
            f"{session_id[:60]!r} is not a session id: use 1 to 200 letters, digits and the characters . _ : -"
        ) from None

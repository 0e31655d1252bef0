"""Asks Temporal about single workflows, by its raw calls.

The SDK's own `describe` and `list_workflows` raise for a workflow that is paused: they do not know the status.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import (
    EventType,
    HistoryEventFilterType,
    PendingActivityState,
    PendingWorkflowTaskState,
    WorkflowExecutionStatus,
    WorkflowTaskFailedCause,
)
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from projector.door.text import clean_text
from projector.failures import Cause
from runner.contracts import AgentResult
from workflows.contracts import RECORD_OUTCOME, RECORD_START, RECORD_THREAD
from workflows.reconciliation.workflow_facts import (
    Closing,
    HeldTask,
    PauseFact,
    TaskFact,
    TaskFailure,
    WorkflowFacts,
    WorkflowState,
)
from workflows.verdict.error_chain import error_chain
from workflows.verdict.error_link import ErrorChain

ANSWER_WITHIN: Final = timedelta(seconds=5)
"""How long Temporal may take for one answer."""

_RECORDINGS: Final = frozenset({RECORD_START, RECORD_THREAD, RECORD_OUTCOME})
_MOST_TEXT: Final = 8_000
_LAST_EVENTS: Final = 20
_NOT_HELD: Final = (
    PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
    PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED,
)
_STATES: Final[dict[int, WorkflowState]] = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING: "running",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED: "paused",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: "completed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: "failed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: "cancelled",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: "terminated",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "timed_out",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: "continued_as_new",
}


class WorkflowReader:
    """Reads workflows of one namespace. Its methods raise RPCError when Temporal does not answer in time."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def look(self, workflow_id: str) -> WorkflowFacts | None:
        """The newest run of a workflow; None when Temporal has none."""
        request = DescribeWorkflowExecutionRequest(
            namespace=self._client.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
        )
        try:
            answer = await self._client.workflow_service.describe_workflow_execution(request, timeout=ANSWER_WITHIN)
        except RPCError as error:
            if _is_missing(error):
                return None
            raise
        return facts_of(answer)

    async def closing(self, workflow_id: str, run_id: str) -> Closing | None:
        """What the last event of a closed run says; None when Temporal no longer has it."""
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        )
        try:
            answer = await self._client.workflow_service.get_workflow_execution_history(request, timeout=ANSWER_WITHIN)
        except RPCError as error:
            if _is_missing(error):
                return None
            raise
        return await self._closing(answer.history.events[-1]) if answer.history.events else None

    async def task_failure(self, workflow_id: str, run_id: str) -> TaskFailure | None:
        """How the last workflow task of a run failed; None when it did not.

        Temporal writes down only the first failure of a task that is tried again.
        """
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            maximum_page_size=_LAST_EVENTS,
        )
        try:
            answer = await self._client.workflow_service.get_workflow_execution_history_reverse(
                request, timeout=ANSWER_WITHIN
            )
        except RPCError as error:
            if _is_missing(error):
                return None
            raise
        for event in answer.history.events:  # the newest first
            match event.event_type:
                case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                    said = event.workflow_task_failed_event_attributes
                    why = WorkflowTaskFailedCause.Name(said.cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
                    return TaskFailure(why=why, chain=await self._chain(said.failure), stack=said.failure.stack_trace)
                case EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                    return TaskFailure(why="TIMED_OUT")
                case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    return None
                case _:
                    continue
        return None

    async def _closing(self, event: HistoryEvent) -> Closing:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
                ended = event.workflow_execution_terminated_event_attributes
                return Closing(reason=_text(ended.reason), identity=_text(ended.identity))
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                failure = event.workflow_execution_failed_event_attributes.failure
                return Closing(chain=await self._chain(failure), stack=failure.stack_trace)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                return await self._result(event.workflow_execution_completed_event_attributes.result)
            case _:
                return Closing()

    async def _chain(self, failure: Failure) -> ErrorChain:
        return error_chain(await self._client.data_converter.decode_failure(failure))

    async def _result(self, payloads: Payloads) -> Closing:
        try:
            values: list[Any] = await self._client.data_converter.decode_wrapper(payloads)
        except Exception:  # another program's payload: any of its converters may raise anything
            return Closing()
        value = values[0] if values else None
        try:
            result = AgentResult.model_validate(value, strict=True)
            if isinstance(value, dict) and set(value) <= set(AgentResult.model_fields):
                return Closing(has_output=True, output=result.output, output_bytes=result.output_bytes)
        except ValidationError:
            pass
        size = len(payloads.payloads[0].data) if payloads.payloads else 0
        return Closing(has_output=True, output=value, output_bytes=size)


def facts_of(answer: DescribeWorkflowExecutionResponse) -> WorkflowFacts:
    """The facts in Temporal's description of a workflow."""
    info, config = answer.workflow_execution_info, answer.execution_config
    own = [activity for activity in answer.pending_activities if activity.activity_type.name in _RECORDINGS]
    others = [activity for activity in answer.pending_activities if activity.activity_type.name not in _RECORDINGS]
    limits = (_seconds(config.workflow_run_timeout), _seconds(config.workflow_execution_timeout))
    return WorkflowFacts(
        run_id=info.execution.run_id,
        state=_STATES.get(info.status, "unknown"),
        task_queue=info.task_queue,
        closed_at=_time(info.close_time) if info.HasField("close_time") else None,
        limit=min((limit for limit in limits if limit), default=None),
        task=_workflow_task(answer),
        recordings=tuple(map(_recording, own)),
        pauses=_pauses(answer),
        held=tuple(_held(activity) for activity in others if activity.state not in _NOT_HELD),
    )


def _held(activity: PendingActivityInfo) -> HeldTask:
    return HeldTask(
        activity_id=activity.activity_id,
        activity=activity.activity_type.name,
        identity=_text(activity.last_worker_identity),
    )


def _workflow_task(answer: DescribeWorkflowExecutionResponse) -> TaskFact | None:
    if not answer.HasField("pending_workflow_task"):
        return None
    task = answer.pending_workflow_task
    is_waiting = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    since = task.scheduled_time if is_waiting or not task.HasField("started_time") else task.started_time
    return TaskFact(attempt=task.attempt, is_waiting=is_waiting, since=_time(since))


def _recording(activity: PendingActivityInfo) -> TaskFact:
    is_waiting = activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    since = activity.scheduled_time
    if not is_waiting and activity.HasField("last_started_time"):
        since = activity.last_started_time
    elif activity.HasField("next_attempt_schedule_time"):
        since = activity.next_attempt_schedule_time
    elif activity.HasField("last_attempt_complete_time"):
        since = activity.last_attempt_complete_time
    failure = None
    if activity.HasField("last_failure"):
        failure = _cause(activity.last_failure)
    tried = activity.last_attempt_complete_time if activity.HasField("last_attempt_complete_time") else None
    return TaskFact(
        attempt=activity.attempt,
        is_waiting=is_waiting,
        since=_time(since),
        activity=activity.activity_type.name,
        failure=failure,
        tried_at=_time(tried) if tried else None,
    )


def _cause(failure: Failure) -> Cause:
    """The deepest error. Its message is plain: only details are encoded."""
    for _ in range(20):
        if not failure.HasField("cause"):
            break
        failure = failure.cause
    kind = failure.application_failure_info.type if failure.HasField("application_failure_info") else ""
    return Cause(type=_text(kind) or "Failure", message=_text(failure.message))


def _pauses(answer: DescribeWorkflowExecutionResponse) -> tuple[PauseFact, ...]:
    found: list[PauseFact] = []
    about = answer.workflow_extended_info
    if answer.workflow_execution_info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED:
        pause = about.pause_info
        since = _time(pause.paused_time) if pause.HasField("paused_time") else None
        found.append(PauseFact(identity=_text(pause.identity), reason=_text(pause.reason), since=since))
    for activity in answer.pending_activities:
        if activity.paused:
            info = activity.pause_info
            by = info.rule if info.HasField("rule") else info.manual
            found.append(
                PauseFact(
                    activity=activity.activity_type.name,
                    identity=_text(by.identity),
                    reason=_text(by.reason),
                    since=_time(info.pause_time) if info.HasField("pause_time") else None,
                )
            )
    return tuple(found)


def _is_missing(error: RPCError) -> bool:
    """Whether it is the workflow that Temporal does not have, and not the namespace."""
    if error.status is not RPCStatusCode.NOT_FOUND:
        return False
    return not any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()


def _text(text: str) -> str:
    return clean_text(text[:_MOST_TEXT])

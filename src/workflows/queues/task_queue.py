"""Who polls a task queue for activities, asked of Temporal.

Two sources, neither enough alone. Worker heartbeats (ListWorkers, on by default from server 1.30) tell within seconds
that a worker is gone, shuts down or has no free slot; each says itself how often it beats. The poller list
(DescribeTaskQueue, everywhere) has also the workers that do not beat, and tells which take only versioned work; but a
long poll takes a minute and dead entries stay for five. So a quick beat outranks the poller list, and a slow one is
complemented by it. Each partition of a queue has its own list, and a worker polls some of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus, WorkerVersioningMode
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue, TaskQueueVersioningInfo
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    ListTaskQueuePartitionsRequest,
    ListWorkersRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.queues.queue_state import WorkerFact

POLLER_HEARD: Final = 70.0
"""Up to which age, in seconds, a poll counts: an idle worker's long poll takes 60."""
BEATS_MISSED: Final = 3
"""How many beats a worker may miss before it is no longer heard."""
CLOCK_SKEW: Final = 2.0
"""By how many seconds a worker's clock may be behind ours: a beat has its worker's time."""
MOST_PAGES: Final = 10

_UNQUOTABLE: Final = frozenset("\"'\\")
_ENDING: Final = frozenset({WorkerStatus.WORKER_STATUS_SHUTTING_DOWN, WorkerStatus.WORKER_STATUS_SHUTDOWN})

log = structlog.get_logger("task_queue")


class TaskQueues:
    """Asks one Temporal. Remembers, as long as it lives, whether the server knows worker heartbeats."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lists_workers = True

    async def workers(self, queue: str, *, timeout: float) -> tuple[WorkerFact, ...] | None:
        """Who polls the queue for activities; None when Temporal could not say within `timeout` seconds.

        An empty answer is certain: nobody has polled for minutes.
        """
        beating, polling = await asyncio.gather(self._beating(queue, timeout), self._polling(queue, timeout))
        now = datetime.now(UTC)
        if polling is not None:
            return _facts(beating or (), polling, now)
        # Heartbeats alone can say that somebody is there, but not that nobody is: not every worker beats.
        facts = _facts(beating or (), _Polling({}, TaskQueueVersioningInfo()), now)
        return facts if any(fact.is_heard for fact in facts) else None

    async def _beating(self, queue: str, timeout: float) -> list[WorkerHeartbeat] | None:
        """The last beats of the queue's activity workers; None when the server does not tell."""
        if not self._lists_workers:
            return None
        found: list[WorkerHeartbeat] = []
        request = ListWorkersRequest(namespace=self._client.namespace, query=_query(queue))
        try:
            async with asyncio.timeout(timeout):
                for _ in range(MOST_PAGES):
                    answer = await self._client.workflow_service.list_workers(
                        request, timeout=timedelta(seconds=timeout)
                    )
                    beats = (info.worker_heartbeat for info in answer.workers_info)
                    found += [beat for beat in beats if beat.task_queue == queue and _takes_activities(beat)]
                    if not answer.next_page_token:
                        break
                    request.next_page_token = answer.next_page_token
        except TimeoutError:
            return None
        except RPCError as error:
            if error.status is RPCStatusCode.UNIMPLEMENTED or "not supported" in error.message:
                self._lists_workers = False
                log.info("this Temporal knows no worker heartbeats: lost runners are noticed later")
            else:
                log.debug("the workers of a queue could not be listed", queue=queue, reason=error.message)
            return None
        return found

    async def _polling(self, queue: str, timeout: float) -> _Polling | None:
        """Who polls any partition of the queue; None when the server does not tell of all."""
        service, patience = self._client.workflow_service, timedelta(seconds=timeout)
        request = ListTaskQueuePartitionsRequest(namespace=self._client.namespace, task_queue=TaskQueue(name=queue))
        try:
            async with asyncio.timeout(timeout):
                partitions = await service.list_task_queue_partitions(request, timeout=patience)
                names = [partition.key for partition in partitions.activity_task_queue_partitions]
                described = await asyncio.gather(
                    *(service.describe_task_queue(self._about(name), timeout=patience) for name in names or [queue])
                )
        except TimeoutError:
            return None
        except RPCError as error:
            log.debug("a queue could not be described", queue=queue, reason=error.message)
            return None
        pollers: dict[str, PollerInfo] = {}
        for poller in sorted((poller for each in described for poller in each.pollers), key=_last_poll):
            pollers[poller.identity] = poller
        return _Polling(pollers, described[0].versioning_info)

    def _about(self, partition: str) -> DescribeTaskQueueRequest:
        return DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=partition),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_pollers=True,
        )


class _Polling(NamedTuple):
    """The last poll of each worker by its identity, and which versions the queue's work goes to."""

    pollers: Mapping[str, PollerInfo]
    versions: TaskQueueVersioningInfo


def _query(queue: str) -> str:
    # The server compares a quoted name with its escapes still in it (1.32), so one that needs any is never found. Then
    # all workers are asked for, and ours picked out.
    return "" if _UNQUOTABLE & set(queue) else f'TaskQueue="{queue}"'


def _takes_activities(beat: WorkerHeartbeat) -> bool:
    slots = beat.activity_task_slots_info
    has_slots = slots.current_available_slots or slots.current_used_slots
    return bool(has_slots or beat.activity_poller_info.current_pollers)


def _facts(beats: Sequence[WorkerHeartbeat], polling: _Polling, now: datetime) -> tuple[WorkerFact, ...]:
    """One fact for each worker that beats, and one for each that only polls."""
    pollers, versions = polling
    beaten = {beat.worker_identity for beat in beats}
    facts = [_of_beat(beat, pollers.get(beat.worker_identity), versions, now) for beat in beats]
    for identity, poller in pollers.items():
        if identity not in beaten:
            version = _pinned_version(poller.deployment_options, versions)
            facts.append(WorkerFact(identity=identity, is_heard=_polled_lately(poller, now), version=version))
    return tuple(facts)


def _of_beat(
    beat: WorkerHeartbeat, poller: PollerInfo | None, versions: TaskQueueVersioningInfo, now: datetime
) -> WorkerFact:
    slots = beat.activity_task_slots_info
    is_fixed = slots.slot_supplier_kind == "Fixed"
    return WorkerFact(
        identity=beat.worker_identity,
        is_heard=_is_heard(beat, poller, now),
        is_shutting_down=beat.status in _ENDING,
        slots=slots.current_available_slots + slots.current_used_slots if is_fixed else None,
        free_slots=slots.current_available_slots if is_fixed else None,
        version=_pinned_version(poller.deployment_options, versions) if poller is not None else "",
    )


def _is_heard(beat: WorkerHeartbeat, poller: PollerInfo | None, now: datetime) -> bool:
    age = (now - beat.heartbeat_time.ToDatetime(UTC)).total_seconds() - CLOCK_SKEW
    polled_lately = poller is not None and _polled_lately(poller, now)
    interval = beat.elapsed_since_last_heartbeat.ToTimedelta().total_seconds()
    if not interval:  # its first beat: how often it beats is not known yet, but once a minute at least
        return polled_lately or age < POLLER_HEARD
    patience = BEATS_MISSED * interval
    if patience < POLLER_HEARD:
        return age < patience
    is_busy = not beat.activity_task_slots_info.current_available_slots  # and so does not poll
    return polled_lately or (is_busy and age < patience)


def _polled_lately(poller: PollerInfo, now: datetime) -> bool:
    return (now - _last_poll(poller)).total_seconds() < POLLER_HEARD


def _last_poll(poller: PollerInfo) -> datetime:
    return poller.last_access_time.ToDatetime(UTC)


def _pinned_version(options: WorkerDeploymentOptions, versions: TaskQueueVersioningInfo) -> str:
    """The version of a worker that takes only what is pinned to it; empty for one that takes the queue's work."""
    if options.worker_versioning_mode != WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED:
        return ""
    version = f"{options.deployment_name}.{options.build_id}"
    current, ramping = versions.current_deployment_version, versions.ramping_deployment_version
    is_routed_to = any(
        (chosen.deployment_name, chosen.build_id) == (options.deployment_name, options.build_id)
        for chosen in (current, ramping)
    )
    return "" if is_routed_to or version in (versions.current_version, versions.ramping_version) else version

"""Who polls a queue: real workers that are idle, busy, versioned, shut down, killed, or were never there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs
from temporalio.api.workflowservice.v1 import ListWorkersRequest, SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from tests.temporal import quay
from tests.temporal.harness import Harness
from tests.temporal.quay import DEPLOYMENT, Docker, docked
from workflows.dev_server import dev_server, find_binary
from workflows.execution_workflow import InvokeAgentExecution
from workflows.queues.queue_state import WorkerFact
from workflows.queues.task_queue import TaskQueues

PATIENCE: Final = 5.0
"""How long Temporal may take in these tests, in seconds."""
_naps: Final = count(1)

Facts = tuple[WorkerFact, ...]


async def seen(queues: TaskQueues, queue: str, condition: Callable[[Facts], bool], *, within: float = 20.0) -> Facts:
    """Wait until what is said of a queue is as it should be."""
    facts: Facts | None = None
    try:
        async with asyncio.timeout(within):
            while True:
                facts = await queues.workers(queue, timeout=PATIENCE)
                if facts is not None and condition(facts):
                    return facts
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s; the last answer was {facts}") from None


async def nap(client: Client, queue: str, seconds: float = 60.0) -> None:
    """Have a worker of the queue take a slot."""
    name = f"nap-{next(_naps)}"
    await client.start_activity("nap", seconds, id=name, task_queue=queue, start_to_close_timeout=timedelta(minutes=2))


@pytest.fixture
def queues(bare: Harness) -> TaskQueues:
    return TaskQueues(bare.temporal)


async def test_a_queue_that_nobody_ever_polled_has_no_workers(queues: TaskQueues) -> None:
    assert await queues.workers("rockall", timeout=PATIENCE) == ()


async def test_an_idle_worker_is_heard_and_its_slots_are_free(bare: Harness, queues: TaskQueues) -> None:
    async with docked(Docker(bare.address, "quay-idle", "runner:lugger-1")):
        (fact,) = await seen(queues, "quay-idle", lambda facts: bool(facts) and facts[0].slots is not None)
    assert fact == WorkerFact(identity="runner:lugger-1", is_heard=True, slots=2, free_slots=2)
    assert fact.runner_id == "lugger-1"


@pytest.mark.parametrize("beat", [0, 60], ids=["does not beat", "beats once a minute"])
async def test_a_worker_that_hardly_beats_is_heard_by_its_polls(bare: Harness, queues: TaskQueues, beat: int) -> None:
    queue = f"quay-quiet-{beat}"
    async with docked(Docker(bare.address, queue, "4711@barge", beat=beat)):
        (fact,) = await seen(queues, queue, bool)
    assert (fact.identity, fact.is_heard, fact.runner_id) == ("4711@barge", True, "")


async def test_a_worker_that_is_full_has_no_free_slot_and_is_still_heard(bare: Harness, queues: TaskQueues) -> None:
    async with docked(Docker(bare.address, "quay-full", "runner:lugger-2")):
        await nap(bare.temporal, "quay-full")
        await seen(queues, "quay-full", lambda facts: bool(facts) and facts[0].free_slots == 1)
        await nap(bare.temporal, "quay-full")
        (fact,) = await seen(queues, "quay-full", lambda facts: facts[0].free_slots == 0)
    assert (fact.is_heard, fact.slots) == (True, 2)


async def test_a_worker_that_takes_only_pinned_work_has_a_version_until_that_is_current(
    bare: Harness, queues: TaskQueues
) -> None:
    async with AsyncExitStack() as stack:
        for name in ("spring", "neap"):
            docker = Docker(bare.address, "quay-tides", f"runner:{name}", version=name)
            await stack.enter_async_context(docked(docker))
        facts = await seen(queues, "quay-tides", lambda facts: len(facts) == 2 and all(f.version for f in facts))
        assert {fact.identity: fact.version for fact in facts} == {
            "runner:spring": "quay.spring",
            "runner:neap": "quay.neap",
        }
        await _make_current(bare.temporal, "neap")
        facts = await seen(queues, "quay-tides", lambda facts: not all(fact.version for fact in facts))
        assert {fact.identity: fact.version for fact in facts} == {"runner:spring": "quay.spring", "runner:neap": ""}


async def _make_current(client: Client, build: str) -> None:
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=DEPLOYMENT, build_id=build, identity="harbour master"
    )
    async with asyncio.timeout(20):
        while True:  # Temporal knows a version a moment after its first poll
            try:
                await client.workflow_service.set_worker_deployment_current_version(request)
                return
            except RPCError:
                await asyncio.sleep(0.1)


async def test_a_worker_that_shuts_down_says_so_while_its_work_goes_on(bare: Harness, queues: TaskQueues) -> None:
    async with docked(Docker(bare.address, "quay-leaving", "runner:lugger-3")) as process:
        await seen(queues, "quay-leaving", lambda facts: bool(facts) and facts[0].slots is not None)
        await nap(bare.temporal, "quay-leaving")
        await seen(queues, "quay-leaving", lambda facts: facts[0].free_slots == 1)
        process.send_signal(signal.SIGTERM)
        (fact,) = await seen(queues, "quay-leaving", lambda facts: facts[0].is_shutting_down)
        assert process.returncode is None
        assert fact.identity == "runner:lugger-3"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=lambda end: end.name)
async def test_a_worker_that_was_killed_or_frozen_is_no_longer_heard_though_it_is_listed(
    bare: Harness, queues: TaskQueues, end: signal.Signals
) -> None:
    queue = f"quay-{end.name.lower()}"
    async with docked(Docker(bare.address, queue, "runner:lugger-4")) as process:
        # Two beats tell how often it beats; how old the last one is tells the rest.
        await seen(queues, queue, lambda facts: bool(facts) and facts[0].slots is not None)
        await nap(bare.temporal, queue)
        await seen(queues, queue, lambda facts: facts[0].free_slots == 1)
        process.send_signal(end)
        ended = time.monotonic()
        (fact,) = await seen(queues, queue, lambda facts: not facts[0].is_heard)
        assert time.monotonic() - ended < 3 * 1 + 2 + 3, "three beats, the clocks' skew, and a busy machine"
        assert fact.identity == "runner:lugger-4"


async def test_the_workers_of_one_queue_are_told_apart(bare: Harness, queues: TaskQueues) -> None:
    async with AsyncExitStack() as stack:
        for name, beat in (("runner:lugger-5", 1), ("runner:lugger-6", 1), ("4711@barge", 0)):
            await stack.enter_async_context(docked(Docker(bare.address, "quay-crowded", name, beat=beat)))
        await stack.enter_async_context(docked(Docker(bare.address, "quay-crowded-too", "runner:lugger-7")))
        facts = await seen(
            queues, "quay-crowded", lambda facts: len(facts) == 3 and sum(f.slots is not None for f in facts) == 2
        )
        assert {fact.identity: fact.slots for fact in facts} == {
            "runner:lugger-5": 2,
            "runner:lugger-6": 2,
            "4711@barge": None,
        }


@pytest.mark.parametrize(
    "queue",
    ['the "old" quay', "king's quay", "quay\\east", "' OR 'a'='a", "q\N{LATIN SMALL LETTER U WITH DIAERESIS}ay"],
)
async def test_a_queue_may_have_any_name(bare: Harness, queues: TaskQueues, queue: str) -> None:
    async with docked(Docker(bare.address, queue, "runner:lugger-8")):
        (fact,) = await seen(queues, queue, lambda facts: bool(facts) and facts[0].slots is not None)
    assert fact.identity == "runner:lugger-8"


async def test_workers_are_found_whichever_partition_of_the_queue_they_poll(bare: Harness, queues: TaskQueues) -> None:
    barges = {f"4711@barge-{number}" for number in range(8)}
    async with AsyncExitStack() as stack:
        for barge in barges:  # each polls some of the four partitions; that all poll the first is hardly possible
            client = await Client.connect(bare.address, identity=barge, runtime=_runtime(beat=None))
            worker = Worker(client, task_queue="quay-wide", activities=[quay.nap], identity=barge)
            await stack.enter_async_context(worker)
        facts = await seen(queues, "quay-wide", lambda facts: len(facts) == len(barges))
    assert {fact.identity for fact in facts} == barges


async def test_a_worker_that_runs_only_workflows_is_none_for_activities(bare: Harness, queues: TaskQueues) -> None:
    client = await Client.connect(bare.address, runtime=_runtime(beat=timedelta(seconds=1)))
    request = ListWorkersRequest(namespace=client.namespace, query='TaskQueue="quay-office"')
    async with Worker(client, task_queue="quay-office", workflows=[InvokeAgentExecution]):
        async with asyncio.timeout(20):
            while not (await client.workflow_service.list_workers(request)).workers_info:
                await asyncio.sleep(0.05)
        assert await queues.workers("quay-office", timeout=PATIENCE) == ()


def _runtime(*, beat: timedelta | None) -> Runtime:
    return Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=beat)


# --- when Temporal does not say ------------------------------------------------------------------------------------


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_was_said(tmp_path: Path) -> None:
    async with dev_server(database=None, log_path=tmp_path / "temporal.log") as server:
        queues = TaskQueues(await Client.connect(server.address))
        assert await queues.workers("fog", timeout=PATIENCE) == ()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            asked = time.monotonic()
            assert await queues.workers("fog", timeout=0.3) is None
            assert time.monotonic() - asked < PATIENCE
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert await seen(queues, "fog", lambda facts: facts == ()) == ()


async def test_a_server_that_is_gone_says_nothing(tmp_path: Path) -> None:
    async with dev_server(database=None, log_path=tmp_path / "temporal.log") as server:
        queues = TaskQueues(await Client.connect(server.address))
    assert await queues.workers("fog", timeout=0.5) is None


async def test_a_server_without_worker_heartbeats_is_believed_about_pollers() -> None:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(find_binary()),
        dev_server_extra_args=["--dynamic-config-value", "frontend.WorkerHeartbeatsEnabled=false"],
    ) as old:
        queues = TaskQueues(old.client)
        assert await queues.workers("quay", timeout=PATIENCE) == ()
        async with docked(Docker(old.client.service_client.config.target_host, "quay", "runner:lugger-9")):
            assert await seen(queues, "quay", bool) == (WorkerFact(identity="runner:lugger-9", is_heard=True),)


async def test_a_server_that_cannot_list_workers_is_asked_only_once(
    bare: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await Client.connect(bare.address)
    asked: list[str] = []

    async def refuse(request: ListWorkersRequest, **options: object) -> None:  # as servers before 1.30 do
        asked.append(request.query)
        raise RPCError("method ListWorkers not supported", RPCStatusCode.UNIMPLEMENTED, b"")

    monkeypatch.setattr(client.workflow_service, "list_workers", refuse)
    queues = TaskQueues(client)
    with capture_logs() as said:
        async with docked(Docker(bare.address, "quay-old", "runner:lugger-10")):
            assert await seen(queues, "quay-old", bool) == (WorkerFact(identity="runner:lugger-10", is_heard=True),)
    assert await queues.workers("quay-older", timeout=PATIENCE) == ()
    assert asked == ['TaskQueue="quay-old"']
    assert [entry["event"] for entry in said] == [
        "this Temporal knows no worker heartbeats: lost runners are noticed later"
    ]

"""A worker process of somebody else's, for tests of who polls a queue: it naps, and beats as often as it is told.

    python -m tests.temporal.quay '{"address": …, "queue": …, "identity": …, "beat": 1, "slots": 2, "version": ""}'

It says READY when it polls, and stops in order on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Worker, WorkerDeploymentConfig

from tests.temporal.processes import ROOT, environment

DEPLOYMENT: Final = "quay"


@dataclass(frozen=True)
class Docker:
    """How a worker is to be. `beat` is in seconds, 0 for none; with a `version` it takes only work pinned to that."""

    address: str
    queue: str
    identity: str
    beat: int = 1
    slots: int = 2
    version: str = ""


@activity.defn(name="nap")
async def nap(seconds: float) -> None:
    """Take a slot for so many seconds."""
    await asyncio.sleep(seconds)


@asynccontextmanager
async def docked(docker: Docker) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker that polls, for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.temporal.quay",
        json.dumps(asdict(docker)),
        env=environment(),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"READY\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _work(docker: Docker) -> None:
    beat = timedelta(seconds=docker.beat) if docker.beat else None
    client = await Client.connect(
        docker.address,
        identity=docker.identity,
        runtime=Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=beat),
    )
    deployment = None
    if docker.version:
        version = WorkerDeploymentVersion(DEPLOYMENT, docker.version)
        deployment = WorkerDeploymentConfig(version=version, use_worker_versioning=True)
    worker = Worker(
        client,
        task_queue=docker.queue,
        activities=[nap],
        identity=docker.identity,
        max_concurrent_activities=docker.slots,
        graceful_shutdown_timeout=timedelta(seconds=30),
        deployment_config=deployment,
    )
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    polling = asyncio.create_task(worker.run())
    print("READY", flush=True)
    await told.wait()
    await worker.shutdown()
    await polling


if __name__ == "__main__":
    asyncio.run(_work(Docker(**json.loads(sys.argv[1]))))

"""What an orchestrator does beside its worker: jobs that run as long as it does.

A job that ends, for whatever reason, is said in the log and begun again: one that has silently ended helps nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
HEALTHY_AFTER: Final = 60.0
"""Seconds of life after which the next restart is quick again."""

log = structlog.get_logger("background")


@dataclass(frozen=True, slots=True)
class Job:
    """Something that runs until it is cancelled. `run` is called again when it ends by itself."""

    name: str
    run: Callable[[], Awaitable[None]]


@asynccontextmanager
async def running_jobs(jobs: Sequence[Job]) -> AsyncIterator[None]:
    """Run the jobs for the length of the block."""
    tasks = [asyncio.create_task(_keep_running(job), name=job.name) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(job: Job) -> None:
    pause = FIRST_PAUSE
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await job.run()
            reason = "it ended by itself"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if clock() - began > HEALTHY_AFTER:
            pause = FIRST_PAUSE
        log.error("a job of the orchestrator ended; it is begun again", job=job.name, reason=reason, in_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)

"""What child processes do in the tests of stalls. Each takes the pipe to its test first; see `tests.processes`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from pathlib import Path

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.event_writer import EventWriter
from runner.agent import AgentTask, Result, Step
from runner.agent_run import AgentRun
from runner.emitter import Emitter
from runner.link import Link
from runner.liveness import LivenessWatch
from tests.store_processes import open_sqlite


async def _blocks(task: AgentTask) -> AsyncIterator[Step]:
    threading.Event().wait()
    yield Result("high water at noon")


async def _is_silent(task: AgentTask) -> AsyncIterator[Step]:
    await asyncio.Event().wait()
    yield Result("the fog has lifted")


def keep_watch(pipe: Connection, place: str, stall_after: float) -> None:
    """Watch an agent that blocks, `tides`, and one that waits, `silent`, for ever."""
    asyncio.run(_keep_watch(pipe, place, stall_after))


async def _keep_watch(pipe: Connection, place: str, stall_after: float) -> None:
    with closing(open_sqlite(place)) as store, closing(EventWriter(store)) as writer, ExitStack() as attempts:
        watch = LivenessWatch(Link(), stall_after=stall_after)
        watch.start(asyncio.get_running_loop())
        for name, agent in (("tides", _blocks), ("silent", _is_silent)):
            task = AgentTask(name, input="", session_id=None, thread_id=name, thread_dir=Path(), attempt=1)
            emitter = Emitter(writer, name, runner_id="polaris", attempt=1)
            run = AgentRun(agent, task, emitter, Hygiene(Redactor()), lambda: None)
            run.start()
            attempts.enter_context(watch.watching(emitter, run))
        pipe.send("watching")
        await asyncio.Event().wait()

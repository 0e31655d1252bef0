"""The runner's composition root: import the agents, open the store, connect, poll until told to stop.

Everything before the first poll is guarded: a failure is printed as a STARTUP FAILURE block, stored as
RunnerStartupFailed and ends the process with exit code 1.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from projector import version
from projector.engines.ports import StoreEngine
from projector.envelope import NewEvent, runner_stream
from projector.errors import StoreError
from projector.event_writer import EventWriter
from projector.events import RunnerReady, RunnerStarting, RunnerStartupFailed, RunnerStopped, WritableEvent
from projector.failures import ErrorReport
from projector.logs import configure_logging
from projector.metrics_server import serving_metrics
from projector.opening import hygiene_from_environment, open_store
from runner.agent import Agent
from runner.errors.failure_report import report_failure
from runner.link import STOPPING, Link, StageReached
from runner.settings import RunnerSettings
from runner.startup import import_agent, likely_causes, startup_failure_block
from runner.ties import Ties, new_mark, runner_id_of, stop_with
from runner.tracing import traced

HEARTBEAT_THROTTLE: Final = timedelta(seconds=1)
"""The SDK's own default holds heartbeats back for up to 0.8 of their timeout, and cancellations with them."""
_ENDED_BADLY: Final = "the worker failed"

log = structlog.get_logger("runner")


class RunnerProcess:
    """One runner: its identity, its store and what it says about itself."""

    def __init__(self, settings: RunnerSettings, agent_names: Sequence[str], ties: Ties) -> None:
        self.settings = settings
        self.agent_names = tuple(agent_names)
        self.runner_id = runner_id_of(os.getpid(), ties.mark)
        self.hygiene = hygiene_from_environment()
        self.stage = "configuring"
        self._ties = ties
        self._link = Link(ties.link)
        self._parent = os.getppid()
        self._store: StoreEngine | None = None
        self._said = 0
        self._ready = False

    def run(self) -> int:
        """Start, serve until SIGTERM or SIGINT, stop. Returns the exit code; never raises."""
        try:
            agents = self._prepare()
            asyncio.run(self._serve(agents))
            return 0
        except KeyboardInterrupt:
            return 130
        except BaseException as error:  # SystemExit out of an agent's module counts as its failure too
            if self._ready:
                log.error("the runner ended", reason=str(error))
                with suppress(StoreError):
                    self.say(RunnerStopped(reason=f"{_ENDED_BADLY}: {report_failure(error, self.hygiene).headline}"))
            else:
                self._tell_failure(error)
            return 1
        finally:
            if self._store is not None:
                self._store.close()

    def _prepare(self) -> dict[str, Agent]:
        self._reach("opening the event store")
        self._store = open_store(self.settings, self.hygiene)
        self.say(
            RunnerStarting(
                task_queue=self.settings.agent_queue,
                agents=self.agent_names,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=version(),
            )
        )
        agents = {}
        for name in self.agent_names:
            self._reach(f"importing the agent {name}")
            agents[name] = import_agent(name)
        return agents

    async def _serve(self, agents: dict[str, Agent]) -> None:
        self._reach("connecting to Temporal")
        # Imported here: a broken installation of the SDK is a startup failure like any other.
        from temporalio.worker import Worker

        from runner.activities import RunnerActivities
        from runner.attempt import AttemptTools
        from runner.connection import connect
        from runner.liveness import LivenessWatch

        settings, store = self.settings, self._store
        assert store is not None
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop, stopping)
        client = await connect(settings.data_dir, timeout=settings.connect_timeout, identity=f"runner:{self.runner_id}")
        self._reach("registering the activities")
        writer = EventWriter(store)
        serving = ExitStack()
        metrics = serving.enter_context(serving_metrics(settings.metrics_port, store))
        if metrics is not None:
            metrics.watch_writer(writer)
        liveness = LivenessWatch(self._link, stall_after=settings.stall_after, stacks_fd=self._ties.stacks)
        tools = AttemptTools(
            store=store,
            writer=writer,
            hygiene=self.hygiene,
            runner_id=self.runner_id,
            stop_patience=settings.grace * 0.2,
            shutdown_grace=settings.grace * 0.7,
            link=self._link,
            liveness=liveness,
        )
        activities = RunnerActivities(agents=agents, threads_dir=settings.data_dir / "threads", tools=tools)
        worker = Worker(
            client,
            task_queue=settings.agent_queue,
            activities=[activities.ensure_thread, activities.execute_agent],
            identity=f"runner:{self.runner_id}",
            max_concurrent_activities=settings.slots,
            graceful_shutdown_timeout=timedelta(seconds=settings.grace * 0.7),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        )
        self._reach("polling")
        gc.freeze()  # what is there now stays; else each full collection stops all agents for tens of milliseconds
        liveness.start(asyncio.get_running_loop())
        polling = asyncio.create_task(worker.run())
        told = asyncio.create_task(stopping.wait())
        try:
            await asyncio.to_thread(
                self.say,
                RunnerReady(task_queue=settings.agent_queue, agents=self.agent_names, slots=settings.slots),
            )
            self._ready = True
            self._link.say(StageReached("serving", is_ready=True))
            print(f"runner {self.runner_id} serves queue '{settings.agent_queue}'", file=sys.stderr, flush=True)
            await asyncio.wait({polling, told}, return_when=asyncio.FIRST_COMPLETED)
            if not polling.done():
                await worker.shutdown()
            await polling
        finally:
            told.cancel()
            liveness.stop()
            await asyncio.to_thread(writer.close)
            serving.close()
        with suppress(StoreError):
            await asyncio.to_thread(self.say, RunnerStopped(reason="told to stop"))

    def _reach(self, stage: str) -> None:
        self.stage = stage
        self._link.say(StageReached(stage))

    def _told_to_stop(self, stopping: asyncio.Event) -> None:
        stopping.set()
        self._link.say(StageReached(STOPPING))
        if os.getppid() != self._parent:
            self._ties.regain_stderr()

    def say(self, event: WritableEvent) -> None:
        """Append an event about this runner itself. Raises StoreError."""
        if self._store is None:
            raise StoreError("there is no store to tell")
        self._said += 1
        stream = runner_stream(self.runner_id)
        new = NewEvent(id=f"{self._said}", time=datetime.now(UTC), writer=f"runner:{self.runner_id}", event=event)
        self._store.append(stream, [new])

    def _tell_failure(self, error: BaseException) -> None:
        report = report_failure(error, self.hygiene, kind="system")
        print(
            startup_failure_block(
                report,
                self.stage,
                task_queue=self.settings.agent_queue,
                agents=self.agent_names,
                runner_id=self.runner_id,
            ),
            file=sys.stderr,
            flush=True,
        )
        try:
            self.say(_failed(self.settings.agent_queue, self.agent_names, self.stage, report))
        except Exception as problem:
            print(f"this failure could not be stored either: {problem}", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _failed(task_queue: str, agents: tuple[str, ...], stage: str, report: ErrorReport) -> RunnerStartupFailed:
    return RunnerStartupFailed(
        task_queue=task_queue, agents=agents, stage=stage, report=report, likely_causes=likely_causes(report)
    )


def run_runner(
    settings: RunnerSettings,
    agent_names: Sequence[str],
    *,
    verbose: bool = False,
    parent: int | None = None,
    ties: Ties | None = None,
) -> int:
    """Run a runner in this process until it is told to stop; returns its exit code.

    With `parent` it also stops, in order, when that process dies (on Linux). `ties` are those to its supervisor.
    """
    if parent is not None:
        stop_with(parent)
    ties = ties or Ties(new_mark())
    ties.keep_to_itself()
    faulthandler.enable(2)  # a crash in native code leaves its stack among the last words
    process = RunnerProcess(settings, agent_names, ties)
    configure_logging(process.hygiene.redactor, verbose=verbose)
    # The SDK logs each failed activity with our stack; the runner logs the agent's own error instead.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with traced("runner", process.hygiene, _say):
        code = process.run()
    if any(thread.name.startswith("agent-") for thread in threading.enumerate()):
        # An agent that blocks cannot be joined, and Python would wait for its helper threads for ever.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code

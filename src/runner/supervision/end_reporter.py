"""Reports a runner's end: to its log, to the store, and to whoever waits for its attempts in Temporal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from projector.envelope import NewEvent, runner_stream
from projector.errors import StoreError, StoreUnavailable
from projector.event_store import EventStore
from projector.event_writer import EventWriter
from projector.events import RunnerExited, RunnerStartupFailed
from runner.contracts import ATTEMPT_FAILED, RUNNER_CRASHED
from runner.link import AttemptOpened
from runner.startup import BLOCK_TITLE, startup_failure_block
from runner.supervision.crash_notice import fail_attempts
from runner.supervision.obituary import Obituary, shutdown_report

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.exceptions import ApplicationError

STORE_PATIENCE: Final = 2.0
"""How long Temporal waits for the store to take the runner's end, in seconds."""

_PAUSE: Final = 0.5

log = structlog.get_logger("supervisor")


class EndReporter:
    """Reports for one supervisor. `client` is Temporal's, once there is a connection."""

    def __init__(self, store: EventStore, writer: EventWriter, client: asyncio.Future[Client]) -> None:
        self._store = store
        self._writer = writer
        self._client = client

    async def report(self, obituary: Obituary, attempts: Sequence[AttemptOpened]) -> None:
        """Tell the store, then Temporal that `attempts` are over; ends when both know. Never raises."""
        _print(obituary)
        stored = asyncio.ensure_future(self._tell_store(obituary))
        await asyncio.wait({stored}, timeout=STORE_PATIENCE)
        if attempts:
            await self._tell_temporal(obituary, attempts, stored)
        await stored

    async def _tell_store(self, obituary: Obituary) -> None:
        stream = runner_stream(obituary.runner_id)
        said: list[tuple[str, RunnerStartupFailed | RunnerExited]] = [("exited", obituary.exited)]
        try:
            if obituary.startup_failure is not None and not await self._has_said_itself(stream):
                said.insert(0, ("startup-failed", obituary.startup_failure))
            now, writer = datetime.now(UTC), f"supervisor:{obituary.runner_id}"
            await self._writer.append(stream, [NewEvent(id, now, writer, event) for id, event in said])
        except StoreError as error:
            log.error("how the runner ended could not be stored", how=obituary.how, reason=str(error))

    async def _has_said_itself(self, stream: str) -> bool:
        """Whether the runner stored why it could not start."""
        while True:
            try:
                history = await asyncio.to_thread(self._store.read, stream)
                return any(isinstance(record.event, RunnerStartupFailed) for record in history)
            except StoreUnavailable:
                await asyncio.sleep(_PAUSE)

    async def _tell_temporal(
        self, obituary: Obituary, attempts: Sequence[AttemptOpened], stored: asyncio.Future[None]
    ) -> None:
        try:
            client = await asyncio.shield(self._client)
            await fail_attempts(client, attempts, _error(obituary), stored)
        except Exception as error:  # its own timeouts end them then
            log.error("Temporal could not be told of the runner's end", how=obituary.how, reason=str(error))


def _error(obituary: Obituary) -> ApplicationError:
    from temporalio.exceptions import ApplicationError

    if obituary.exited.was_told:
        report = shutdown_report(obituary)
        return ApplicationError(
            report.headline, report.model_dump(mode="json"), type=ATTEMPT_FAILED, non_retryable=True
        )
    death = obituary.death
    return ApplicationError(death.how, death.model_dump(mode="json"), type=RUNNER_CRASHED, non_retryable=True)


def _print(obituary: Obituary) -> None:
    """The block, when the runner did not get to print it."""
    failure = obituary.startup_failure
    if failure is None or BLOCK_TITLE in obituary.exited.last_stderr:
        return
    block = startup_failure_block(
        failure.report,
        failure.stage,
        task_queue=failure.task_queue,
        agents=failure.agents,
        runner_id=obituary.runner_id,
    )
    print(block, file=sys.stderr, flush=True)

"""A runner whose settings cannot be read says so in the store, as far as that can be found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime

from projector.envelope import NewEvent, runner_stream
from projector.events import RunnerStartupFailed
from projector.opening import hygiene_from_environment, open_store
from projector.settings import PREFIX, StoreSettings, load
from runner.errors.failure_report import report_failure
from runner.settings import RunnerSettings
from runner.startup import likely_causes
from runner.ties import new_mark, runner_id_of


def tell_misconfigured(
    error: Exception, agents: Sequence[str], *, queue: str | None, store: str | None, data_dir: str | None
) -> None:
    """Append RunnerStartupFailed for the queue that was meant. Never raises: the error itself is for the person."""
    with suppress(Exception):
        hygiene = hygiene_from_environment()
        meant = queue or os.environ.get(PREFIX + "AGENT_QUEUE") or RunnerSettings.model_fields["agent_queue"].default
        report = report_failure(error, hygiene, kind="system")
        failed = RunnerStartupFailed(
            task_queue=meant,
            agents=tuple(agents),
            stage="reading the settings",
            report=report,
            likely_causes=likely_causes(report),
        )
        runner_id = runner_id_of(os.getpid(), new_mark())
        new = NewEvent("startup-failed", datetime.now(UTC), f"runner:{runner_id}", failed)
        with closing(open_store(load(StoreSettings, store=store, data_dir=data_dir), hygiene)) as event_store:
            event_store.append(runner_stream(runner_id), [new])

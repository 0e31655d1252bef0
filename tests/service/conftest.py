"""Real processes of the command line on real stores."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from projector.catalogue import Code
from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import execution_stream, runner_stream
from projector.events import (
    CancellationRequested,
    ConditionKind,
    ConditionObserved,
    ExecutionCancelled,
    MessageAppended,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    WritableEvent,
)
from projector.failures import ErrorReport
from projector.projecting.projection_runner import ProjectionRunner
from tests.histories import (
    AGENT,
    ATTEMPT,
    AWAITED,
    HALFWAY,
    QUEUE,
    REMARK,
    REQUESTED,
    RUNNER,
    SHIPWRECK,
    SOUNDING,
    STARTED,
    SURVEY,
    THREAD,
    VOYAGE,
    failed,
    news,
)

PROGRAM: Final = (sys.executable, "-c", "from workflows.cli import main; main()")
"""The console script `execution-status`, also where the project is not installed."""

WRECK: Final = "the-wreck-of-the-lead-line"
OTHER_WRECK: Final = "the-wreck-of-the-other-lead-line"
LOST: Final = "lost-at-sea"
NEVER_SAILED: Final = "never-sailed"
RECALLED: Final = "recalled-to-port"
SOUNDING_NOW: Final = "sounding-now"
AT_THE_QUAY: Final = "at-the-quay"
BECALMED: Final = "becalmed"
TORN_LOGBOOK: Final = "torn-logbook"
MASQUERADE: Final = "masquerade"

TURNED: Final = "invoice\u202efdp.exe"
"""A text that turns the reading direction around: on a terminal it would end in `exe.pdf`."""
MARKUP: Final = "[bold red]all is well[/] [link=https://example.org]here[/link] [/nonsense]"
"""A text that rich would take for markup."""
LONG_MESSAGE: Final = " ".join(f"fathom-{depth}" for depth in range(1, 300))

SAILING: Final = (REQUESTED, STARTED, AWAITED, THREAD, ATTEMPT)

FLEET: Final[dict[str, tuple[WritableEvent, ...]]] = {
    SURVEY: VOYAGE,
    WRECK: SHIPWRECK,
    OTHER_WRECK: (*SAILING, failed()),
    LOST: (*SAILING, REMARK, SOUNDING, failed(Code.RUNNER_LOST, "HeartbeatTimeout", LONG_MESSAGE)),
    NEVER_SAILED: (REQUESTED, failed(Code.RUNNER_STARTUP_FAILED, "ImportError", "no chart of the reef")),
    RECALLED: (*SAILING, CancellationRequested(reason="fog"), ExecutionCancelled(reason="fog"), REMARK),
    SOUNDING_NOW: (*SAILING, REMARK, HALFWAY, SOUNDING),
    AT_THE_QUAY: (REQUESTED, STARTED, AWAITED),
    BECALMED: (*SAILING, ConditionObserved(kind=ConditionKind.STALLED, reason="no wind for 3 minutes")),
    MASQUERADE: (
        *SAILING,
        MessageAppended(role="assistant", text=TURNED),
        failed(Code.AGENT_FAILED, "ValueError", f"{MARKUP} {TURNED} {LONG_MESSAGE}"),
    ),
    TORN_LOGBOOK: SAILING,
}
"""Executions by id, in the order in which they were requested."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Its JSON Lines."""
        return [json.loads(line) for line in self.out.split("\n") if line]

    @property
    def object(self) -> Any:
        """Its one JSON object."""
        (only,) = self.lines
        return only


class CommandLine:
    """The command line of somebody who has one store and nothing else."""

    def __init__(self, home: Path, store: Path) -> None:
        self.store = store
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EXECUTION_STATUS_", "TEMPORAL_", "XDG_")) and name not in ("NO_COLOR", "COLUMNS")
        }
        self.environment = inherited | {
            "HOME": str(home),
            "EXECUTION_STATUS_STORE": str(store),
            "EXECUTION_STATUS_LOCK_TIMEOUT": "20",
        }

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs for the length of the block, and is killed at its end if it still does."""
        with subprocess.Popen(
            [*PROGRAM, *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def open_store(path: Path) -> SqliteEventStore:
    """A store of the test's own process."""
    return SqliteEventStore(path, Hygiene(Redactor()))


def project(store: SqliteEventStore) -> None:
    """Bring the query tables up to the head of the store."""
    ProjectionRunner(store, store.database).catch_up()


def append(store: SqliteEventStore, execution_id: str, *events: WritableEvent) -> None:
    """Append to an execution's history."""
    store.append(execution_stream(execution_id), news(*events))


def append_unreadable(path: Path, execution_id: str) -> None:
    """What a newer version of this project may leave behind."""
    stream = execution_stream(execution_id)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state) "
            "SELECT ?, MAX(originator_version) + 1, 'KrakenSighted', ? FROM stored_events WHERE originator_id = ?",
            (
                stream,
                b'{"id": "kraken", "time": "2026-03-14T06:00:09Z", "writer": "runner:kraken", "data": {}}',
                stream,
            ),
        )


def fill(path: Path) -> None:
    """A store with the FLEET and two runners, one of which could not start; its query tables are up to date."""
    with closing(open_store(path)) as store:
        for execution_id, history in FLEET.items():
            append(store, execution_id, *history)
        append_unreadable(path, TORN_LOGBOOK)
        starting = RunnerStarting(task_queue=QUEUE, agents=(AGENT,), host="polaris", pid=4711)
        store.append(runner_stream(RUNNER), news(starting, RunnerReady(task_queue=QUEUE, agents=(AGENT,), slots=4)))
        report = ErrorReport(type="ImportError", message="no chart of the reef")
        unable = RunnerStartupFailed(task_queue="night-watch", agents=(AGENT,), stage="import", report=report)
        store.append(runner_stream("meridian:99"), news(starting, unable))
        project(store)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line of a store with the FLEET, for tests that only read."""
    home = tmp_path_factory.mktemp("fleet")
    fill(home / "store.db")
    return CommandLine(home, home / "store.db")


@pytest.fixture
def alone(tmp_path: Path) -> CommandLine:
    """The command line of a test's own store, which is not there yet."""
    return CommandLine(tmp_path, tmp_path / "store.db")


@pytest.fixture
def store(alone: CommandLine) -> Iterator[SqliteEventStore]:
    """The test's own store, empty."""
    with closing(open_store(alone.store)) as opened:
        yield opened

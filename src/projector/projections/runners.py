"""The table `runners`: what each runner process last said about itself, and its start-up error if it had one."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, assert_never

from pydantic import BaseModel, ConfigDict

from projector.envelope import RUNNER_STREAMS, RecordedEvent
from projector.events import (
    RunnerEvent,
    RunnerExited,
    RunnerReady,
    RunnerStarting,
    RunnerStartupFailed,
    RunnerStopped,
)
from projector.projections.statements import upsert

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS runners (
        runner_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        task_queue TEXT NOT NULL,
        agents TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        slots INTEGER NOT NULL,
        started_at TEXT,
        changed_at TEXT NOT NULL,
        stage TEXT NOT NULL,
        error TEXT NOT NULL,
        position BIGINT NOT NULL,
        "row" TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS runners_by_queue ON runners (task_queue, position)",
)

COLUMNS: Final = (
    "runner_id",
    "state",
    "task_queue",
    "agents",
    "host",
    "pid",
    "slots",
    "started_at",
    "changed_at",
    "stage",
    "error",
    "position",
    '"row"',  # a word of SQL's own, so it is quoted
)

UPSERT: Final = upsert("runners", ("runner_id",), COLUMNS)

SELECT: Final = 'SELECT "row" FROM runners WHERE runner_id = ?'


LAST_WORDS: Final = 4000
"""How many characters of what a runner last wrote to stderr its row keeps."""


class RunnerState(StrEnum):
    """What a runner last said about itself."""

    STARTING = "starting"
    READY = "ready"
    STARTUP_FAILED = "startup_failed"
    STOPPED = "stopped"
    EXITED = "exited"


class Runner(BaseModel):
    """One runner process.

    `error` is its start-up error, or how its process ended; `stage` is where it failed to start. `crashes` counts the
    ends in a row, this one and those of its predecessors, that nobody had asked for.
    """

    model_config = ConfigDict(frozen=True)

    runner_id: str
    state: RunnerState = RunnerState.STARTING
    task_queue: str = ""
    agents: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    slots: int = 0
    started_at: str | None = None
    changed_at: str = ""
    stage: str = ""
    error: str = ""
    error_type: str = ""
    error_message: str = ""
    crashes: int = 0
    last_words: str = ""
    position: int = 0


def fold(runner: Runner | None, recorded: RecordedEvent) -> Runner:
    """The runner after one more of its events."""
    runner = runner or Runner(runner_id=recorded.stream.removeprefix(RUNNER_STREAMS))
    at = recorded.time.isoformat()
    changes = _changes(runner, recorded.event, at) if isinstance(recorded.event, RunnerEvent) else {}
    return runner.model_copy(update={**changes, "changed_at": at, "position": recorded.position})


def _changes(runner: Runner, event: RunnerEvent, at: str) -> dict[str, Any]:
    match event:
        case RunnerStarting():
            return {
                "state": RunnerState.STARTING,
                "task_queue": event.task_queue,
                "agents": event.agents,
                "host": event.host,
                "pid": event.pid,
                "started_at": at,
            }
        case RunnerReady():
            return {
                "state": RunnerState.READY,
                "task_queue": event.task_queue,
                "agents": event.agents,
                "slots": event.slots,
            }
        case RunnerStartupFailed():
            root = event.report.root
            return {
                "state": RunnerState.STARTUP_FAILED,
                "task_queue": event.task_queue,
                "agents": event.agents,
                "stage": event.stage,
                "error": event.report.headline,
                "error_type": root.type,
                "error_message": root.message,
            }
        case RunnerStopped():
            return {"state": RunnerState.STOPPED}
        case RunnerExited():
            return _exited(runner, event)
        case _:
            assert_never(event)


def _exited(runner: Runner, event: RunnerExited) -> dict[str, Any]:
    """How a process ended. What it said itself about its end, it knew better than who only saw it end."""
    known: dict[str, Any] = {
        "task_queue": event.task_queue or runner.task_queue,
        "agents": event.agents or runner.agents,
        "crashes": event.crashes,
        "last_words": event.last_stderr[-LAST_WORDS:],
    }
    if runner.state is RunnerState.STARTUP_FAILED or (runner.state is RunnerState.STOPPED and event.was_told):
        return known
    how = ended_how(event)
    return known | {"state": RunnerState.EXITED, "error": how, "error_type": "ProcessEnded", "error_message": how}


def ended_how(event: RunnerExited) -> str:
    """How a runner's process ended, in a few words."""
    how = f"signal {event.signal}" if event.signal else f"exit code {event.exit_code}"
    return how + (", out of memory" if event.out_of_memory else "")


def row(runner: Runner) -> tuple[Any, ...]:
    """The row of a runner, in the order of the columns."""
    return (
        runner.runner_id,
        runner.state.value,
        runner.task_queue,
        ", ".join(runner.agents),
        runner.host,
        runner.pid,
        runner.slots,
        runner.started_at,
        runner.changed_at,
        runner.stage,
        runner.error,
        runner.position,
        runner.model_dump_json(),
    )


def runner_of(state: str) -> Runner:
    """The runner that a row holds."""
    return Runner.model_validate_json(state)

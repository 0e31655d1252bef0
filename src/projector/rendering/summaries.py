"""Rows and cards of what is not one execution: failure groups, runners, the catalogue, a rebuild."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from projector.catalogue import Entry
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner, RunnerState
from projector.rendering.printer import Cell, Field
from projector.rendering.words import between

GROUP_COLUMNS: Final = ("code", "category", "count", "first ago", "last ago", "last execution", "message")
RUNNER_COLUMNS: Final = ("runner", "state", "for", "queue", "agents", "error")
CODE_COLUMNS: Final = ("code", "category", "retry", "when")

_STATES: Final = {
    RunnerState.STARTING: "yellow",
    RunnerState.READY: "green",
    RunnerState.STARTUP_FAILED: "bold red",
    RunnerState.STOPPED: "dim",
    RunnerState.EXITED: "red",
}
_PLACEHOLDER: Final = re.compile(r"(?<=\w)\{(\w+)\}")


def group_row(group: FailureGroup, now: datetime) -> tuple[Cell, ...]:
    """The row of GROUP_COLUMNS. The message tells the cause, or is told by it."""
    named = group.cause if group.cause and group.cause not in group.message else ""
    return (
        Cell(group.code, "bold red"),
        Cell(group.category),
        Cell(str(group.executions), is_number=True),
        Cell(between(_time(group.first_at), now), is_number=True),
        Cell(between(_time(group.last_at), now), is_number=True),
        Cell(group.last_execution_id),
        Cell(f"{named}: {group.message}" if named else group.message),
    )


def runner_row(runner: Runner, now: datetime) -> tuple[Cell, ...]:
    """The row of RUNNER_COLUMNS."""
    error = f"{runner.stage}: {runner.error}" if runner.stage and runner.error else runner.error
    if runner.crashes > 1:
        error = f"{error} ({runner.crashes} times in a row)"
    return (
        Cell(runner.runner_id),
        Cell(runner.state.value, _STATES[runner.state]),
        Cell(between(_time(runner.changed_at), now)),
        Cell(runner.task_queue),
        Cell(", ".join(runner.agents)),
        Cell(error),
    )


def code_row(entry: Entry) -> tuple[Cell, ...]:
    """The row of CODE_COLUMNS."""
    return Cell(entry.code.value, "bold"), Cell(entry.category), Cell(_retry(entry)), Cell(entry.when)


def code_card(entry: Entry) -> list[Field]:
    """One entry of the catalogue, whole."""
    return [
        Field(entry.code.value, Cell(entry.category, "bold")),
        Field("when", Cell(entry.when)),
        Field("message", Cell(_open(entry.message))),
        Field("remedy", Cell(_open(entry.remedy))),
        Field("retry", Cell(_retry(entry))),
    ]


def _retry(entry: Entry) -> str:
    return "safe" if entry.retryable else "look first"


def _open(template: str) -> str:
    """The catalogue's words with their gaps named, as in `could not start: <cause>`."""
    return _PLACEHOLDER.sub(r" <\1>", template).replace("{", "<").replace("}", ">")


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

"""The table `failure_groups`: failures with one cause, counted. An incident is one row, however many executions it
hit.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from projector.execution_status import ExecutionStatus, Phase
from projector.failures import Failure, fingerprint

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS failure_groups (
        code TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        category TEXT NOT NULL,
        cause TEXT NOT NULL,
        message TEXT NOT NULL,
        executions INTEGER NOT NULL,
        first_at TEXT NOT NULL,
        last_at TEXT NOT NULL,
        last_execution_id TEXT NOT NULL,
        last_position INTEGER NOT NULL,
        PRIMARY KEY (code, fingerprint)
    ) WITHOUT ROWID
    """,
)

UPSERT: Final = "INSERT OR REPLACE INTO failure_groups VALUES (?,?,?,?,?,?,?,?,?,?)"

SELECT: Final = "SELECT * FROM failure_groups WHERE code = ? AND fingerprint = ?"


class FailureGroup(BaseModel):
    """Failures with one code and one fingerprint. `message` and `cause` are the latest one's."""

    model_config = ConfigDict(frozen=True)

    code: str
    fingerprint: str
    category: str
    cause: str
    message: str
    executions: int
    first_at: str
    last_at: str
    last_execution_id: str
    last_position: int


def failure_that_ended(before: ExecutionStatus | None, after: ExecutionStatus) -> Failure | None:
    """The failure, if the step from `before` to `after` is the one that made the execution FAILED."""
    if after.phase is not Phase.FAILED or (before is not None and before.phase is Phase.FAILED):
        return None
    return after.failure


def key(failure: Failure) -> tuple[str, str]:
    """The group that a failure belongs to."""
    return failure.code, fingerprint(failure)


def fold(group: FailureGroup | None, after: ExecutionStatus, failure: Failure) -> FailureGroup:
    """The group after one more execution has failed."""
    at = after.finished_at.isoformat() if after.finished_at else ""
    code, shape = key(failure)
    return FailureGroup(
        code=code,
        fingerprint=shape,
        category=failure.category,
        cause=failure.cause.type if failure.cause else "",
        message=failure.message,
        executions=(group.executions if group else 0) + 1,
        first_at=group.first_at if group else at,
        last_at=at,
        last_execution_id=after.execution_id,
        last_position=after.position,
    )


def row(group: FailureGroup) -> tuple[Any, ...]:
    """The row of a group, in the order of the columns."""
    return tuple(group.model_dump().values())

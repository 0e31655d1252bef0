"""The table `failure_groups`: failures with one cause, counted. An incident is one row, however many executions it
hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from projector.execution_status import ExecutionStatus, Phase
from projector.failures import Failure, fingerprint
from projector.projections.statements import upsert

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
        first_position BIGINT NOT NULL,
        last_position BIGINT NOT NULL,
        PRIMARY KEY (code, fingerprint)
    ) WITHOUT ROWID
    """,
)

COLUMNS: Final = (
    "code",
    "fingerprint",
    "category",
    "cause",
    "message",
    "executions",
    "first_at",
    "last_at",
    "last_execution_id",
    "first_position",
    "last_position",
)

UPSERT: Final = upsert("failure_groups", ("code", "fingerprint"), COLUMNS)

SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM failure_groups WHERE code = ? AND fingerprint = ?"  # noqa: S608


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
    first_position: int
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
    """The group after one more execution has failed; in whatever order they come, it ends the same."""
    at = after.finished_at.isoformat() if after.finished_at else ""
    code, shape = key(failure)
    alone = FailureGroup(
        code=code,
        fingerprint=shape,
        category=failure.category,
        cause=failure.cause.type if failure.cause else "",
        message=failure.message,
        executions=1,
        first_at=at,
        last_at=at,
        last_execution_id=after.execution_id,
        first_position=after.position,
        last_position=after.position,
    )
    return merged(group, alone) if group else alone


def merged(one: FailureGroup, other: FailureGroup) -> FailureGroup:
    """Two parts of one group together."""
    first = min(one, other, key=lambda part: part.first_position)
    last = max(one, other, key=lambda part: part.last_position)
    changes = {
        "executions": one.executions + other.executions,
        "first_at": first.first_at,
        "first_position": first.first_position,
    }
    return last.model_copy(update=changes)


def row(group: FailureGroup) -> tuple[Any, ...]:
    """The row of a group, in the order of the columns."""
    return tuple(group.model_dump().values())


def group_of(row: Sequence[Any]) -> FailureGroup:
    """The group that a row holds."""
    return FailureGroup(**dict(zip(COLUMNS, row, strict=True)))

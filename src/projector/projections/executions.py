"""The table `executions`: one row an execution, folded by the aggregate itself.

The columns are what people filter and read in a list; `status` is the whole aggregate as JSON, from which the next
event is folded, so the cost of one more event does not depend on how many there were. Unlike the other tables this one
keeps its rowid: its rows are of some kilobytes, of which a table without one would put most on pages of their own.
"""

from __future__ import annotations

from typing import Any, Final

from projector.execution_status import ExecutionStatus
from projector.failures import fingerprint
from projector.projections.statements import upsert

CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS executions (
        execution_id TEXT PRIMARY KEY,
        phase TEXT NOT NULL,
        agent TEXT NOT NULL,
        task_queue TEXT NOT NULL,
        session_id TEXT,
        thread_id TEXT,
        attempt INTEGER NOT NULL,
        runner TEXT,
        code TEXT,
        category TEXT,
        fingerprint TEXT,
        message TEXT,
        tool_in_flight TEXT,
        condition TEXT,
        condition_reason TEXT,
        requested_at TEXT,
        started_at TEXT,
        finished_at TEXT,
        first_position BIGINT NOT NULL,
        version BIGINT NOT NULL,
        position BIGINT NOT NULL,
        status TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS executions_by_age ON executions (first_position)",
    "CREATE INDEX IF NOT EXISTS executions_by_phase ON executions (phase, first_position)",
    "CREATE INDEX IF NOT EXISTS executions_by_code ON executions (code, first_position) WHERE code IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS executions_by_cause ON executions (fingerprint, first_position) "
    "WHERE fingerprint IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS executions_by_agent ON executions (agent, first_position)",
    "CREATE INDEX IF NOT EXISTS executions_by_session ON executions (session_id, first_position) "
    "WHERE session_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS executions_by_end ON executions (finished_at) WHERE finished_at IS NOT NULL",
)

COLUMNS: Final = (
    "execution_id",
    "phase",
    "agent",
    "task_queue",
    "session_id",
    "thread_id",
    "attempt",
    "runner",
    "code",
    "category",
    "fingerprint",
    "message",
    "tool_in_flight",
    "condition",
    "condition_reason",
    "requested_at",
    "started_at",
    "finished_at",
    "first_position",
    "version",
    "position",
    "status",
)

UPSERT: Final = upsert("executions", ("execution_id",), COLUMNS)

SELECT_STATUS: Final = "SELECT status FROM executions WHERE execution_id = ?"
"""What the table holds of an execution."""

SELECT_SNAPSHOT: Final = """
SELECT status FROM executions WHERE execution_id = ?
  AND EXISTS (SELECT 1 FROM tracking WHERE application_name = 'projector.fold' AND notification_id = ?)
  AND NOT EXISTS (SELECT 1 FROM parked WHERE stream = ?)
"""
"""The same if a given version of the fold has made it, of nothing but its events."""


def row(status: ExecutionStatus) -> tuple[Any, ...]:
    """The row of a status, in the order of the columns."""
    failure, condition, in_flight = status.failure, status.condition, status.in_flight
    return (
        status.execution_id,
        status.phase.value,
        status.agent,
        status.task_queue,
        status.session_id,
        status.thread_id,
        status.attempt,
        status.runner,
        failure.code if failure else None,
        failure.category if failure else None,
        fingerprint(failure) if failure else None,
        failure.message if failure else None,
        in_flight.tool if in_flight else None,
        condition.kind.value if condition else None,
        condition.reason if condition else None,
        status.requested_at.isoformat() if status.requested_at else None,
        status.started_at.isoformat() if status.started_at else None,
        status.finished_at.isoformat() if status.finished_at else None,
        status.first_position,
        status.version,
        status.position,
        status.model_dump_json(),
    )


def status_of(state: str) -> ExecutionStatus:
    """The status that a row holds."""
    return ExecutionStatus.model_validate_json(state)

"""A group of failed executions: which of them were not retried yet, and how they are run again, one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from projector.errors import StatusError
from projector.execution_filter import ExecutionFilter
from projector.execution_status import ExecutionStatus
from projector.queries import Queries
from workflows.client import ExecutionClient
from workflows.recovery import retry_unnamed

MEANWHILE = "was retried by somebody else meanwhile"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the retry of one: the execution that repeats it, or why there is none.

    Neither is there when somebody else was quicker.
    """

    execution_id: str
    retried_as: str | None = None
    refusal: str | None = None


async def not_retried(queries: Queries, chosen: ExecutionFilter, limit: int | None) -> list[ExecutionStatus]:
    """Those of a filter that were not retried yet, newest first, `limit` at most. Raises StoreError."""
    found: list[ExecutionStatus] = []
    while True:
        page = await queries.executions(chosen)
        for listed in page.items:
            if listed.retried_as is not None:
                continue
            status = await queries.execution(listed.execution_id)  # a row may be older than a retry
            if status.retried_as is None:
                found.append(status)
            if len(found) == limit:
                return found
        if page.next_cursor is None:
            return found
        chosen = replace(chosen, after=page.next_cursor)


async def retry_each(client: ExecutionClient, found: Sequence[ExecutionStatus]) -> AsyncIterator[Outcome]:
    """Run them again, and tell of each. One that cannot be does not stop the others.

    Raises EngineUnreachable before the first when Temporal cannot be reached at all.
    """
    await client.connect()  # without Temporal no start can succeed, and each would leave an execution that failed too
    for status in found:
        try:
            started = await retry_unnamed(client, status.execution_id)
        except StatusError as error:
            yield Outcome(status.execution_id, refusal=str(error))
        else:
            yield Outcome(status.execution_id, retried_as=started.execution_id if started else None)

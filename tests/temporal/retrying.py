"""What the tests of retries share: executions that failed, the command, and what a retry leaves behind."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from projector.catalogue import Code
from projector.envelope import END_EVENT_ID, NewEvent, execution_stream
from projector.events import ExecutionFailed, ExecutionRequested
from projector.execution_status import ExecutionStatus, Phase
from projector.failures import Cause, build_failure
from tests.temporal.harness import TIMEOUTS, Harness, agent, types_of
from tests.temporal.processes import Ended, command


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def wreck(
    ship: Harness,
    execution_id: str,
    voyage: str,
    *,
    code: Code = Code.RUNNER_UNAVAILABLE,
    ended: float = 1.0,
    cause: str = "the harbour was closed",
    requested: ExecutionRequested | None = None,
) -> str:
    """Leave a failed execution in the store that ended so many minutes ago; run again, it completes."""
    request = requested or ExecutionRequested(
        agent=agent("says_nothing"),
        input="How deep?",
        session_id=voyage,
        task_queue=ship.settings.agent_queue,
        timeouts=TIMEOUTS,
    )
    failure = build_failure(code, cause=Cause(type="Storm", message=cause), queue="survey")
    ship.store.append(
        execution_stream(execution_id),
        [
            NewEvent("asked", minutes_ago(ended + 1), "client", request),
            NewEvent(END_EVENT_ID, minutes_ago(ended), "orchestrator", ExecutionFailed(failure=failure)),
        ],
    )
    return execution_id


async def retry(ship: Harness, *arguments: str, extra: dict[str, str] | None = None) -> Ended:
    return await command("retry", *arguments, extra=ship.surroundings | (extra or {}))


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def refused(ended: Ended, code: int, *parts: str) -> None:
    """A refusal is its exit code and one line on stderr."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err
    for part in parts:
        assert part in ended.err


async def head(ship: Harness) -> int:
    return await asyncio.to_thread(ship.store.head)


async def untouched(ship: Harness, *execution_ids: str) -> bool:
    """Whether these hold nothing but their request and their end."""
    return all(
        [types_of(await ship.history(each)) == ["ExecutionRequested", "ExecutionFailed"] for each in execution_ids]
    )


async def linked(ship: Harness, old: str, new: str) -> ExecutionStatus:
    """The end of a retry, which must be linked with what it repeats in both directions."""
    status = await ship.end(new)
    before = await ship.status(old)
    assert (status.retry_of, before.retried_as, before.late_events) == (old, new, 0)
    assert before.phase is Phase.FAILED
    return status

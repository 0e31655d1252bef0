"""The command that runs executions again: one, or a whole group of those that failed.

One that was already retried is run once more only for somebody who says so: its agent may have done its work by now.
Of a group those are left out. The command looks, asks, and starts the others one by one.

Results go to stdout. The question, and what it is about, go to stderr, so that it may be asked also of those who pipe
the results into a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime

from projector.console import agrees, print_json, run, say
from projector.errors import AlreadyRetried, InputRejected
from projector.execution_filter import MOST_ROWS, ExecutionFilter
from projector.execution_status import ExecutionStatus, Phase
from projector.moments import moment_of
from projector.query_commands import fresh_queries
from projector.settings import StoreSettings
from workflows.client import ExecutionClient, StartedExecution
from workflows.failed_group import MEANWHILE, not_retried, retry_each

COLUMNS = ("id", "age", "agent", "message")
COULD_NOT_START = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Which failed executions to run again, as it was typed. `limit` is how many at most, all when it is None."""

    code: str | None = None
    category: str | None = None
    cause: str | None = None
    session: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    dry_run: bool = False
    yes: bool = False

    @property
    def is_named(self) -> bool:
        """Whether it says of which kind the failures are."""
        return (self.code, self.category, self.cause) != (None, None, None)

    def filter(self, now: datetime) -> ExecutionFilter:
        """What to ask the query tables for. Raises InputRejected for what makes no sense."""
        return ExecutionFilter.parse(
            phase=Phase.FAILED,
            code=self.code,
            category=self.category,
            cause=self.cause,
            session=self.session,
            finished_since=moment_of(self.since, now) if self.since is not None else None,
            finished_until=moment_of(self.until, now) if self.until is not None else None,
            limit=MOST_ROWS,
        )


def check_retry(execution_id: str | None, group: Group, *, again: bool = False) -> None:
    """Refuse to guess whether one execution is meant or a group. Raises InputRejected."""
    if execution_id is None and not group.is_named:
        raise InputRejected("name what to retry: the id of one execution, or a group by --code, --category or --cause")
    if execution_id is not None and group != Group():
        raise InputRejected(
            f"'{execution_id}' is one execution, and the other options choose from a group: give the one or the others"
        )
    if execution_id is None and again:
        raise InputRejected(
            "--again is for one execution, since a group leaves out those that were already retried: name that one's id"
        )


async def retry_one(client: ExecutionClient, execution_id: str, *, again: bool) -> StartedExecution:
    """Run one that has ended again.

    Raises AlreadyRetried unless `again` is said, and what `ExecutionClient.retry` raises.
    """
    status = await client.status(execution_id)
    if status is not None and status.retried_as is not None:
        if not again:
            raise AlreadyRetried(execution_id, status.retried_as)
        say(f"'{execution_id}' was already retried as '{status.retried_as}': this is one more")
    return await client.retry(execution_id)


def retry_group(settings: StoreSettings, client: ExecutionClient, group: Group, *, as_json: bool) -> int:
    """Run the executions of a group again that failed and were not retried yet; returns the exit code.

    Raises InputRejected, StoreError, EngineUnreachable when Temporal cannot be reached at all.
    """
    chosen = group.filter(datetime.now(UTC))
    if not (group.dry_run or group.yes or sys.stdin.isatty()):
        raise InputRejected(
            "a group is retried only on a confirmation, and there is no terminal to ask on: look at it with --dry-run, "
            "then say --yes"
        )
    found = run(_find(settings, chosen, group.limit))
    if not found:
        say("no failed execution is like that and was not retried yet")
        return 0
    if group.dry_run:
        _show(found, as_json=as_json)
        say(f"{len(found)} would be retried{_warning(found)}")
        return 0
    if not group.yes:
        with redirect_stdout(sys.stderr):
            _show(found, as_json=False)
        if not agrees(f"Retry {'it' if len(found) == 1 else f'these {len(found)}'}{_warning(found)}?"):
            say("nothing was retried")
            return 0
    return run(_retry(client, found, as_json=as_json))


async def _find(settings: StoreSettings, chosen: ExecutionFilter, limit: int | None) -> list[ExecutionStatus]:
    async with fresh_queries(settings) as queries:
        return await not_retried(queries, chosen, limit)


async def _retry(client: ExecutionClient, found: Sequence[ExecutionStatus], *, as_json: bool) -> int:
    retried, failed = 0, []
    async for one in retry_each(client, found):
        if one.refusal is not None:
            failed.append(one.execution_id)
            say(f"'{one.execution_id}' could not be retried: {one.refusal}")
        elif one.retried_as is None:
            say(f"'{one.execution_id}' {MEANWHILE}")
        else:
            retried += 1
            if as_json:
                print_json({"execution_id": one.execution_id, "retried_as": one.retried_as})
            else:
                print(f"{one.execution_id} → {one.retried_as}", flush=True)
    say(f"{retried} of {len(found)} retried" + (f"; could not be: {', '.join(failed)}" if failed else ""))
    return COULD_NOT_START if failed else 0


def _show(found: Sequence[ExecutionStatus], *, as_json: bool) -> None:
    if as_json:
        for status in found:
            said = {
                "execution_id": status.execution_id,
                "code": status.failure.code if status.failure else None,
                "message": status.failure.message if status.failure else None,
                "finished_at": status.finished_at.isoformat() if status.finished_at else None,
            }
            print_json(said)
        return
    from projector.rendering.printer import Cell
    from projector.rendering.statuses import reason
    from projector.rendering.stdout import printer
    from projector.rendering.words import between

    now = datetime.now(UTC)
    rows = [
        (
            Cell(status.execution_id),
            Cell(between(status.requested_at, now), is_number=True),
            Cell(status.agent),
            Cell(reason(status)),
        )
        for status in found
    ]
    printer().table(COLUMNS, rows)


def _warning(found: Sequence[ExecutionStatus]) -> str:
    """What a person must know before they say yes."""
    begun = sum(1 for status in found if status.failure is not None and not status.failure.retryable)
    if not begun:
        return ""
    who = "its agent" if len(found) == 1 else "their agents" if begun == len(found) else f"the agents of {begun}"
    return f", although {who} had begun, and what was done already is not undone"

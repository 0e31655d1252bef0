"""The commands that ask the query tables: show, list, failures, runners."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from projector.console import print_json, say
from projector.execution_filter import ExecutionFilter
from projector.execution_status import ExecutionStatus
from projector.opening import open_queries
from projector.queries import Queries
from projector.settings import StoreSettings
from projector.views import status_view

_LOOK_EVERY: Final = 0.02
_PATIENCE: Final = 0.5
"""How long a list waits for the projector to reach what the store held when it was asked, in seconds."""


async def current_status(settings: StoreSettings, execution_id: str) -> ExecutionStatus:
    """One execution as of now. Raises ExecutionNotFound, InputRejected, StoreError."""
    async with open_queries(settings) as queries:
        return await queries.execution(execution_id)


async def list_executions(settings: StoreSettings, chosen: ExecutionFilter, *, as_json: bool) -> None:
    """Print a page of executions; on stderr how to get the next one. Raises StoreError."""
    async with fresh_queries(settings) as queries:
        page = await queries.executions(chosen)
    if as_json:
        for status in page.items:
            print_json(status_view(status))
    elif page.items:
        from projector.rendering.statuses import LIST_COLUMNS, list_row
        from projector.rendering.stdout import printer

        now = datetime.now(UTC)
        printer().table(LIST_COLUMNS, [list_row(status, now) for status in page.items])
    else:
        say("no execution is like that" if chosen != ExecutionFilter(limit=chosen.limit) else "no executions yet")
    if page.next_cursor:
        say(f"there are more: the same again with --after {page.next_cursor}")


async def list_failures(settings: StoreSettings, limit: int, *, as_json: bool) -> None:
    """Print failures by cause. Raises StoreError."""
    async with fresh_queries(settings) as queries:
        groups = await queries.failure_groups(limit)
    if as_json:
        for group in groups:
            print_json(group)
    elif groups:
        from projector.rendering.stdout import printer
        from projector.rendering.summaries import GROUP_COLUMNS, group_row

        now = datetime.now(UTC)
        printer().table(GROUP_COLUMNS, [group_row(group, now) for group in groups])
    else:
        say("no failures")


async def list_runners(settings: StoreSettings, queue: str | None, *, as_json: bool) -> None:
    """Print runners, of one queue or of all. Raises StoreError."""
    async with open_queries(settings) as queries:
        found = await queries.runners(queue)
    if as_json:
        for runner in found:
            print_json(runner)
    elif found:
        from projector.rendering.stdout import printer
        from projector.rendering.summaries import RUNNER_COLUMNS, runner_row

        now = datetime.now(UTC)
        printer().table(RUNNER_COLUMNS, [runner_row(runner, now) for runner in found])
    else:
        say("no runner has ever started here" if queue is None else f"no runner has ever served queue '{queue}'")


@asynccontextmanager
async def fresh_queries(settings: StoreSettings) -> AsyncIterator[Queries]:
    """Queries of tables that hold what the store held when they were asked for, or word on stderr that they do not.

    Raises StoreError.
    """
    async with open_queries(settings) as queries:
        lag = await queries.lag()
        wanted, deadline = lag.head, time.monotonic() + _PATIENCE
        while lag.position < wanted and time.monotonic() < deadline:
            await asyncio.sleep(min(settings.poll_interval, _LOOK_EVERY))
            lag = await queries.lag()
        yield queries
    if lag.position < wanted:
        behind = wanted - lag.position
        say(
            f"the query tables are {behind} event{'' if behind == 1 else 's'} behind the store: "
            "is a projector running? (`execution-status project`)"
        )

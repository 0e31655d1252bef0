"""The command `watch`: each event and what it says as it comes, and at the end of one execution its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

from projector.console import print_json, say
from projector.execution_status import ExecutionStatus
from projector.opening import open_existing_store
from projector.repository import ExecutionRepository
from projector.settings import StoreSettings
from projector.streams import StatusChange, follow, follow_all
from projector.views import change_view


async def watch_one(settings: StoreSettings, execution_id: str, *, after: int, as_json: bool) -> ExecutionStatus:
    """Print one execution's events above position `after` until it ends; returns the status at its end.

    Raises ExecutionNotFound, InputRejected for a malformed id or a position that the store does not have, StoreError.
    """
    tell = _teller(as_json=as_json, of_one=True)
    status: ExecutionStatus | None = None
    with closing(open_existing_store(settings)) as store:
        async for change in follow(store, execution_id, after=after, poll_interval=settings.poll_interval):
            tell(change)
            status = change.status
        if status is None:  # resumed at the end: there was nothing left to print, and still there is a verdict
            return ExecutionRepository(store).get(execution_id)
    if not as_json:
        from projector.rendering.statuses import verdict
        from projector.rendering.stdout import printer

        printer().card(verdict(status))
    return status


async def watch_all(settings: StoreSettings, *, after: int | None, as_json: bool) -> None:
    """Print the events of all executions above position `after`, or from now on; it ends only when it is interrupted.

    Raises InputRejected for a position that the store does not have, StoreError.
    """
    tell = _teller(as_json=as_json, of_one=False)
    with closing(open_existing_store(settings)) as store:
        if after is None:
            after = await asyncio.to_thread(store.head)
            say(f"watching every execution from position {after} on; Ctrl-C ends it")
        async for change in follow_all(store, after=after, poll_interval=settings.poll_interval):
            tell(change)


def _teller(*, as_json: bool, of_one: bool) -> Callable[[StatusChange], None]:
    if as_json:
        return lambda change: print_json(change_view(change.record, change.status))
    from projector.rendering.histories import change_teller

    return change_teller(of_one=of_one)

"""Live streams: stored history first, then what follows, without gap or repeat, because both are the same store.

A stream reads the store and nothing else: it delivers the end also when every worker and the projector are dead.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, RecordedEvent, execution_id_of, execution_stream
from projector.errors import ExecutionNotFound, InputRejected, StoreUnavailable
from projector.execution_status import ExecutionStatus, evolve
from projector.repository import ExecutionRepository
from projector.waking import waking

PAGE: Final = 500
_STATUSES_AT_HAND: Final = 10_000
_LONGEST_PAUSE: Final = 2.0

log = structlog.get_logger("streams")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An event and the status after it, and where it is known the one before it."""

    record: RecordedEvent
    status: ExecutionStatus
    before: ExecutionStatus | None = None


async def follow(
    store: StoreEngine, execution_id: str, *, after: int = 0, poll_interval: float = 0.5
) -> AsyncIterator[StatusChange]:
    """One execution from a position on, up to and including its end.

    `after` is the last position that was seen; nothing up to it is repeated, so a stream resumed at the end is empty.
    `poll_interval`, in seconds, is how soon a change is seen that the bell did not ring for. A store that cannot serve
    for a while is waited for.
    Raises ExecutionNotFound, InputRejected for a malformed id or a position beyond the store's end.
    """
    stream = execution_stream(execution_id)
    await _check_cursor(store, after)
    status: ExecutionStatus | None = None
    was_full = False
    with waking(store.bell) as woken:
        while True:
            woken.forget()
            version = status.version if status else 0
            records = await patiently(store.read, stream, after=version, limit=PAGE)
            if not records and (status is None or (was_full and not await patiently(store.version, stream))):
                raise ExecutionNotFound(execution_id)  # also when it was archived while it was read
            was_full = len(records) == PAGE
            for record in records:
                status = evolve(status, record)
                if record.position > after:
                    yield StatusChange(record, status)
                if status.phase.is_terminal or record.id == END_EVENT_ID:  # an end that cannot be read is one, too
                    return
            if not records:
                await woken.wait(poll_interval)


async def follow_all(
    store: StoreEngine, *, after: int | None = None, poll_interval: float = 0.5
) -> AsyncIterator[StatusChange]:
    """Every execution's events from a position on (from now on when `after` is None); it never ends by itself.

    `poll_interval` is in seconds. Raises InputRejected for a position beyond the store's end.
    """
    if after is None:
        after = await patiently(store.head)
    else:
        await _check_cursor(store, after)
    tail = StatusTail(store, after)
    with waking(store.bell) as woken:
        while True:
            woken.forget()
            changes = await patiently(tail.page)
            for change in changes or ():
                yield change
            if changes is None:
                await woken.wait(poll_interval)


class StatusTail:
    """Every execution's events from a position on, a page at a time, each with the status before and after it.

    For one thread at a time. A page that could not be read may be asked for again.
    """

    def __init__(self, store: StoreEngine, position: int) -> None:
        self._store = store
        self._repository = ExecutionRepository(store)
        self._statuses: OrderedDict[str, ExecutionStatus] = OrderedDict()
        self.position = position
        """The last one that was read."""

    def page(self, limit: int = PAGE) -> list[StatusChange] | None:
        """What follows, at most `limit` events; None when there is nothing yet. Raises StoreError."""
        records = self._store.tail(after=self.position, limit=limit)
        changes = [change for record in records if (change := self._change(record)) is not None]
        if records:
            self.position = records[-1].position
        return changes if records else None

    def _change(self, record: RecordedEvent) -> StatusChange | None:
        execution_id = execution_id_of(record.stream)
        if execution_id is None:
            return None
        before = self._statuses.get(execution_id) if record.version > 1 else None
        if record.version > 1 and (before is None or before.version != record.version - 1):
            before = self._repository.find(execution_id, record.version - 1)
            if before is None:  # archived since this page was read
                return None
        status = self._statuses[execution_id] = evolve(before, record)
        self._statuses.move_to_end(execution_id)
        if len(self._statuses) > _STATUSES_AT_HAND:
            self._statuses.popitem(last=False)
        return StatusChange(record, status, before)


async def _check_cursor(store: StoreEngine, after: int) -> None:
    if after < 0:
        raise InputRejected(f"{after} is not a position: positions begin at 1, and 0 means from the beginning")
    head = await patiently(store.head)
    if after > head:
        raise InputRejected(
            f"position {after} is beyond the end of this store, which is at {head}: "
            "it comes from another store, or this one was restored from a backup; watch again without it"
        )


async def patiently(read: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
    """Read in a thread, as often as it takes while the store cannot serve."""
    pause = 0.05
    while True:
        try:
            return await asyncio.to_thread(read, *arguments, **options)
        except StoreUnavailable as error:
            log.warning("the stream waits for the store", reason=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

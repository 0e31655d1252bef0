"""Live streams as server-sent events: one execution to its end, or all of them.

An event's id is its position, so whoever comes back with the last one that he saw gets each later one once, in order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent

from projector.errors import InputRejected
from projector.execution_filter import ExecutionFilter
from projector.execution_status import ExecutionStatus
from projector.streams import StatusChange, follow, follow_all
from projector.views import change_view
from workflows.service.desk import AtDesk, Desk
from workflows.service.reading import Id

PING_EVERY: Final = 15
"""Seconds of silence after which a comment is sent, by which a proxy or a client sees that the stream lives."""
STALLED_AFTER: Final = 5.0
"""A client that takes nothing for so many seconds is cut off; it comes back with its last position."""

router = APIRouter(prefix="/api", tags=["streams"])

After = Annotated[int | None, Query(ge=0, description="a position: only what came after that event")]
LastEventId = Annotated[str | None, Header(description="the same, as a browser sends it when it comes back")]


@router.get("/executions/{execution_id}/stream", operation_id="streamExecution", summary="One execution, to its end")
async def stream_execution(
    desk: AtDesk, execution_id: Id, after: After = None, last_event_id: LastEventId = None
) -> EventSourceResponse:
    """Events named `status`, then one named `end`. `resync` says that a position was not of this store."""
    await desk.queries.execution(execution_id)
    return _response(desk, _one(desk, execution_id, _position(after, last_event_id) or 0))


@router.get("/stream", operation_id="streamAll", summary="All executions, for as long as it is wanted")
async def stream_all(
    desk: AtDesk,
    phase: str | None = None,
    code: str | None = None,
    session: str | None = None,
    agent: str | None = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> EventSourceResponse:
    """From now on, or from a position on. Filters look at the status after each event."""
    chosen = ExecutionFilter.parse(phase=phase, code=code, session=session)
    return _response(desk, _all(desk, chosen, agent, _position(after, last_event_id)))


def _position(after: int | None, last_event_id: str | None) -> int | None:
    if last_event_id is None:
        return after
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18):
        raise InputRejected(f"'{last_event_id[:40]}' is not a position: send the id of the last event that came")
    return int(last_event_id)


def _response(desk: Desk, events: AsyncGenerator[ServerSentEvent, None]) -> EventSourceResponse:
    return EventSourceResponse(_until(desk.closing, events), ping=PING_EVERY, send_timeout=STALLED_AFTER)


async def _until(
    closing: asyncio.Event, events: AsyncGenerator[ServerSentEvent, None]
) -> AsyncIterator[ServerSentEvent]:
    """The same events, until the service stops: whoever listens comes back with his last position."""
    closed = asyncio.ensure_future(closing.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(events, None))
            try:
                await asyncio.wait((coming, closed), return_when=asyncio.FIRST_COMPLETED)
                event = coming.result() if coming.done() else None
            finally:
                coming.cancel()
            if event is None:
                return
            yield event
    finally:
        closed.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await events.aclose()


async def _one(desk: Desk, execution_id: str, after: int) -> AsyncGenerator[ServerSentEvent, None]:
    if after > (at := await asyncio.to_thread(desk.store.head)):
        yield _resync(after, at)
        after = 0
    position = after
    async for change in follow(desk.store, execution_id, after=after, poll_interval=desk.settings.poll_interval):
        position = change.record.position
        yield _status(change)
    status = await desk.queries.execution(execution_id)
    yield ServerSentEvent(
        json.dumps({"execution_id": execution_id, "phase": status.phase}), event="end", id=str(max(position, after))
    )


async def _all(
    desk: Desk, chosen: ExecutionFilter, agent: str | None, after: int | None
) -> AsyncGenerator[ServerSentEvent, None]:
    if after is not None and after > (at := await asyncio.to_thread(desk.store.head)):
        yield _resync(after, at)
        after = None
    async for change in follow_all(desk.store, after=after, poll_interval=desk.settings.poll_interval):
        if _is_wanted(change.status, chosen, agent):
            yield _status(change)


def _is_wanted(status: ExecutionStatus, chosen: ExecutionFilter, agent: str | None) -> bool:
    return (
        (chosen.phase is None or status.phase is chosen.phase)
        and (chosen.code is None or (status.failure is not None and status.failure.code == chosen.code))
        and (chosen.session is None or status.session_id == chosen.session)
        and (agent is None or status.agent == agent)
    )


def _status(change: StatusChange) -> ServerSentEvent:
    view = change_view(change.record, change.status)
    return ServerSentEvent(view.model_dump_json(), event="status", id=str(view.position))


def _resync(after: int, head: int) -> ServerSentEvent:
    detail = (
        f"position {after} is beyond the end of this store, which is at {head}: it comes from another store, or this "
        "one was restored from a backup; forget what you have, all follows anew"
    )
    return ServerSentEvent(json.dumps({"detail": detail, "position": head}), event="resync")

"""Live streams as server-sent events: one execution to its end, or all of them.

An event's id is its position, so whoever comes back with the last one that he saw gets each later one once, in order.
A stream begins to listen to the feed, then reads from the store what came before that, then sends what the feed gave:
so there is neither a gap between the two nor anything twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query

from projector.errors import InputRejected
from projector.execution_filter import ExecutionFilter
from projector.execution_status import ExecutionStatus
from projector.streams import patiently
from workflows.service.catching_up import AllExecutions, OneExecution
from workflows.service.desk import AtDesk, Desk
from workflows.service.feed import Listener
from workflows.service.frames import Frame, beginning, end, joined, resync, snapshot_of_all, snapshot_of_one
from workflows.service.reading import Id
from workflows.service.stream_response import StreamResponse

Chunks = AsyncGenerator[bytes, None]

router = APIRouter(prefix="/api", tags=["streams"])

After = Annotated[int | None, Query(ge=0, le=2**62, description="a position: only what came after that event")]
LastEventId = Annotated[str | None, Header(description="the same, as a browser sends it when it comes back")]


@router.get("/executions/{execution_id}/stream", operation_id="streamExecution", summary="One execution, to its end")
async def stream_execution(
    desk: AtDesk, execution_id: Id, after: After = None, last_event_id: LastEventId = None
) -> StreamResponse:
    """First `snapshot`, the status as it is, then a `status` for each event, then `end`.

    With a position there is no snapshot: all that came after that event follows. `resync` says that the position was
    not of this store, and the snapshot comes after all.
    """
    status = await desk.queries.execution(execution_id)
    position = _position(after, last_event_id)
    return await _response(desk, execution_id, None, lambda listener: _one(desk, status, position, listener))


@router.get("/stream", operation_id="streamAll", summary="All executions, for as long as it is wanted")
async def stream_all(
    desk: AtDesk,
    phase: str | None = None,
    code: str | None = None,
    session: str | None = None,
    agent: str | None = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> StreamResponse:
    """First `snapshot`, the position from which it tells, then a `status` for each event.

    With filters, those after which or before which the status is as wanted: so an execution is also seen to leave.
    Open the stream, then ask for the list, then apply what comes.
    """
    chosen = ExecutionFilter.parse(phase=phase, code=code, session=session, agent=agent)
    position = _position(after, last_event_id)

    def wants(frame: Frame) -> bool:
        change = frame.change
        return _is_wanted(change.status, chosen) or (change.before is not None and _is_wanted(change.before, chosen))

    return await _response(desk, None, wants, lambda listener: _all(desk, wants, position, listener))


def _position(after: int | None, last_event_id: str | None) -> int | None:
    if last_event_id is None:
        return after
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18):
        raise InputRejected(f"'{last_event_id[:40]}' is not a position: send the id of the last event that came")
    return int(last_event_id)


async def _response(
    desk: Desk,
    execution_id: str | None,
    wants: Callable[[Frame], bool] | None,
    chunks: Callable[[Listener], Chunks],
) -> StreamResponse:
    desk.feed.check_room()

    async def listen() -> Chunks:
        await desk.feed.start()
        with desk.feed.listening(execution_id, wants) as listener:
            response.sees(listener)
            yield beginning()
            async for chunk in chunks(listener):
                yield chunk

    response = StreamResponse(listen(), desk.feed)
    return response


async def _one(desk: Desk, status: ExecutionStatus, after: int | None, listener: Listener) -> Chunks:
    execution_id = status.execution_id
    if after is not None and after > (head := await asyncio.to_thread(desk.store.head)):
        yield resync(after, head)
        after = None
    if after is None:
        status = await desk.queries.execution(execution_id)  # again, since the listener listens only now
        yield snapshot_of_one(status)
        after = status.position
    # Who has seen all that there was goes on from there. An unreadable event may have been the end.
    is_known = status.position <= after and not status.unreadable_events
    past = OneExecution(desk.store, execution_id, status if is_known else None)
    while True:
        while (frames := await patiently(past.page, after, listener.since)) is not None:
            async for chunk in _messages(desk, frames):
                yield chunk
            after = frames[-1].position if frames else after
        while not (past.has_ended or listener.is_behind or listener.is_over):
            for frame in (fresh := _up_to_the_end(await listener.take(), after)):
                past.take(frame)
            async for chunk in _messages(desk, fresh):
                yield chunk
            after = fresh[-1].position if fresh else after
        if past.has_ended:
            yield end(past.status or status, after)
            return
        if listener.is_over:
            return
        listener.rejoin(desk.feed.position)


async def _all(desk: Desk, wants: Callable[[Frame], bool], after: int | None, listener: Listener) -> Chunks:
    if after is not None and after > (head := await asyncio.to_thread(desk.store.head)):
        yield resync(after, head)
        after = None
    if after is None:
        after = listener.since
        yield snapshot_of_all(after)
    while True:
        past = AllExecutions(desk.store, after, wants)
        while (frames := await patiently(past.page, listener.since)) is not None:
            async for chunk in _messages(desk, frames):
                yield chunk
        after = listener.since
        while not (listener.is_behind or listener.is_over):
            fresh = await listener.take()
            async for chunk in _messages(desk, fresh):
                yield chunk
            after = fresh[-1].position if fresh else after
        if listener.is_over:
            return
        listener.rejoin(desk.feed.position)


async def _messages(desk: Desk, frames: Sequence[Frame]) -> Chunks:
    desk.streams.sent(len(frames))
    for message in joined(frames):
        yield message
        await asyncio.sleep(
            0
        )  # whoever catches up lets the others have their turn, and learns that the client has gone


def _up_to_the_end(frames: Sequence[Frame], after: int) -> Sequence[Frame]:
    fresh = [frame for frame in frames if frame.position > after]
    ends = [number for number, frame in enumerate(fresh, 1) if frame.is_end]
    return fresh[: ends[0]] if ends else fresh


def _is_wanted(status: ExecutionStatus, chosen: ExecutionFilter) -> bool:
    return (
        (chosen.phase is None or status.phase is chosen.phase)
        and (chosen.code is None or (status.failure is not None and status.failure.code == chosen.code))
        and (chosen.session is None or status.session_id == chosen.session)
        and (chosen.agent is None or status.agent == chosen.agent)
    )

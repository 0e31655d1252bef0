"""Routes that ask: executions, their events, failures by cause, runners, codes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, Field

from projector.catalogue import CATALOGUE
from projector.errors import InputRejected
from projector.execution_filter import MOST_ROWS, ExecutionFilter
from projector.execution_status import ExecutionStatus
from projector.moments import moment_of
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner
from projector.replay import history, replay
from projector.views import EventView, StatusView, event_view, status_view
from workflows.service.desk import AtDesk

router = APIRouter(prefix="/api")

Id = Annotated[str, Path(description="the execution's id", max_length=200)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="how many at most")]


class ExecutionList(BaseModel):
    """A page of executions, newest first."""

    items: list[StatusView]
    next: str | None = Field(description="given as `after`, it begins the next page; null on the last one")
    events_behind: int = Field(description="how many events of the store the list does not know yet")


class EventList(BaseModel):
    """A page of an execution's history."""

    items: list[EventView]
    next: int | None = Field(description="given as `after`, it begins the next page; null on the last one")


class CodeView(BaseModel):
    """One failure code."""

    code: str
    category: str
    when: str
    message: str
    remedy: str
    retryable: bool


@router.get("/executions", operation_id="listExecutions", tags=["executions"], summary="List executions, newest first")
async def list_executions(
    desk: AtDesk,
    phase: str | None = None,
    code: str | None = None,
    category: str | None = None,
    session: str | None = None,
    agent: str | None = None,
    cause: Annotated[str | None, Query(description="only failures of this group: its `fingerprint`")] = None,
    since: Annotated[str | None, Query(description="only what ended then or later: a time, or an age as 1h")] = None,
    until: Annotated[str | None, Query(description="only what ended before: a time, or an age")] = None,
    limit: Limit = 50,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> ExecutionList:
    """As fresh as the projector: `events_behind` says how fresh that is."""
    now = datetime.now(UTC)
    chosen = ExecutionFilter.parse(
        phase=phase,
        code=code,
        category=category,
        session=session,
        agent=agent,
        cause=cause,
        finished_since=moment_of(since, now) if since is not None else None,
        finished_until=moment_of(until, now) if until is not None else None,
        limit=limit,
        after=after,
    )
    page, lag = await desk.queries.executions(chosen), await desk.queries.lag()
    return ExecutionList(items=list(map(status_view, page.items)), next=page.next_cursor, events_behind=lag.events)


@router.get(
    "/executions/{execution_id}",
    operation_id="getExecution",
    tags=["executions"],
    summary="One execution, as of now or as it was",
    responses={304: {"description": "It is still at the version of `If-None-Match`"}},
)
async def get_execution(
    desk: AtDesk,
    response: Response,
    execution_id: Id,
    version: Annotated[int | None, Query(ge=1, description="the status after this event")] = None,
    at: Annotated[datetime | None, Query(description="the status at this time")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> StatusView:
    """Never stale: what the query tables do not know yet is folded on top."""
    if version is not None and at is not None:
        raise InputRejected("give a version or a time, not both")
    if version is None and at is None:
        status = await desk.queries.execution(execution_id)
    else:
        status = await asyncio.to_thread(_as_of, desk, execution_id, version, at)
    response.headers["ETag"] = tag = f'"{status.version}"'
    if if_none_match is not None and tag in {each.strip().removeprefix("W/") for each in if_none_match.split(",")}:
        response.status_code = 304
    return status_view(status)


@router.get(
    "/executions/{execution_id}/events",
    operation_id="listEvents",
    tags=["executions"],
    summary="An execution's history, in order",
)
async def list_events(
    desk: AtDesk,
    execution_id: Id,
    after: Annotated[int, Query(ge=0, description="a version: only what came after that event")] = 0,
    limit: Limit = 100,
) -> EventList:
    """Versions begin at 1 and have no gaps."""

    def read() -> list[EventView]:
        found: Iterator[Any] = history(desk.store, execution_id, after=after)
        return [event_view(record) for record in islice(found, limit + 1)]

    events = await asyncio.to_thread(read)
    page = events[:limit]
    return EventList(items=page, next=page[-1].version if len(events) > limit else None)


@router.get("/failures", operation_id="listFailures", tags=["failures"], summary="Failures by cause, the latest first")
async def list_failures(desk: AtDesk, limit: Limit = 50) -> list[FailureGroup]:
    """Failures of one code and one cause are one group."""
    return list(await desk.queries.failure_groups(limit))


@router.get("/runners", operation_id="listRunners", tags=["runners"], summary="Runners and what they last said")
async def list_runners(desk: AtDesk, queue: str | None = None) -> list[Runner]:
    """Of one queue, or of all."""
    return list(await desk.queries.runners(queue))


@router.get("/codes", operation_id="listCodes", tags=["failures"], summary="The failure catalogue")
async def list_codes() -> list[CodeView]:
    """What each code means, and what to do."""
    return [CodeView(**entry._asdict()) for entry in CATALOGUE.values()]


def _as_of(desk: Any, execution_id: str, version: int | None, at: datetime | None) -> ExecutionStatus:
    if version is not None:
        return next(replay(desk.store, execution_id, from_version=version, to_version=version)).status
    assert at is not None
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)
    status: ExecutionStatus | None = None
    for change in replay(desk.store, execution_id):
        if change.record.time > moment:
            break
        status = change.status
    if status is None:
        raise InputRejected(f"execution '{execution_id}' had not been asked for at {moment.isoformat()}")
    return status

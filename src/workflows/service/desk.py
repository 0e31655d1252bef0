"""What the service works with: one store, its query tables, and a client that starts and stops executions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from projector.door.hygiene import Hygiene
from projector.engines.ports import StoreEngine
from projector.opening import open_queries
from projector.queries import Queries
from workflows.client import ExecutionClient
from workflows.service.feed import Feed
from workflows.service.open_files import room_for
from workflows.service.stream_gauges import StreamGauges
from workflows.settings import OrchestratorSettings


@dataclass(frozen=True, slots=True)
class Desk:
    """Belongs to one event loop."""

    settings: OrchestratorSettings
    store: StoreEngine
    queries: Queries
    executions: ExecutionClient
    feed: Feed
    streams: StreamGauges


@asynccontextmanager
async def desk(
    settings: OrchestratorSettings, store: StoreEngine, hygiene: Hygiene, executions: ExecutionClient | None = None
) -> AsyncIterator[Desk]:
    """A desk for the length of the block; its client connects to Temporal when first needed. Raises StoreError."""
    async with open_queries(settings) as queries:
        streams = StreamGauges()
        most = room_for(settings.serve_streams)
        feed = Feed(store, streams, poll_interval=settings.poll_interval, most=most)
        yield Desk(settings, store, queries, executions or ExecutionClient(settings, store, hygiene), feed, streams)


def _desk_of(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


AtDesk = Annotated[Desk, Depends(_desk_of)]
"""A parameter of a route."""

"""`/metrics`: what this service and its store have to say to Prometheus.

The store is asked at most once a second, however many ask here, and the longer it takes the more seldom: no more than
a twentieth of the time is spent on it. Whoever comes meanwhile gets the last reading; a whole answer is made once a
second, too.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Header, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from projector.errors import StoreError
from projector.process_metrics import ProcessMetrics
from workflows.service.desk import Desk
from workflows.service.endings import Endings
from workflows.service.store_metrics import Reading, StoreCollector, StreamCollector

KEPT_FOR: Final = 1.0
"""How long a reading and an answer are good, in seconds."""
SHARE: Final = 20
"""How many times as long as it took it is good at least."""
PATIENCE: Final = 5.0
"""How long the store may take, in seconds; Prometheus itself waits for ten."""

EXAMPLE: Final = """\
# HELP execution_status_store_up 1 if the store could be read for this answer, 0 if not: then what it says is missing.
# TYPE execution_status_store_up gauge
execution_status_store_up 1.0
"""

log = structlog.get_logger("service")
router = APIRouter(tags=["service"])


class ServiceMetrics:
    """The metrics of one service."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        process = ProcessMetrics()
        process.watch_store(desk.store)
        self.registry = process.registry
        self._store = StoreCollector()
        self._endings = Endings(self.registry)
        self.registry.register(self._store)
        self.registry.register(StreamCollector(desk.streams))
        self._asking = asyncio.Lock()
        self._good_until = 0.0
        self._texts: dict[str, tuple[float, bytes]] = {}
        self._trouble = ""
        self.readings = 0
        """How often the store was asked."""

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The answer and its content type, in the format that is asked for."""
        async with self._asking:
            if time.monotonic() >= self._good_until:
                await self._read()
        encode, content_type = choose_encoder(accept)
        made_at, text = self._texts.get(content_type, (-math.inf, b""))
        if time.monotonic() - made_at >= KEPT_FOR:
            text = encode(self.registry)
            self._texts[content_type] = time.monotonic(), text
        return text, content_type

    def forget(self) -> None:
        """Have the store asked anew by whoever comes next."""
        self._good_until = 0.0
        self._texts.clear()

    async def _read(self) -> None:
        began = time.monotonic()
        self.readings += 1
        try:
            async with asyncio.timeout(PATIENCE):
                self._store.reading = await self._reading()
            self._trouble = ""
        except Exception as error:  # whatever it is, the process's own metrics are told
            self._store.reading = None
            reason = f"no answer within {PATIENCE:g} s" if isinstance(error, TimeoutError) else _said(error)
            if reason != self._trouble:
                log.warning("the metrics lack what the store says", reason=reason)
            self._trouble = reason
        self._texts.clear()
        ended = time.monotonic()
        self._good_until = ended + max(KEPT_FOR, SHARE * (ended - began))

    async def _reading(self) -> Reading:
        desk = self._desk
        figures = await desk.queries.figures()
        await self._endings.read(desk.queries, figures)
        oldest = None
        if figures.head > figures.position:
            waiting = await asyncio.to_thread(desk.store.tail, after=figures.position, limit=1)
            oldest = waiting[0].time if waiting else None
        return Reading(datetime.now(UTC), figures, oldest)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
            "description": "The text format of Prometheus, or OpenMetrics",
        }
    },
)
async def metrics(
    request: Request, accept: Annotated[str, Header(description="one of the two formats")] = ""
) -> Response:
    """Answers also while the store cannot be read: `execution_status_store_up` is 0 then."""
    shown: ServiceMetrics = request.app.state.metrics
    text, content_type = await shown.text(accept)
    return Response(text, media_type=content_type)

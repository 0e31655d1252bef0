"""A stream's answer: signs of life while nothing happens, and an end for a client that takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from workflows.service.feed import Feed, Listener

PING_EVERY: Final = 15
"""Seconds after which a comment is sent, by which a proxy or a client sees that the stream lives."""
STALLED_AFTER: Final = 5.0
"""A client that takes nothing for so many seconds is cut off; it comes back with its last position."""
ABORT: Final = "execution_status.abort"
"""The extension by which a connection can be ended at once: to close it waits for what the client does not take."""


def _nothing() -> None:
    """What a server without that extension can do."""


log = structlog.get_logger("streams")


class StreamResponse(EventSourceResponse):
    """Server-sent events that are bytes already."""

    def __init__(self, chunks: AsyncIterator[bytes], feed: Feed) -> None:
        super().__init__(chunks, ping=PING_EVERY, send_timeout=STALLED_AFTER, ping_message_factory=self._sign_of_life)
        self._feed = feed
        self._listener: Listener | None = None

    def sees(self, listener: Listener) -> None:
        """Know who listens: the signs of life say where the client has come to."""
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the events end, the client goes or stalls, or the service stops."""
        abort: Callable[[], None] = (scope.get("extensions") or {}).get(ABORT, _nothing)
        self._feed.connections.add(abort)
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            self._feed.gauges.dropped("stalled")
            log.info("a client takes nothing and is cut off", seconds=STALLED_AFTER)
            abort()
            await asyncio.sleep(0)  # the server learns of it before it asks why the answer has no end
        finally:
            self._feed.connections.discard(abort)

    def _sign_of_life(self) -> ServerSentEvent:
        """A comment, and with it the position: no event for the client, but it comes back from there."""
        is_up_to_date = self._listener is not None and self._listener.is_waiting
        return ServerSentEvent(comment="alive", id=str(self._feed.position) if is_up_to_date else None)

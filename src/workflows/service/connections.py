"""A connection of the service: a request has a bounded time to arrive, and a bounded head.

uvicorn waits for ever for the rest of a request, and reads a head of any length. So whoever sent half of one could keep
a connection open and a service from stopping. Here a clock runs from the first byte of a request to its last.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from workflows.service.problem_kinds import HEAD_TOO_LARGE, TOO_SLOW, UNREADABLE, Kind
from workflows.service.problems import problem

LARGEST_HEAD: Final = 64 * 1024
"""How many bytes the address and the headers of a request may have together."""

ABORT: Final = "execution_status.abort"
"""The extension by which a connection can be ended at once: to close it waits for what the client does not take."""
LINGERS: Final = 1.0
"""Seconds in which what still comes from a client that was refused is thrown away; then the connection is closed."""


class Config(uvicorn.Config):
    """uvicorn's settings, and how long a request may take to arrive, in seconds."""

    def __init__(self, app: Any, *, request_within: float, **others: Any) -> None:
        super().__init__(app, http=Connection, ws="none", lifespan="off", **others)
        self.request_within = request_within


class Connection(HttpToolsProtocol):
    """uvicorn's own, with a clock and a measure."""

    _clock: asyncio.TimerHandle | None = None
    _head: int | None = 0
    """Bytes of a head that has not ended, as far as they are known; None behind it."""
    _is_refused = False
    _refusal: tuple[Kind, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Whoever connects has something to ask."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more can arrive."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless it is too much."""
        if self._is_refused:
            return
        if self._clock is None and self._head == 0:
            self._start_clock()
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > LARGEST_HEAD and not self._is_refused:
            self._refuse(HEAD_TOO_LARGE, _TOO_LONG)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head = None
        # Measured as it was understood: what came with it in one piece may be a body, or the next request.
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > LARGEST_HEAD:
            self._refusal = (HEAD_TOO_LARGE, _TOO_LONG)
            raise ValueError(_TOO_LONG)
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        """The next one, if there was one before."""
        if self._clock is None:
            self._start_clock()
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._stop_clock()
        self._head = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser did not understand is refused as everything else is."""
        self._refuse(*(self._refusal or (UNREADABLE, UNREADABLE.means)))

    def shutdown(self) -> None:
        """The service stops: what has not arrived by now is not waited for."""
        if self._clock is not None:
            self.transport.close()
        else:
            super().shutdown()

    def _start_clock(self) -> None:
        config = self.config
        assert isinstance(config, Config)
        self._clock = self.loop.call_later(config.request_within, self._too_slow, config.request_within)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self, within: float) -> None:
        self._clock = None
        if self.cycle is None and self._head == 0:  # a browser that connects in advance, and is told nothing
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(TOO_SLOW, f"a request must have arrived within {within:g} s")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Say it where no answer has begun, and end the connection."""
        self._stop_clock()
        self._is_refused = True
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()
            return
        answer = problem(kind, detail, headers={"Connection": "close"})
        head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (kind.status, kind.phrase, head, answer.body))
        if cycle is not None and not cycle.response_complete:  # a route waits for the rest of the body
            cycle.disconnected = True
            cycle.message_event.set()
        # Closed while more is on its way, it would be reset, and the answer lost.
        self.transport.write_eof()
        self._clock = self.loop.call_later(LINGERS, self.transport.close)


_TOO_LONG: Final = f"the address and the headers of a request may have {LARGEST_HEAD:,} bytes"

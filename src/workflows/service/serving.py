"""The service as a server on a socket of its own, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from projector.errors import InputRejected
from workflows.service.app import application
from workflows.service.desk import Desk
from workflows.service.safety import Rules
from workflows.service.stream_response import ABORT
from workflows.service.tickets import Tickets

HOST: Final = "127.0.0.1"
PORT: Final = 8237
GRACE: Final = 2
"""How long requests may go on when the service stops, in seconds."""
STREAM_GRACE: Final = 0.5
"""How long clients of streams may take to learn of that, in seconds."""
SEND_BUFFER: Final = 128 * 1024
"""How much of what was sent the kernel keeps until a client has taken it, in bytes; Linux doubles it."""


@asynccontextmanager
async def serving(
    desk: Desk, host: str = HOST, port: int = PORT, rules: Rules | None = None, tickets: Tickets | None = None
) -> AsyncIterator[str]:
    """Serve for the length of the block; gives the address. Port 0 takes any that is free.

    Raises InputRejected for an address that cannot be had, or that others than this machine could reach while `rules`
    ask for no token.
    """
    rules = rules or Rules()
    with listening(host, port, is_safe=rules.ask_for_tokens) as bound:
        config = uvicorn.Config(
            application(desk, rules, tickets),
            http=_Connection,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE,
        )
        server = _Server(config)
        running = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            while not server.started and not running.done():
                await asyncio.sleep(0.005)
            if running.done():
                await running
            yield f"http://{host}:{bound.getsockname()[1]}"
        finally:
            await desk.feed.close(STREAM_GRACE)
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await running


class _Connection(HttpToolsProtocol):
    """Gives the application the means to end it without waiting for a client that takes nothing."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    """Leaves the process's signals to the program that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield


def listening(host: str, port: int, *, is_safe: bool) -> socket.socket:
    """A socket that listens; `is_safe` says that others than this machine may reach it. Raises InputRejected."""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not (is_loopback or is_safe):
        raise InputRejected(
            f"{host} can be reached from other machines: set a token, or choose a loopback address, such as {HOST}"
        )
    try:
        bound = socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        raise InputRejected(
            f"the service cannot listen at {host}:{port}: {os.strerror(error.errno or 0)}; choose another --port"
        ) from error
    # What is accepted inherits both. Without the first an answer's second packet waits for the client's delayed
    # acknowledgement of the first, 40 ms; asyncio sets it only on sockets that it has made itself. Without the second
    # the kernel would keep megabytes for a client that takes nothing.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return bound

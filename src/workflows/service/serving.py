"""The service as a server on a socket of its own, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import uvicorn

from projector.errors import InputRejected
from workflows.service.app import application
from workflows.service.connections import Config
from workflows.service.desk import Desk
from workflows.service.safety import Rules
from workflows.service.tickets import Tickets

HOST: Final = "127.0.0.1"
PORT: Final = 8237
EVERYWHERE: Final = frozenset(("0.0.0.0", "::"))  # noqa: S104 - only with a token
"""All addresses of a machine."""
REQUEST_WITHIN: Final = 30.0
"""How long a request may take to arrive, in seconds."""
GRACE: Final = 2
"""How long requests may go on when the service stops, in seconds."""
STREAM_GRACE: Final = 0.5
"""How long clients of streams may take to learn of that, in seconds."""
SEND_BUFFER: Final = 128 * 1024
"""How much of what was sent the kernel keeps until a client has taken it, in bytes; Linux doubles it."""


@asynccontextmanager
async def serving(
    desk: Desk,
    host: str = HOST,
    port: int = PORT,
    rules: Rules | None = None,
    tickets: Tickets | None = None,
    *,
    request_within: float = REQUEST_WITHIN,
) -> AsyncIterator[str]:
    """Serve for the length of the block; gives the address. Port 0 takes any that is free.

    A request has `request_within` seconds to arrive whole.

    Raises InputRejected for an address that cannot be had, or that others than this machine could reach while `rules`
    ask for no token.
    """
    rules = rules or Rules()
    with listening(host, port, is_safe=rules.ask_for_tokens) as bound:
        config = Config(
            application(desk, rules, tickets),
            request_within=request_within,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE,
        )
        server = _Server(config)
        running = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            while not server.started and not running.done():
                await asyncio.sleep(0.005)
            if running.done():
                await running
            yield f"http://{_authority(host, bound.getsockname()[1])}"
        finally:
            await desk.feed.close(STREAM_GRACE)
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await running


def settle() -> None:
    """Have Python look for garbage among what is new only, in a process that does nothing but serve.

    A thousand streams are some 300,000 objects that live as long as their clients. To look through all of them, as
    Python does now and then, holds every stream up for a fifth of a second, and finds nothing.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)


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
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family, reuse_port=False)
    except OSError as error:
        said = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise InputRejected(
            f"the service cannot listen at {_authority(host, port)}: {said}; choose another --host or --port"
        ) from error
    # What is accepted inherits both. Without the first an answer's second packet waits for the client's delayed
    # acknowledgement of the first, 40 ms; asyncio sets it only on sockets that it has made itself. Without the second
    # the kernel would keep megabytes for a client that takes nothing.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return bound


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

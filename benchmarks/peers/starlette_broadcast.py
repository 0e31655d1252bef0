"""A broadcast as one would write it: a queue a client, and whatever is told to the process is put into each.

Bare Starlette sends the bytes as they are; with sse-starlette its response makes the events. Each line on standard
input is one message.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


def bare() -> None:
    """Serve with Starlette's own streaming response until standard input ends."""
    asyncio.run(_serve(is_bare=True))


def with_sse() -> None:
    """The same with sse-starlette's."""
    asyncio.run(_serve(is_bare=False))


async def _serve(*, is_bare: bool) -> None:
    queues: set[asyncio.Queue[str]] = set()

    async def messages() -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        queues.add(queue)
        try:
            yield '{"hello": true}'
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)

    async def as_bytes() -> AsyncIterator[bytes]:
        async for message in messages():
            yield b"event: status\r\ndata: " + message.encode() + b"\r\n\r\n"

    async def as_events() -> AsyncIterator[ServerSentEvent]:
        async for message in messages():
            yield ServerSentEvent(message, event="status")

    async def stream(_: Request) -> Response:
        if is_bare:
            return StreamingResponse(as_bytes(), media_type="text/event-stream")
        return EventSourceResponse(as_events())

    def publish(message: str) -> None:
        for queue in queues:
            queue.put_nowait(message)

    loop = asyncio.get_running_loop()
    config = uvicorn.Config(Starlette(routes=[Route("/stream", stream)]), port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(publish, line.rstrip("\n"))
        server.should_exit = True

    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    threading.Thread(target=listen, daemon=True).start()
    await serving

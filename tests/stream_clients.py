"""Clients of the service's streams over bare sockets: they read, go and come back, or take nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Reader:
    """One client that reads a stream, and comes back with the last position whenever its connection ends.

    `seen` are the positions of its events, `at` the moment at which each came.
    """

    address: str
    path: str
    after: int
    seen: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    connections: int = 0
    _writer: asyncio.StreamWriter | None = None

    @property
    def cursor(self) -> int:
        """Where it has come to."""
        return self.seen[-1] if self.seen else self.after

    def hang_up(self) -> None:
        """Break the connection, in whatever it is."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def read_up_to(self, last: int) -> None:
        """Read until the event at a position has come."""
        while self.cursor < last:
            try:
                await self._read_some(last)
            except OSError:
                await asyncio.sleep(0.02)

    async def _read_some(self, last: int) -> None:
        where = urlsplit(self.address)
        reader, self._writer = await asyncio.open_connection(where.hostname, where.port, limit=2**22)
        self.connections += 1
        self._writer.write(_request(self.address, f"{self.path}?after={self.cursor}"))
        position = 0
        try:
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    position = int(line[4:])
                elif line.startswith(b"data: ") and line.endswith(b"\n"):
                    self.seen.append(position)
                    self.at.append(time.monotonic())
                    if position >= last:
                        return
        finally:
            self._writer.close()


@asynccontextmanager
async def stalled(address: str, path: str, count: int) -> AsyncIterator[None]:
    """So many clients that ask for a stream and take nothing of it."""
    where, sockets = urlsplit(address), []
    try:
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((where.hostname, where.port))
            client.sendall(_request(address, path))
            sockets.append(client)
        yield
    finally:
        for client in sockets:
            client.close()


def _request(address: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\nAccept: text/event-stream\r\n\r\n".encode()

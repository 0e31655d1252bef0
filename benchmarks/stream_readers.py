"""Many readers of one stream of server-sent events, in a process of their own: they count, and note when each came."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from urllib.parse import urlsplit

_MARK = b"\ndata: {"


class Reader(asyncio.Protocol):
    """One connection. `at` is when each of its events came."""

    def __init__(self, request: bytes, readers: Readers) -> None:
        self._request = request
        self._readers = readers
        self._rest = b""
        self.at: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count the events in it."""
        found = (self._rest + data).count(_MARK)
        self._rest = data[-len(_MARK) + 1 :]
        if found:
            self.at += [time.monotonic()] * found
            self._readers.count(found)


class Readers:
    """All of them."""

    def __init__(self) -> None:
        self.all: list[Reader] = []
        self._count = 0
        self._wanted = 0
        self._done = asyncio.Event()

    def count(self, found: int) -> None:
        """Some have got so many events."""
        self._count += found
        if self._count >= self._wanted:
            self._done.set()

    async def until(self, each: int) -> None:
        """Wait until every one has had so many events in all."""
        self._wanted = each * len(self.all)
        self._done.clear()
        if self._count < self._wanted:
            await self._done.wait()


def read(address: str, path: str, clients: int, burst: int, paced: int) -> dict[str, object]:
    """Open so many connections, and read. The first event of a stream only says that it is open."""
    return asyncio.run(_read(address, path, clients, burst, paced))


async def _read(address: str, path: str, clients: int, burst: int, paced: int) -> dict[str, object]:
    where = urlsplit(address)
    request = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()
    readers, loop = Readers(), asyncio.get_running_loop()
    for _ in range(clients):
        reader = Reader(request, readers)
        readers.all.append(reader)
        await loop.create_connection(partial(_itself, reader), where.hostname or "", where.port or 0)
    await readers.until(1)
    _say("ready")
    await readers.until(1 + burst)
    done = max(reader.at[-1] for reader in readers.all)
    _say("done")
    await readers.until(1 + burst + paced)
    return {"done": done, "paced": [reader.at[1 + burst :] for reader in readers.all]}


def _itself(reader: Reader) -> Reader:
    return reader


def _say(words: str) -> None:
    print(words, flush=True)

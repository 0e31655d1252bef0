"""Those who send half a request and wait, or one without end: cut off, told why, and never in the way of a stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

import httpx2
import pytest

from tests.temporal.harness import Harness
from tests.temporal.http_service import asking
from workflows.service.connections import LARGEST_HEAD
from workflows.service.safety import LARGEST_BODY

WITHIN: Final = 0.5
"""How long a request may take here, in seconds."""
HEAD: Final = b"POST /api/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PATIENCE: Final = 20
"""More than enough for what should end within WITHIN, also on a busy machine."""


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship, serve_request_timeout=WITHIN) as client:
        yield client


async def answer_to(service: httpx2.AsyncClient, *parts: bytes) -> bytes:
    """All that comes back until the service ends the connection; nothing more is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.base_url.port)
    try:
        async with asyncio.timeout(PATIENCE):
            try:
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                return await reader.read()
            except ConnectionError:  # it was closed while more was sent
                return b""
    finally:
        writer.close()


def assert_refused(answer: bytes, status: int, kind: str) -> None:
    """It is one problem, whole, and the connection ends with it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"content-type: application/problem+json" in head and b"connection: close" in head.lower()
    assert json.loads(body)["type"] == f"/problems/{kind}"


HALVES: Final = {
    "a line": b"GET /heal",
    "a head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
    "a header": HEAD + b"X-Long: abc",
    "a body": HEAD + b"Content-Length: 500\r\n\r\n{",
    "a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    "no last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
}
every_half = pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())


@every_half
async def test_half_a_request_is_not_waited_for(service: httpx2.AsyncClient, half: bytes) -> None:
    assert_refused(await answer_to(service, half), 408, "too-slow")
    assert (await service.get("/healthz")).status_code == 200


async def test_letters_one_by_one_do_not_stop_the_clock(service: httpx2.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.base_url.port)
    answer = asyncio.ensure_future(reader.read())
    async with asyncio.timeout(PATIENCE):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait((answer,), timeout=WITHIN / 20)
    assert_refused(await answer, 408, "too-slow")
    writer.close()


async def test_who_only_connects_is_let_go_without_a_word(service: httpx2.AsyncClient) -> None:
    assert await answer_to(service) == b""


async def test_the_second_request_of_a_connection_is_timed_too(service: httpx2.AsyncClient) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await answer_to(service, whole + b"GET /heal")
    first, second = answer.split(b'{"status":"ok"}')
    assert first.startswith(b"HTTP/1.1 200 ")
    assert_refused(second, 408, "too-slow")


async def test_a_stream_goes_on_for_longer(ship: Harness, service: httpx2.AsyncClient) -> None:
    """The clock is for what arrives, not for what is sent."""
    execution_id = await ship.start("is_silent", str(3 * WITHIN))
    answer = await service.get(f"/api/executions/{execution_id}/stream")
    assert "event: end" in answer.text and "COMPLETED" in answer.text


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * (2 * LARGEST_HEAD) + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: x\r\n" * (LARGEST_HEAD // 8) + b"\r\n",
        b"GET /healthz?" + b"x" * (2 * LARGEST_HEAD) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Endless: " + b"x" * (2 * LARGEST_HEAD),
    ],
    ids=["a header", "many headers", "an address", "a header without end"],
)
async def test_a_giant_head_is_refused(service: httpx2.AsyncClient, head: bytes) -> None:
    assert_refused(await answer_to(service, head), 431, "head-too-large")


async def test_a_head_without_end_is_not_kept(service: httpx2.AsyncClient) -> None:
    """Whoever goes on sending is cut off, whether or not he reads why."""
    parts = [b"GET /healthz HTTP/1.1\r\nX-Endless: ", *[b"x" * 65_536] * 400]
    assert len(await answer_to(service, *parts)) < 2000


async def test_a_large_body_is_no_head(service: httpx2.AsyncClient) -> None:
    answer = await service.post("/api/executions", content=b" " * (LARGEST_BODY // 2))
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "noise",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELO there\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 99],
)
async def test_what_is_no_http_is_refused_in_words(service: httpx2.AsyncClient, noise: bytes) -> None:
    assert_refused(await answer_to(service, noise), 400, "unreadable-request")

"""The command that serves: it says where, ends when it is told, and refuses in one line what it cannot do."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.temporal.harness import Harness
from tests.temporal.processes import command, program
from tests.temporal.retrying import refused

SOON: Final = 3.0
"""Seconds in which it must have ended."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_and_ends_at_once_also_with_streams_and_half_requests_open(
    ship: Harness, number: signal.Signals
) -> None:
    execution_id = await ship.start("is_silent", "30")
    async with program(
        "serve", "--port", "0", folder=ship.folder, name=f"serve-{number.name}", extra=ship.surroundings
    ) as service:
        await service.says("serves http://")
        address = next(word for word in service.said().split() if word.startswith("http://"))
        port = int(address.rpartition(":")[2])
        async with (
            httpx2.AsyncClient(base_url=address, timeout=20) as client,
            client.stream("GET", "/api/stream") as every,
            client.stream("GET", f"/api/executions/{execution_id}/stream") as one,
        ):
            assert (await client.get("/healthz")).json() == {"status": "ok"}
            assert every.status_code == one.status_code == 200
            halves = [
                await asyncio.open_connection("127.0.0.1", port),
                await asyncio.open_connection("127.0.0.1", port),
            ]
            halves[0][1].write(b"GET /heal")
            halves[1][1].write(b"POST /api/executions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
            await asyncio.gather(*(writer.drain() for _, writer in halves))
            began = time.monotonic()
            service.process.send_signal(number)
            code = await service.exits()
            took = time.monotonic() - began
            for _, writer in halves:
                writer.close()
        assert code == 0
        assert took < SOON, took
    await ship.executions.cancel(execution_id)
    await ship.end(execution_id)


async def test_a_port_that_is_taken_is_refused_in_one_line(ship: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(
            await command("serve", "--port", port, extra=ship.surroundings), 2, port, "choose another --host or --port"
        )


async def test_an_address_that_others_reach_needs_a_token(ship: Harness) -> None:
    ended = await command("serve", "--host", "0.0.0.0", "--port", "0", extra=ship.surroundings)
    refused(ended, 2, "0.0.0.0 can be reached from other machines", "set a token")


async def test_a_store_that_is_not_there_is_refused_in_one_line(ship: Harness, tmp_path: Path) -> None:
    extra = ship.surroundings | {"EXECUTION_STATUS_STORE": str(tmp_path / "absent.db")}
    refused(await command("serve", "--port", "0", extra=extra), 4, "absent.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["fastapi", "uvicorn", "httptools", "sse_starlette"])
async def test_a_missing_extra_is_named(ship: Harness, tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')\n"
    )
    extra = ship.surroundings | {"PYTHONPATH": str(tmp_path)}
    ended = await command("serve", "--port", "0", extra=extra)
    refused(ended, 2, "pip install 'execution-status[server]'", module)

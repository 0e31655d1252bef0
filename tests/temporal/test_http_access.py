"""What a page needs before it can show anything: whether a token is needed, and tickets for its streams."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.temporal.harness import Harness
from tests.temporal.http_service import OPERATOR, READER, asking, assert_problem, bearer
from workflows.service.safety import Rules
from workflows.service.tickets import VALID_FOR, Tickets


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship) as client:
        yield client


@pytest.fixture(scope="module")
async def guarded(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship, Rules(operator=OPERATOR, reader=READER)) as client:
        yield client


async def status_of_stream(service: httpx2.AsyncClient, address: str, **params: str) -> int:
    """How a stream begins; a minute of it is nothing to wait for."""
    async with service.stream("GET", address, params=params) as answer:
        return answer.status_code


async def test_everybody_is_told_whether_a_token_is_needed(
    service: httpx2.AsyncClient, guarded: httpx2.AsyncClient
) -> None:
    assert (await service.get("/api/access")).json() == {"needs_token": False, "role": "operator"}
    for headers, role in (
        ({}, None),
        (bearer("wrong"), None),
        (bearer(READER), "reader"),
        (bearer(OPERATOR), "operator"),
    ):
        assert (await guarded.get("/api/access", headers=headers)).json() == {"needs_token": True, "role": role}


@pytest.mark.parametrize("token", [OPERATOR, READER])
async def test_a_ticket_opens_streams_and_nothing_else(ship: Harness, guarded: httpx2.AsyncClient, token: str) -> None:
    execution_id = (await ship.run("surveyor")).execution_id
    answer = await guarded.post("/api/tickets", headers=bearer(token))
    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    ends = datetime.fromisoformat(answer.json()["expires_at"])
    assert timedelta(0) < ends - datetime.now(UTC) <= timedelta(seconds=VALID_FOR)

    assert await status_of_stream(guarded, "/api/stream", ticket=ticket) == 200
    assert await status_of_stream(guarded, f"/api/executions/{execution_id}/stream", ticket=ticket) == 200
    for path in ("/api/executions", f"/api/executions/{execution_id}", "/openapi.json", "/readyz", "/api/stream/x"):
        assert_problem(await guarded.get(path, params={"ticket": ticket}), 401, "unauthorized")
        assert_problem(await guarded.get(path, headers=bearer(ticket)), 401, "unauthorized")
    for path in ("/api/executions", f"/api/executions/{execution_id}/cancel", "/api/tickets"):
        assert_problem(await guarded.post(path, params={"ticket": ticket}), 401, "unauthorized")


async def test_a_stream_needs_a_ticket_or_a_token(guarded: httpx2.AsyncClient) -> None:
    ticket = (await guarded.post("/api/tickets", headers=bearer(READER))).json()["ticket"]
    for query in ("", "ticket=", f"ticket={ticket[:-1]}", f"ticket={ticket}&ticket={ticket}", "ticket=%00" * 60):
        assert_problem(await guarded.get(f"/api/stream?{query}"), 401, "unauthorized")
    for name in ("token", "access_token", "ticket", "authorization"):
        assert_problem(await guarded.get("/api/stream", params={name: OPERATOR}), 401, "unauthorized")
    assert_problem(await guarded.post("/api/tickets"), 401, "unauthorized")


async def test_a_ticket_that_has_ended_says_what_to_do_and_an_open_stream_goes_on(ship: Harness) -> None:
    late = 0.0
    tickets = Tickets(lambda: time.time() + late)
    async with asking(ship, Rules(reader=READER), tickets) as guarded:
        ticket = (await guarded.post("/api/tickets", headers=bearer(READER))).json()["ticket"]
        address = f"/api/stream?after={ship.store.head()}&ticket={ticket}"
        async with guarded.stream("GET", address) as stream:
            assert stream.status_code == 200
            late = VALID_FOR
            assert_problem(await guarded.get(address), 401, "unauthorized", f"older than {VALID_FOR} s", "/api/tickets")
            execution_id = await ship.start("surveyor")
            async for line in stream.aiter_lines():
                if execution_id in line:
                    break
            else:
                pytest.fail("the stream ended with the ticket")


async def test_without_tokens_there_are_tickets_too(service: httpx2.AsyncClient) -> None:
    ticket = (await service.post("/api/tickets")).json()["ticket"]
    assert await status_of_stream(service, "/api/stream", ticket=ticket) == 200
    assert await status_of_stream(service, "/api/stream", ticket="any") == 200
    assert_problem(
        await service.post("/api/tickets", headers={"Origin": "https://evil.example"}), 403, "foreign-origin"
    )


async def test_neither_tokens_nor_tickets_are_logged(
    guarded: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ticket = (await guarded.post("/api/tickets", headers=bearer(OPERATOR))).json()["ticket"]
    caplog.clear()  # of what this client says
    await status_of_stream(guarded, "/api/stream", ticket=ticket)
    await guarded.get("/api/executions?phase=LOST", headers=bearer(OPERATOR))
    said = capfd.readouterr()
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
    for text in (said.out, said.err, ours):
        assert ticket not in text and OPERATOR not in text

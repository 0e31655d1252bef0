"""The HTTP API's requests: start, cancel, retry, over a real socket and with real agents."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from projector.execution_status import Phase
from tests.temporal.harness import Harness, agent
from tests.temporal.http_service import asking, assert_problem


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship) as client:
        yield client


async def test_an_execution_is_started_and_comes_to_its_end(ship: Harness, service: httpx2.AsyncClient) -> None:
    answer = await service.post("/api/executions", json={"agent": agent("surveyor"), "execution_id": "by-http-1"})
    status = await ship.end("by-http-1")

    assert (answer.status_code, answer.json()) == (201, {"execution_id": "by-http-1", "redacted": []})
    assert status.phase is Phase.COMPLETED
    again = await service.post("/api/executions", json={"agent": agent("surveyor"), "execution_id": "by-http-1"})
    assert_problem(again, 409, "conflict", "by-http-1")


async def test_one_is_cancelled_and_then_cannot_be(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = await ship.start("is_silent", "60")
    await ship.until(execution_id, lambda change: change.status.phase is Phase.IN_PROGRESS)
    answer = await service.post(f"/api/executions/{execution_id}/cancel", json={"reason": "the tide has turned"})
    status = await ship.end(execution_id)

    assert answer.status_code == 202
    assert (status.phase, status.cancellation_reason) == (Phase.CANCELLED, "the tide has turned")
    assert_problem(await service.post(f"/api/executions/{execution_id}/cancel"), 409, "conflict", "already ended")


async def test_one_is_run_again_once_unless_somebody_says_so(ship: Harness, service: httpx2.AsyncClient) -> None:
    failed = await ship.run("blunderer")
    address = f"/api/executions/{failed.execution_id}/retry"
    first = (await service.post(address)).json()["execution_id"]
    refused = await service.post(address)
    second = (await service.post(address, json={"again": True})).json()["execution_id"]

    assert_problem(refused, 409, "conflict", first)
    assert first != second
    assert {(await ship.end(each)).retry_of for each in (first, second)} == {failed.execution_id}


MALFORMED = [
    ({}, 422, "malformed-request", "body.agent"),
    ({"agent": 7}, 422, "malformed-request", "body.agent"),
    ({"agent": "x:y", "colour": "red"}, 422, "malformed-request", "body.colour"),
    ({"agent": "no agent"}, 400, "input-rejected", "no agent"),
    ({"agent": "x:y", "execution_id": "two words"}, 400, "input-rejected", "two words"),
    ({"agent": "x:y", "input": "x" * 2_000_000}, 400, "input-rejected", "input"),
]


@pytest.mark.parametrize(("body", "status", "kind", "says"), MALFORMED)
async def test_what_makes_no_sense_is_refused_and_nothing_is_stored(
    ship: Harness, service: httpx2.AsyncClient, body: dict[str, object], status: int, kind: str, says: str
) -> None:
    before = ship.store.head()
    assert_problem(await service.post("/api/executions", json=body), status, kind, says)
    assert ship.store.head() == before


async def test_what_is_no_json_is_refused(service: httpx2.AsyncClient) -> None:
    answer = await service.post("/api/executions", content=b"{", headers={"content-type": "application/json"})
    assert_problem(answer, 422, "malformed-request", "JSON")


async def test_who_is_not_there_can_neither_be_cancelled_nor_retried(service: httpx2.AsyncClient) -> None:
    for action in ("cancel", "retry"):
        assert_problem(await service.post(f"/api/executions/absent-1/{action}"), 404, "execution-not-found", "absent-1")

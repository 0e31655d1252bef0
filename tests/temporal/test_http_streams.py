"""The HTTP API's streams, over a real socket: all events once, in order, up to the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest

from projector.execution_status import Phase
from tests.temporal.harness import Harness
from tests.temporal.http_service import asking, assert_problem


class Sent(NamedTuple):
    """One event of a stream."""

    event: str
    id: int
    data: dict[str, Any]


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship) as client:
        yield client


async def sent(
    service: httpx2.AsyncClient, address: str, *, last: int | None = None, **params: str | int
) -> AsyncIterator[Sent]:
    """The events of a stream, as a browser's EventSource would see them."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with service.stream("GET", address, params=params, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield Sent(fields.get("event", ""), int(fields.get("id", 0)), json.loads(fields["data"]))
                fields = {}


async def test_one_execution_is_streamed_to_its_end(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = await ship.start("surveyor")
    events = [each async for each in sent(service, f"/api/executions/{execution_id}/stream")]
    history = await ship.history(execution_id)

    assert [each.event for each in events] == ["status"] * len(history) + ["end"]
    assert [each.id for each in events[:-1]] == [record.position for record in history]
    assert events[-2].data["status"]["phase"] == events[-1].data["phase"] == "COMPLETED"


async def test_who_comes_back_gets_each_later_event_once(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = (await ship.run("surveyor")).execution_id
    address = f"/api/executions/{execution_id}/stream"
    whole = [each async for each in sent(service, address)]
    for seen in (1, 4, len(whole) - 1):
        position = whole[seen - 1].id
        assert [each async for each in sent(service, address, last=position)] == whole[seen:]
        assert [each async for each in sent(service, address, after=position)] == whole[seen:]


async def test_a_position_of_another_store_begins_anew_and_says_so(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = (await ship.run("surveyor")).execution_id
    address = f"/api/executions/{execution_id}/stream"
    whole = [each async for each in sent(service, address)]
    first, *rest = [each async for each in sent(service, address, last=10**12)]

    assert first.event == "resync" and "beyond the end of this store" in first.data["detail"]
    assert rest == whole


async def test_all_executions_are_streamed_and_filtered(ship: Harness, service: httpx2.AsyncClient) -> None:
    before = ship.store.head()
    failed, completed = await ship.run("blunderer"), await ship.run("surveyor")

    async def first(phase: str) -> Sent:
        async for each in sent(service, "/api/stream", after=before, phase=phase):
            return each
        raise AssertionError("it ended")

    async with asyncio.timeout(20):
        assert (await first("FAILED")).data["execution_id"] == failed.execution_id
        assert (await first("COMPLETED")).data["execution_id"] == completed.execution_id
    assert failed.phase is Phase.FAILED


async def test_what_cannot_be_streamed_is_a_problem(service: httpx2.AsyncClient) -> None:
    assert_problem(await service.get("/api/executions/absent-1/stream"), 404, "execution-not-found", "absent-1")
    assert_problem(await service.get("/api/stream", params={"phase": "LOST"}), 400, "input-rejected", "LOST")
    assert_problem(await service.get("/api/stream", params={"after": -1}), 422, "malformed-request", "query.after")
    wrong = await service.get("/api/stream", headers={"Last-Event-ID": "yesterday"})
    assert_problem(wrong, 400, "input-rejected", "'yesterday' is not a position")

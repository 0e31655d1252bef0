"""The HTTP API's streams, over a real socket: a snapshot, then all events once, in order, up to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest

from projector.envelope import execution_stream
from projector.events import MessageAppended
from projector.execution_status import Phase
from tests.histories import COMPLETED, REQUESTED, new, news
from tests.temporal.harness import Harness
from tests.temporal.http_service import asking, assert_problem
from workflows.service import feed


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
        async for each in httpx2.EventSource(answer):
            if each.data:
                yield Sent(each.event, int(each.id or 0), each.json())  # type: ignore[arg-type]


async def everything(service: httpx2.AsyncClient, execution_id: str, **options: Any) -> list[Sent]:
    """One execution's stream."""
    async with asyncio.timeout(20):
        return [each async for each in sent(service, f"/api/executions/{execution_id}/stream", **options)]


async def test_one_execution_is_streamed_to_its_end(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = await ship.start("surveyor")
    events = await everything(service, execution_id)
    history = await ship.history(execution_id)
    first = events[0].data

    assert [each.event for each in events] == ["snapshot"] + ["status"] * (len(history) - first["version"]) + ["end"]
    assert [each.id for each in events[:-1]] == [record.position for record in history[first["version"] - 1 :]]
    assert events[-2].data["status"]["phase"] == events[-1].data["phase"] == "COMPLETED"
    assert events[-1].id == history[-1].position


async def test_from_a_position_on_each_event_is_told_with_the_status_after_it(
    ship: Harness, service: httpx2.AsyncClient
) -> None:
    status = await ship.run("surveyor")
    events = await everything(service, status.execution_id, after=0)
    history = await ship.history(status.execution_id)

    assert [each.event for each in events] == ["status"] * len(history) + ["end"]
    assert [(each.id, each.data["type"], each.data["version"]) for each in events[:-1]] == [
        (record.position, record.type, record.version) for record in history
    ]
    assert events[-2].data["status"]["version"] == status.version


async def test_a_snapshot_of_what_has_ended_is_followed_by_the_end(ship: Harness, service: httpx2.AsyncClient) -> None:
    status = await ship.run("blunderer")
    snapshot, end = await everything(service, status.execution_id)

    assert (snapshot.event, snapshot.id, snapshot.data["type"]) == ("snapshot", status.position, "ExecutionFailed")
    assert snapshot.data["status"]["code"] == "E401"
    assert end == Sent("end", status.position, {"execution_id": status.execution_id, "phase": "FAILED"})


async def test_who_comes_back_gets_each_later_event_once(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = (await ship.run("surveyor")).execution_id
    whole = await everything(service, execution_id, after=0)
    for seen in (1, 4, len(whole) - 1):
        position = whole[seen - 1].id
        assert await everything(service, execution_id, last=position) == whole[seen:]
        assert await everything(service, execution_id, after=position) == whole[seen:]


async def test_a_position_of_another_store_begins_anew_and_says_so(ship: Harness, service: httpx2.AsyncClient) -> None:
    execution_id = (await ship.run("surveyor")).execution_id
    first, *rest = await everything(service, execution_id, last=10**12)

    assert first.event == "resync" and "beyond the end of this store" in first.data["detail"]
    assert rest == await everything(service, execution_id)


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


async def test_a_filtered_stream_also_tells_how_an_execution_leaves(ship: Harness, service: httpx2.AsyncClient) -> None:
    before, status = ship.store.head(), await ship.run("surveyor")
    begun = [record for record in await ship.history(status.execution_id) if record.type == "AttemptStarted"]
    seen = []
    async with asyncio.timeout(20):
        async for each in sent(service, "/api/stream", after=before, phase="PENDING"):
            if each.data["execution_id"] == status.execution_id:
                seen.append(each)
                if each.data["status"]["phase"] != "PENDING":
                    break
    assert [each.data["status"]["phase"] for each in seen[:-1]] == ["PENDING"] * (len(seen) - 1)
    assert seen[-1].id == begun[0].position


async def test_a_stream_of_all_begins_with_where_it_is(ship: Harness, service: httpx2.AsyncClient) -> None:
    stream = sent(service, "/api/stream", agent="tests.temporal.agents:surveyor")
    async with asyncio.timeout(20):
        first = await anext(stream)
        assert (first.event, first.data) == ("snapshot", {"position": first.id})
        execution_id = await ship.start("surveyor")
        history = [each async for each in _until_the_end(stream)]
    assert [each.data["execution_id"] for each in history if each.data["execution_id"] == execution_id]
    assert [each.id for each in history] == sorted({each.id for each in history})
    assert history[0].id > first.id


async def _until_the_end(stream: AsyncIterator[Sent]) -> AsyncIterator[Sent]:
    async for each in stream:
        yield each
        if each.data["status"]["phase"] == "COMPLETED":
            return


async def test_who_reads_slowly_is_caught_up_from_the_store(ship: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 3)
    stream = execution_stream("slow-reader")
    ship.store.append(stream, news(REQUESTED))
    async with asking(ship) as service:
        reading = asyncio.create_task(everything(service, "slow-reader", after=0))
        for number in range(200):
            ship.store.append(stream, [new(MessageAppended(role="assistant", text=f"line {number}"))])
        ship.store.append(stream, news(COMPLETED))
        *events, end = await reading
    assert [each.data["version"] for each in events] == list(range(1, 203))
    assert end.data["phase"] == "COMPLETED"


async def test_no_more_streams_are_open_than_may_be(ship: Harness) -> None:
    narrow = await ship.run("surveyor")
    async with asking(ship, serve_streams=1) as service, service.stream("GET", "/api/stream") as first:
        lines = first.aiter_lines()
        while not (await anext(lines)).startswith("event: snapshot"):
            pass
        for address in ("/api/stream", f"/api/executions/{narrow.execution_id}/stream"):
            refused = await service.get(address)
            assert_problem(refused, 503, "too-many-streams", "1 live streams are open", "come back")
            assert int(refused.headers["retry-after"]) >= 1
        assert (await service.get("/healthz")).status_code == 200


async def test_what_cannot_be_streamed_is_a_problem(service: httpx2.AsyncClient) -> None:
    assert_problem(await service.get("/api/executions/absent-1/stream"), 404, "execution-not-found", "absent-1")
    assert_problem(await service.get("/api/stream", params={"phase": "LOST"}), 400, "input-rejected", "LOST")
    assert_problem(await service.get("/api/stream", params={"after": -1}), 422, "malformed-request", "query.after")
    wrong = await service.get("/api/stream", headers={"Last-Event-ID": "yesterday"})
    assert_problem(wrong, 400, "input-rejected", "'yesterday' is not a position")

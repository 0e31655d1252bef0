"""The HTTP API's questions, over a real socket: what they answer, and how they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from projector.catalogue import CATALOGUE
from projector.execution_status import ExecutionStatus
from projector.views import event_view, status_view
from tests.temporal.harness import Harness
from tests.temporal.http_service import asking, assert_problem
from workflows.service.problem_kinds import KINDS, explained


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship) as client:
        yield client


@pytest.fixture(scope="module")
async def blunder(ship: Harness) -> ExecutionStatus:
    status = await ship.run("blunderer", session_id="over-http")
    await ship.projected()
    return status


async def test_one_execution_is_what_show_prints(
    ship: Harness, service: httpx2.AsyncClient, blunder: ExecutionStatus
) -> None:
    answer = await service.get(f"/api/executions/{blunder.execution_id}")
    status = await ship.status(blunder.execution_id)

    assert answer.status_code == 200
    assert answer.json() == status_view(status).model_dump(mode="json")
    assert answer.json()["code"] == "E401"


async def test_its_tag_is_its_version_and_spares_a_second_answer(
    service: httpx2.AsyncClient, blunder: ExecutionStatus
) -> None:
    address = f"/api/executions/{blunder.execution_id}"
    tag = (await service.get(address)).headers["etag"]
    again = await service.get(address, headers={"If-None-Match": f'"0", W/{tag}'})
    other = await service.get(address, headers={"If-None-Match": '"0"'})

    assert tag == f'"{blunder.version}"'
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


async def test_it_can_be_seen_as_it_was_after_an_event_and_at_a_time(
    ship: Harness, service: httpx2.AsyncClient, blunder: ExecutionStatus
) -> None:
    address = f"/api/executions/{blunder.execution_id}"
    history = await ship.history(blunder.execution_id)
    second = (await service.get(address, params={"version": 2})).json()
    moment = history[1].time
    then = (await service.get(address, params={"at": moment.isoformat()})).json()

    assert (second["version"], second["phase"]) == (2, "PENDING")
    assert then["version"] == max(record.version for record in history if record.time <= moment) < len(history)
    early = await service.get(address, params={"at": "2001-01-01T00:00:00Z"})
    assert_problem(early, 400, "input-rejected", "had not been asked for")
    assert_problem(await service.get(address, params={"version": 999}), 400, "input-rejected", "999")
    both = await service.get(address, params={"version": 2, "at": "2001-01-01T00:00:00Z"})
    assert_problem(both, 400, "input-rejected", "not both")


async def test_a_history_comes_in_pages(ship: Harness, service: httpx2.AsyncClient, blunder: ExecutionStatus) -> None:
    address, events, after = f"/api/executions/{blunder.execution_id}/events", [], 0
    while True:
        page = (await service.get(address, params={"after": after, "limit": 3})).json()
        events += page["items"]
        if page["next"] is None:
            break
        after = page["next"]

    assert events == [event_view(each).model_dump(mode="json") for each in await ship.history(blunder.execution_id)]


async def test_a_list_is_filtered_and_paged(
    ship: Harness, service: httpx2.AsyncClient, blunder: ExecutionStatus
) -> None:
    more = [await ship.run("blunderer", session_id="over-http") for _ in range(2)]
    await ship.projected()
    first = (await service.get("/api/executions", params={"session": "over-http", "limit": 2})).json()
    rest = (await service.get("/api/executions", params={"session": "over-http", "after": first["next"]})).json()

    listed = [each["execution_id"] for each in first["items"] + rest["items"]]
    assert listed == [each.execution_id for each in (*reversed(more), blunder)]
    assert (rest["next"], first["events_behind"]) == (None, 0)
    other = await service.get("/api/executions", params={"session": "over-http", "code": "E201"})
    assert other.json()["items"] == []


async def test_failures_runners_and_codes_are_told(
    ship: Harness, service: httpx2.AsyncClient, blunder: ExecutionStatus
) -> None:
    failures = (await service.get("/api/failures")).json()
    runners = (await service.get("/api/runners", params={"queue": ship.settings.agent_queue})).json()
    codes = (await service.get("/api/codes")).json()

    assert any(group["code"] == "E401" and group["executions"] >= 1 for group in failures)
    assert [runner["state"] for runner in runners] == ["ready"]
    assert [entry["code"] for entry in codes] == [code.value for code in CATALOGUE]


async def test_health_is_told(service: httpx2.AsyncClient) -> None:
    assert (await service.get("/healthz")).json() == {"status": "ok"}
    ready = (await service.get("/readyz")).json()
    assert ready["events"] > 0 and ready["events_behind"] >= 0


REFUSED = [
    ("/api/executions/absent-1", 404, "execution-not-found", "absent-1"),
    ("/api/executions/absent-1/events", 404, "execution-not-found", "absent-1"),
    ("/api/executions/no%20id", 400, "input-rejected", ""),
    ("/api/executions?phase=LOST", 400, "input-rejected", "choose one of PENDING"),
    ("/api/executions?code=E000", 400, "input-rejected", "E000"),
    ("/api/executions?after=x", 400, "input-rejected", "not a cursor"),
    ("/api/executions?since=tomorrow", 400, "input-rejected", "tomorrow"),
    ("/api/executions?limit=0", 422, "malformed-request", "query.limit"),
    ("/api/executions?limit=501", 422, "malformed-request", "query.limit"),
    ("/api/executions?limit=many", 422, "malformed-request", "query.limit"),
    ("/api/failures?limit=-1", 422, "malformed-request", "query.limit"),
    ("/nowhere", 404, "no-such-address", "/openapi.json"),
    ("/problems/bad-luck", 404, "no-such-address", "none of the service's"),
]


@pytest.mark.parametrize(("address", "status", "kind", "says"), REFUSED)
async def test_what_makes_no_sense_is_a_problem(
    service: httpx2.AsyncClient, address: str, status: int, kind: str, says: str
) -> None:
    assert_problem(await service.get(address), status, kind, says)


async def test_a_wrong_method_is_a_problem(service: httpx2.AsyncClient) -> None:
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
        answer = await service.request(method, "/api/executions")
        assert_problem(answer, 405, "method-not-allowed", "GET, POST")
        assert answer.headers["allow"] == "GET, POST"
    head = await service.head("/healthz")
    assert (head.status_code, head.headers["allow"], head.content) == (405, "GET", b"")


async def test_the_type_of_a_problem_can_be_opened(service: httpx2.AsyncClient) -> None:
    kind = assert_problem(await service.get("/api/executions/absent-1"), 404, "execution-not-found")["type"]
    answer = await service.get(kind)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    assert answer.text == explained(KINDS["execution-not-found"])


async def test_the_api_describes_itself(service: httpx2.AsyncClient) -> None:
    described = (await service.get("/openapi.json")).json()
    operations = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]

    assert described["openapi"].startswith("3.1")
    assert len(operations) == len(set(operations)) >= 11

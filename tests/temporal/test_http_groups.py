"""The HTTP API's groups: what failed of one cause is listed, and run again, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from projector.catalogue import Code
from projector.events import ExecutionRequested
from projector.execution_status import Phase
from projector.failures import Truncation, fingerprint
from tests.temporal.harness import TIMEOUTS, Harness, agent, failure_of
from tests.temporal.http_service import asking, assert_problem
from tests.temporal.retrying import lines, linked, retry, untouched, wreck


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship) as client:
        yield client


async def cause_of(ship: Harness, execution_id: str) -> str:
    """The fingerprint of its group."""
    return fingerprint(failure_of(await ship.status(execution_id)))


async def test_a_list_is_of_one_cause_and_of_one_agent(ship: Harness, service: httpx2.AsyncClient) -> None:
    ids = [wreck(ship, f"fog-{number}", "fog", cause="the fog came in") for number in range(3)]
    other = wreck(ship, "ice-1", "fog", cause="the ice came in")
    await ship.projected()
    cause = await cause_of(ship, ids[0])
    (group,) = [each for each in (await service.get("/api/failures")).json() if each["fingerprint"] == cause]
    listed = await service.get("/api/executions", params={"cause": group["fingerprint"]})
    assert [each["execution_id"] for each in listed.json()["items"]] == ids[::-1]
    assert group["executions"] == 3
    of_agent = {"session": "fog", "agent": agent("says_nothing")}
    listed = await service.get("/api/executions", params=of_agent)
    assert [each["execution_id"] for each in listed.json()["items"]] == [other, *ids[::-1]]
    assert (await service.get("/api/executions", params=of_agent | {"agent": "nobody:at_all"})).json()["items"] == []
    dry_run = await retry(ship, "--cause", group["fingerprint"], "--dry-run", "--json")
    assert [line["execution_id"] for line in lines(dry_run)] == ids[::-1]


async def test_a_group_is_looked_at_and_then_run_again(ship: Harness, service: httpx2.AsyncClient) -> None:
    ids = [wreck(ship, f"ebb-{number}", "ebb", cause="the ebb was too strong") for number in range(3)]
    others = [
        wreck(ship, "ebb-e101", "ebb", cause="the ebb was too strong", code=Code.RUNNER_STARTUP_FAILED),
        wreck(ship, "flood-1", "ebb", cause="the flood was too strong"),
    ]
    await ship.projected()
    address = f"/api/failures/E102/{await cause_of(ship, ids[0])}/retry"
    before = ship.store.head()

    look = (await service.post(address, json={"dry_run": True})).json()
    assert [each["execution_id"] for each in look["found"]] == ids[::-1]
    assert look["found"][0].keys() == {"execution_id", "code", "message", "finished_at", "retryable"}
    assert (look["found"][0]["code"], look["found"][0]["retryable"]) == ("E102", True)
    assert (look["retried"], look["failed"], look["more"]) == ([], [], False)
    two = (await service.post(address, json={"dry_run": True, "limit": 2})).json()
    assert ([each["execution_id"] for each in two["found"]], two["more"]) == (ids[:0:-1], True)
    assert ship.store.head() == before

    first = (await service.post(address, json={"limit": 1})).json()
    assert first["retried"] == [{"execution_id": ids[2], "retried_as": f"{ids[2]}-r1"}]
    rest = (await service.post(address, json={})).json()  # no row says yet that one was retried
    assert {each["execution_id"]: each["retried_as"] for each in rest["retried"]} == {
        each: f"{each}-r1" for each in ids[:2]
    }
    for each in ids:
        assert (await linked(ship, each, f"{each}-r1")).phase is Phase.COMPLETED
    assert (await service.post(address, json={})).json() == {"found": [], "retried": [], "failed": [], "more": False}
    assert await untouched(ship, *others)


async def test_one_that_cannot_be_started_is_told_and_does_not_stop_the_others(
    ship: Harness, service: httpx2.AsyncClient
) -> None:
    cut = ExecutionRequested(
        agent=agent("says_nothing"),
        input="a very long",
        task_queue=ship.settings.agent_queue,
        timeouts=TIMEOUTS,
        truncated=(Truncation(field="input", original_bytes=900_000, sha256="5994471abb01112afcc18159f6cc74b4"),),
    )
    ids = [
        wreck(ship, "gale-north", "gale", cause="the gale blew"),
        wreck(ship, "gale-heavy", "gale", cause="the gale blew", requested=cut),
        wreck(ship, "gale-south", "gale", cause="the gale blew"),
    ]
    await ship.projected()
    answer = (await service.post(f"/api/failures/e102/{await cause_of(ship, ids[0])}/retry", json={})).json()
    assert [each["execution_id"] for each in answer["retried"]] == ["gale-south", "gale-north"]
    ((failed),) = answer["failed"]
    assert failed["execution_id"] == "gale-heavy" and "too large to be kept" in failed["detail"]


REFUSED = [
    ("E000/0123456789ab", {}, 400, "input-rejected", "E000"),
    ("E102/nothing-like-it", {}, 400, "input-rejected", "not a cause"),
    ("E102/0123456789ab", {"limit": 501}, 422, "malformed-request", "body.limit"),
    ("E102/0123456789ab", {"limit": 0}, 422, "malformed-request", "body.limit"),
    ("E102/0123456789ab", {"all": True}, 422, "malformed-request", "body.all"),
    ("E102/0123456789ab", None, 422, "malformed-request", "body"),
]


@pytest.mark.parametrize(("group", "body", "status", "kind", "says"), REFUSED)
async def test_what_makes_no_sense_is_refused(
    service: httpx2.AsyncClient, group: str, body: dict[str, object] | None, status: int, kind: str, says: str
) -> None:
    assert_problem(await service.post(f"/api/failures/{group}/retry", json=body), status, kind, says)


async def test_a_group_that_is_not_there_is_empty(service: httpx2.AsyncClient) -> None:
    answer = await service.post("/api/failures/E102/0123456789ab/retry", json={})
    assert (answer.status_code, answer.json()["found"]) == (200, [])

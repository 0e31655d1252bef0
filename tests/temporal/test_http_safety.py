"""Who may ask the service for what: names, origins, tokens, sizes, over a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr

from projector.errors import InputRejected
from projector.opening import hygiene_from_environment
from tests.temporal.harness import Harness, agent
from tests.temporal.http_service import OPERATOR, READER, asking, assert_problem, bearer
from workflows.service.desk import desk
from workflows.service.program import rules_of
from workflows.service.safety import LARGEST_BODY, Rules
from workflows.service.serving import listening, serving


@pytest.fixture(scope="module")
async def service(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship) as client:
        yield client


@pytest.fixture(scope="module")
async def guarded(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship, Rules(operator=OPERATOR, reader=READER)) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "[", "localhost."])
async def test_a_request_for_another_host_is_misdirected(service: httpx2.AsyncClient, host: str) -> None:
    for path in ("/api/executions", "/healthz", "/openapi.json"):
        assert_problem(await service.get(path, headers={"Host": host}), 421, "misdirected", "not known by this name")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]", "127.0.0.1:9"])
async def test_every_name_of_this_machine_is_known(service: httpx2.AsyncClient, host: str) -> None:
    assert (await service.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    ship: Harness, service: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    before = ship.store.head()
    body = {"agent": agent("surveyor")}
    assert_problem(await service.post("/api/executions", json=body, headers=headers), 403, "foreign-origin")
    assert ship.store.head() == before


async def test_the_service_s_own_page_may(service: httpx2.AsyncClient) -> None:
    own = str(service.base_url).rstrip("/")
    answer = await service.post(
        "/api/executions/absent-1/cancel", headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}
    )
    assert_problem(answer, 404, "execution-not-found")


async def test_without_a_token_only_the_process_s_health_is_told(guarded: httpx2.AsyncClient) -> None:
    assert (await guarded.get("/healthz")).status_code == 200
    for headers in ({}, bearer("wrong"), bearer(OPERATOR[:-1]), {"Authorization": f"Basic {OPERATOR}"}):
        for path in ("/api/executions", "/readyz", "/openapi.json", "/nowhere", "/api/stream"):
            answer = await guarded.get(path, headers=headers)
            assert_problem(answer, 401, "unauthorized", "Authorization: Bearer")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert_problem(await guarded.get(f"/api/executions?token={OPERATOR}"), 401, "unauthorized")


async def test_a_reader_reads_and_an_operator_acts(ship: Harness, guarded: httpx2.AsyncClient) -> None:
    before = ship.store.head()
    for token in (OPERATOR, READER):
        assert (await guarded.get("/api/executions", headers=bearer(token))).status_code == 200
    refused = await guarded.post("/api/executions", json={"agent": agent("surveyor")}, headers=bearer(READER))
    assert_problem(refused, 403, "read-only", "only read")
    assert ship.store.head() == before
    started = await guarded.post("/api/executions", json={"agent": agent("surveyor")}, headers=bearer(OPERATOR))
    assert started.status_code == 201
    await ship.end(started.json()["execution_id"])


@pytest.mark.parametrize("has_length", [True, False])
async def test_a_body_that_is_too_large_is_not_read_to_its_end(service: httpx2.AsyncClient, has_length: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(2 * LARGEST_BODY // 65536):
            yield b" " * 65536

    headers = {"content-type": "application/json"} | ({"content-length": str(2 * LARGEST_BODY)} if has_length else {})
    answer = await service.post("/api/executions", content=parts(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_answer_has_the_headers_that_keep_browsers_in_check(service: httpx2.AsyncClient) -> None:
    for path in ("/api/executions", "/nowhere", "/healthz"):
        headers = (await service.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_an_address_that_others_reach_needs_a_token(ship: Harness, host: str) -> None:
    async with desk(ship.settings, ship.store, hygiene_from_environment(), ship.executions) as made:
        with pytest.raises(InputRejected, match="can be reached from other machines: set a token"):
            async with serving(made, host, 0):
                pytest.fail("it served")


async def test_it_is_known_by_the_names_that_it_was_given(ship: Harness) -> None:
    settings = ship.settings.model_copy(update={"serve_names": "status.example, Quay.example"})
    async with asking(ship, rules_of(settings)) as service:
        for name in ("status.example", "quay.example:443", "127.0.0.1"):
            assert (await service.get("/healthz", headers={"host": name})).status_code == 200
        assert_problem(await service.get("/healthz", headers={"host": "elsewhere.example"}), 421, "misdirected")


async def test_at_all_addresses_of_a_machine_any_name_will_do_and_none_without_the_token(ship: Harness) -> None:
    told = {"serve_host": "0.0.0.0", "serve_token": SecretStr(OPERATOR)}
    rules = rules_of(ship.settings.model_copy(update=told))
    async with (
        desk(ship.settings, ship.store, hygiene_from_environment(), ship.executions) as made,
        serving(made, "0.0.0.0", 0, rules) as address,
        httpx2.AsyncClient(base_url=address.replace("0.0.0.0", "127.0.0.1"), timeout=20) as service,
    ):
        name = {"host": "harbour-7.local"}
        assert_problem(await service.get("/api/executions", headers=name), 401, "unauthorized")
        known = name | {"authorization": f"Bearer {OPERATOR}"}
        assert (await service.get("/api/executions", headers=known)).status_code == 200


async def test_it_listens_on_the_loopback_of_either_family(ship: Harness) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with (
        desk(ship.settings, ship.store, hygiene_from_environment(), ship.executions) as made,
        serving(made, "::1", 0) as address,
        httpx2.AsyncClient(base_url=address, timeout=20) as service,
    ):
        assert address.startswith("http://[::1]:")
        assert (await service.get("/healthz")).status_code == 200


async def test_a_name_that_is_no_address_is_said_in_one_line(ship: Harness) -> None:
    async with desk(ship.settings, ship.store, hygiene_from_environment(), ship.executions) as made:
        with pytest.raises(InputRejected, match=r"cannot listen at nowhere\.invalid:0: .*; choose another --host"):
            async with serving(made, "nowhere.invalid", 0, Rules(operator=OPERATOR)):
                pytest.fail("it served")


def test_answers_are_sent_at_once() -> None:
    with listening("127.0.0.1", 0, is_safe=False) as here, socket.create_connection(here.getsockname()) as client:
        accepted, _ = here.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert client


async def test_a_port_that_is_taken_is_said_in_one_line(ship: Harness, service: httpx2.AsyncClient) -> None:
    async with desk(ship.settings, ship.store, hygiene_from_environment(), ship.executions) as made:
        with pytest.raises(InputRejected, match=r"cannot listen at .*: Address already in use; choose another"):
            async with serving(made, port=service.base_url.port or 0):
                pytest.fail("it served")

"""The whole API under fuzz: its document is the plan, and whatever is asked, the service answers as it says.

Each case is sent over a real socket to a service on a real store. Executions that it starts wait on a queue that nobody
serves. Seeds are fixed, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

import httpx2
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from projector.catalogue import Code
from projector.projecting.projection_runner import ProjectionRunner
from tests.temporal.harness import Harness
from tests.temporal.http_service import asking
from tests.temporal.retrying import wreck
from workflows.service.problems import CONTENT_TYPE
from workflows.service.safety import Rules

TOKEN: Final = "open-sesame"
STREAMS: Final = ("streamExecution", "streamAll")
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "ignored_auth",
)


def configuration(address: str) -> SchemathesisConfig:
    """All phases, from fixed seeds."""
    return SchemathesisConfig.from_dict(
        {
            "base-url": address,
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "request-timeout": 30,
            "continue-on-failure": True,
            "workers": 1,
            "seed": 8237,
            "generation": {"deterministic": True, "max-examples": 130, "database": "none", "no-shrink": True},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {"stateful": {"generation": {"max-examples": 40}}},
        }
    )


def findings(address: str, document: dict[str, Any]) -> tuple[list[str], Counter[str]]:
    """What is wrong, in words, and how many cases each phase has had."""
    problem = jsonschema_rs.validator_for(
        {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    )
    whole = schemathesis.openapi.from_dict(document, config=configuration(address))
    wrong: list[str] = []
    cases: Counter[str] = Counter()
    for event in from_schema(whole.exclude(operation_id=list(STREAMS))).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(f"the run broke: {getattr(event, 'info', event)}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        for case_id, interaction in event.recorder.interactions.items():
            cases[event.phase.value] += 1
            answer, asked = interaction.response, interaction.request
            what = f"{asked.method} {asked.uri[:300]} {asked.body!r:.300}"
            if answer is None:
                wrong.append(f"{what}: no answer")
            elif answer.status_code >= 400:
                (kind, *_) = answer.headers["content-type"]
                is_head = asked.method.upper() == "HEAD"
                if kind != CONTENT_TYPE or not (is_head or problem.is_valid(answer.json())):
                    wrong.append(f"{what}: {answer.status_code} {kind} {answer.content!r:.300}")
                if b"Traceback" in answer.content or b".py" in answer.content:
                    wrong.append(f"{what}: shows its insides: {answer.content!r:.300}")
            for check in event.recorder.checks.get(case_id, []):
                if check.failure_info is not None:
                    status = answer.status_code if answer else None
                    wrong.append(f"{what}: {status} {check.name}: {check.failure_info.failure}")
    return wrong, cases


@pytest.fixture(scope="module")
async def service(bare: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    """On a store of its own, with some that failed, and with an orchestrator's queue that nobody polls."""
    async with bare.beside("fuzz", lock_timeout=5.0, orchestrated=False) as harness:
        for number in range(3):
            wreck(harness, f"survey-{number}", "survey", code=Code.AGENT_FAILED)
        ProjectionRunner(harness.store, harness.store.database).catch_up()
        async with asking(harness, Rules(operator=TOKEN)) as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client


async def test_whatever_is_asked_the_answer_is_what_the_document_says(
    ship: Harness, service: httpx2.AsyncClient
) -> None:
    await ship.run("blunderer", session_id="survey-2", execution_id="survey-1")
    await ship.run("surveyor", session_id="survey-2", execution_id="survey-2")
    await ship.projected()
    document = (await service.get("/openapi.json")).json()
    wrong, cases = await asyncio.to_thread(findings, str(service.base_url).rstrip("/"), document)

    assert not wrong, f"{len(wrong)} of {cases.total()}:\n" + "\n".join(wrong[:40])
    assert set(cases) == {"examples", "coverage", "fuzzing", "stateful"} and cases.total() >= 2000


# --- what no document foresees -------------------------------------------------------------------------------------

TEXTS: Final = (
    *(
        "",
        " ",
        ".",
        "..",
        "../..",
        "%",
        "%zz",
        "\0",
        "a\0b",
        "\r\n",
        "\x1b[31m",
        "'; DROP TABLE executions; --",
        "null",
    ),
    *(
        "\N{FULLWIDTH DIGIT ONE}",
        "\N{WHALE}" * 50,
        "\N{RIGHT-TO-LEFT OVERRIDE}x",
        "\ufeff",
        "\uffff",
        "x" * 5000,
        "[]",
        "{}",
    ),
    *(
        "0",
        "-0",
        "-1",
        "1",
        "1.5",
        "1e3",
        "9" * 18,
        "9" * 19,
        "9" * 400,
        "0x10",
        "inf",
        "NaN",
        "true",
        "0001-01-01",
        "9999-12-31",
    ),
    *(
        "FAILED",
        "failed",
        "E401",
        "survey-2",
        "survey-1",
        "harbour:pilot",
        "1h",
        "99999999999d",
        "2026-11-25T00:00:00+99:99",
    ),
)
PATHS: Final = (
    *(
        "/api/executions",
        "/api/executions/{}",
        "/api/executions/{}/events",
        "/api/failures",
        "/api/runners",
        "/api/codes",
    ),
    *("/problems/{}", "/api/failures/{}/{}/retry", "/{}", "/api/{}", "/api/access", "/readyz", "/openapi.json"),
)
PARAMETERS: Final = (
    "phase",
    "code",
    "category",
    "session",
    "agent",
    "cause",
    "since",
    "until",
    "limit",
    "after",
    "version",
    "at",
)
BODIES: Final = (
    *(
        b"",
        b"{",
        b"nul",
        b"[]",
        b"0",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}" + b" " * 9000,
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ),
    *(b"9" * 5000, b'{"agent": NaN}', b'{"limit": 1e999}', b'{"limit": -Infinity}', b'{"agent": "a:b", "agent": 1}'),
    *(b'{"agent": "\\ud800:x"}', b'{"\\ud800": 1, "agent": "a:b"}', b'{"agent": "a:b", "input": "\\ud800\\u0000"}'),
    *(
        b'{"agent": "a:b", "execution_id": "\\ud800"}',
        b'{"agent": "a:b", "session_id": "\\ud800"}',
        b'{"reason": "\\ud800\\u0000"}',
    ),
    *(b'{"agent": "a:b", "timeouts": {"heartbeat": 1e308}}', b'{"agent": "a:b", "task_queue": "\\u0000\\ud800"}'),
    *(
        b'{"agent": "a:b", "task_queue": "' + b"q" * 5000 + b'"}',
        b'{"agent": "' + b"a." * 90_000 + b'b:c"}',
        b'{"limit": ' + b"9" * 400 + b"}",
    ),
    *(
        b'{"dry_run": "yes"}',
        b'{"again": 2}',
        b"a=b&c=d",
        b"--x\r\n\r\n--x--",
        b'{"agent": "a:b", "timeouts": {"heartbeat": Infinity}}',
    ),
)
TYPES: Final = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "x",
    "",
)
METHODS: Final = ("GET", "GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")


def filled(dice: random.Random, path: str) -> str:
    """A path with odd texts in its places."""
    while "{}" in path:
        path = path.replace("{}", quote(dice.choice(TEXTS), safe=dice.choice(("", "/.%"))), 1)
    return path


def odd_request(dice: random.Random) -> dict[str, Any]:
    """One of the requests that nobody should send."""
    path, method = filled(dice, dice.choice(PATHS)), dice.choice(METHODS)
    query = [(dice.choice(PARAMETERS), dice.choice(TEXTS)) for _ in range(dice.choice((0, 1, 2, 5)))]
    parts = [f"{name}={quote(text, errors='surrogatepass')}" for name, text in query]
    parts += dice.choice(([], ["limit=%ff%00%ED%A0%80"], ["="], ["&&&"], ["after=1&after=2"], ["phase"]))
    headers = {"If-None-Match": dice.choice(('"1"', "*", "W/", '"' * 99, b"\xff"))} if dice.random() < 0.1 else {}
    request: dict[str, Any] = {"method": method, "url": path + ("?" + "&".join(parts) if parts else "")}
    if method in ("POST", "PUT", "PATCH"):
        path = dice.choice(
            ("/api/executions", "/api/executions/survey-1/cancel", "/api/failures/E401/0123456789ab/retry", path)
        )
        request |= {"url": path, "content": dice.choice(BODIES)}
        headers["content-type"] = dice.choice(TYPES) if dice.random() < 0.3 else TYPES[0]
    return request | {"headers": headers}


async def test_what_nobody_should_ask_is_refused_in_words(service: httpx2.AsyncClient) -> None:
    dice, seen, wrong = random.Random(8237), Counter[int](), []
    for _ in range(1500):
        request = odd_request(dice)
        answer = await service.request(**request)
        seen[answer.status_code] += 1
        is_well = answer.status_code < 500 and "Traceback" not in answer.text and "site-packages" not in answer.text
        if is_well and answer.status_code >= 400 and request["method"] != "HEAD":
            is_well = answer.headers["content-type"] == CONTENT_TYPE and answer.json()["status"] == answer.status_code
            is_well = is_well and len(answer.content) < 30_000
        if not is_well:
            wrong.append(f"{str(request)[:400]}: {answer.status_code} {answer.text[:300]}")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])
    assert {200, 400, 404, 405, 422} <= seen.keys()
    assert (await service.get("/readyz")).status_code == 200


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1&after=x", "phase=%00", "code=%ff"])
async def test_streams_refuse_what_makes_no_sense(service: httpx2.AsyncClient, query: str) -> None:
    answer = await service.get(f"/api/stream?{query}")
    assert answer.status_code in (400, 422) and answer.headers["content-type"] == CONTENT_TYPE, answer.text
    for path in ("/api/executions/%00/stream", f"/api/executions/absent/stream?{query}"):
        answer = await service.get(path)
        assert answer.status_code in (400, 404, 422) and answer.headers["content-type"] == CONTENT_TYPE, answer.text

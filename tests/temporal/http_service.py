"""The service of a harness, on a real socket, and somebody who asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from projector.opening import hygiene_from_environment
from tests.temporal.harness import Harness
from workflows.service.desk import desk
from workflows.service.safety import Rules
from workflows.service.serving import serving
from workflows.service.tickets import Tickets

OPERATOR, READER = "open-sesame", "peep-hole"
"""The tokens of a service that asks for them."""


def bearer(token: str) -> dict[str, str]:
    """The header that sends a token."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def asking(
    harness: Harness,
    rules: Rules | None = None,
    tickets: Tickets | None = None,
    *,
    port: int = 0,
    **options: Any,
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service that runs for the length of the block; `options` are settings of its own."""
    settings = harness.settings.model_copy(update=options)
    async with (
        desk(settings, harness.store, hygiene_from_environment(), harness.executions) as made,
        serving(
            made, port=port, rules=rules, tickets=tickets, request_within=settings.serve_request_timeout
        ) as address,
        httpx2.AsyncClient(base_url=address, timeout=20) as client,
    ):
        yield client


def assert_problem(answer: httpx2.Response, status: int, kind: str, *parts: str) -> dict[str, Any]:
    """A refusal is problem+json that says what happened."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    said: dict[str, Any] = answer.json()
    assert (said["type"], said["status"]) == (f"/problems/{kind}", status)
    for part in parts:
        assert part in said["detail"], said
    return said

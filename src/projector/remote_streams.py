"""Live streams from another program, through the status service, with the extra `client`.

    async for change in follow("http://127.0.0.1:8237", "at-the-quay"):
        print(change.position, change.type, change.status.phase)

A connection that breaks, a service that restarts or has no room, and one that says nothing are come back to with the
last position: each event is told once, in order, up to the end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import structlog

from projector.envelope import execution_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.views import ChangeView

if TYPE_CHECKING:
    import httpx2

SILENT_FOR: Final = 40.0
"""A service that says nothing for so long is asked anew, in seconds: it gives a sign of life every 15."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0

log = structlog.get_logger("remote_streams")


async def follow(
    address: str, execution_id: str, *, after: int | None = None, token: str | None = None
) -> AsyncIterator[ChangeView]:
    """One execution: its status as it is, then each change, up to and including its end.

    With `after`, the position of the last change that was seen, each change since. `address` is the service's, `token`
    the operator's or the reader's where it asks for one.
    Raises ExecutionNotFound, and InputRejected for what the service refuses, or a position that is not of its store.
    """
    execution_stream(execution_id)
    path = f"/api/executions/{quote(execution_id, safe='')}/stream"
    try:
        async with aclosing(_events(address, path, {}, after, token)) as events:
            async for event, data in events:
                if event == "end":
                    return
                yield ChangeView.model_validate_json(data)
    except _Absent as absent:
        raise ExecutionNotFound(execution_id, f"at {address}") from absent


async def follow_all(
    address: str,
    *,
    after: int | None = None,
    phase: str | None = None,
    code: str | None = None,
    session: str | None = None,
    agent: str | None = None,
    token: str | None = None,
) -> AsyncIterator[ChangeView]:
    """Every execution's changes from now on, or from a position on; it never ends by itself.

    With filters, those after which or before which the status is as wanted. Raises InputRejected as `follow` does.
    """
    wanted = {"phase": phase, "code": code, "session": session, "agent": agent}
    chosen = {name: value for name, value in wanted.items() if value is not None}
    async with aclosing(_events(address, "/api/stream", chosen, after, token)) as events:
        async for event, data in events:
            if event == "status":
                yield ChangeView.model_validate_json(data)


class _Absent(InputRejected):
    """The service answered 404."""


async def _events(
    address: str, path: str, chosen: Mapping[str, str], after: int | None, token: str | None
) -> AsyncGenerator[tuple[str, str], None]:
    import httpx2

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx2.Timeout(10.0, read=SILENT_FOR)
    pause = FIRST_PAUSE
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=timeout) as client:
        while True:
            at = {} if after is None else {"after": str(after)}
            try:
                async with client.stream("GET", path, params={**chosen, **at}) as answer:
                    await _check(answer)
                    async for sent in httpx2.EventSource(answer, max_event_size=None):
                        if sent.event == "resync":
                            raise InputRejected(sent.json()["detail"])  # type: ignore[index]
                        after = int(sent.id) if sent.id else after
                        pause = FIRST_PAUSE
                        if sent.data:
                            yield sent.event, sent.data
                        if sent.event == "end":
                            return
                reason = "it ended the stream"
            except httpx2.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            except _NotNow as refusal:
                reason, pause = str(refusal), max(pause, refusal.seconds)
            log.warning("the status service is asked again", address=address, reason=reason)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - not all at once after an outage
            pause = min(pause * 2, LONGEST_PAUSE)


class _NotNow(Exception):
    """The service refuses for now."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


async def _check(answer: httpx2.Response) -> None:
    if answer.status_code == 200:
        return
    await answer.aread()
    detail = _detail(answer)
    if answer.status_code >= 500:
        wait = answer.headers.get("retry-after", "")
        raise _NotNow(detail, min(float(wait), 60.0) if wait.isdecimal() else 0.0)
    raise (_Absent if answer.status_code == 404 else InputRejected)(detail)


def _detail(answer: httpx2.Response) -> str:
    try:
        said: Any = answer.json()
        return str(said["detail"])
    except (ValueError, KeyError, TypeError):
        return f"it answers {answer.status_code}, which is not what a status service says: check the address"

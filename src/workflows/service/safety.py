"""Who may ask the service for what, before any route sees the request.

A service on loopback can be reached by every page that a browser on the machine opens. So a request must name this
service as its host, which a page elsewhere cannot make it do without being told by DNS; and what changes something
must not come from a page of another origin. With tokens, a request needs one of them as well.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workflows.service.problems import Kind, problem

LARGEST_BODY: Final = 4 * 1024 * 1024
"""More than the largest input of an execution needs, in bytes."""
LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_OPEN: Final = frozenset(("/healthz",))
"""What a load balancer may ask without a token."""

MISDIRECTED: Final = Kind("misdirected", "The request is meant for another host", 421)
FOREIGN: Final = Kind("foreign-origin", "Another site may not do this", 403)
UNKNOWN: Final = Kind("unauthorized", "A token is needed", 401)
READ_ONLY: Final = Kind("read-only", "The token may only read", 403)
TOO_LARGE: Final = Kind("too-large", "The request is too large", 413)

_TOO_LARGE: Final = f"a request may have {LARGEST_BODY:,} bytes"

_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is let in. `hosts` are the names by which the service is reached, without ports.

    Without tokens everybody is an operator; with them, `operator` may do everything and `reader` only read.
    """

    hosts: frozenset[str] = LOOPBACK
    operator: str | None = None
    reader: str | None = None

    @property
    def ask_for_tokens(self) -> bool:
        """Whether a token is needed."""
        return self.operator is not None or self.reader is not None


class Guard:
    """An ASGI application in front of another."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], scope["path"], headers)
        if refusal is not None:
            kind, detail = refusal
            extra = {"WWW-Authenticate": "Bearer"} if kind is UNKNOWN else None
            await problem(kind, detail, headers=extra)(scope, receive, _with_headers(send))
            return
        await self._app(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, method: str, path: str, headers: Headers) -> tuple[Kind, str] | None:
        host = headers.get("host", "")
        if _name_of(host) not in self._rules.hosts:
            return MISDIRECTED, "the service is not known by this name: use the address that it printed"
        if method not in _SAFE and not _is_of_this_origin(headers, host):
            return FOREIGN, "this was asked by a page of another site: open the service's own page"
        if int(headers.get("content-length", "0") or 0) > LARGEST_BODY:
            return TOO_LARGE, _TOO_LARGE
        if self._rules.ask_for_tokens and path not in _OPEN:
            return self._without_right(method, headers.get("authorization", ""))
        return None

    def _without_right(self, method: str, authorization: str) -> tuple[Kind, str] | None:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode() if scheme.lower() == "bearer" else b""
        # All comparisons are made, so that how long it takes says nothing.
        is_operator = _is_same(given, self._rules.operator)
        is_reader = _is_same(given, self._rules.reader)
        if not (is_operator or is_reader):
            return UNKNOWN, "send the service's token as `Authorization: Bearer …`"
        if not is_operator and method not in _SAFE:
            return READ_ONLY, "this token may only read: use the operator's"
        return None


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY:
                raise HTTPException(413, _TOO_LARGE)  # it came without a length, or with a wrong one
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_of_this_origin(headers: Headers, host: str) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _is_same(given: bytes, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given, token.encode())

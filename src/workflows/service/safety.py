"""Who may ask the service for what, before any route sees the request.

A service on loopback can be reached by every page that a browser on the machine opens. So a request must name this
service as its host, which a page elsewhere cannot make it do without being told by DNS; and what changes something
must not come from a page of another origin. With tokens, a request needs one of them as well; a stream may be opened
with a ticket instead.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workflows.service.problem_kinds import FOREIGN_ORIGIN, MISDIRECTED, READ_ONLY, TOO_LARGE, UNAUTHORIZED, Kind
from workflows.service.problems import problem
from workflows.service.tickets import VALID_FOR, Role, Tickets, opens_with_ticket

LARGEST_BODY: Final = 4 * 1024 * 1024
"""More than the largest input of an execution needs, in bytes."""
LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_HARMLESS: Final = frozenset(("/api/tickets",))
"""What changes nothing although it is no question."""
_OPEN: Final = frozenset(("/healthz", "/api/access", "/"))
"""What is answered without a token: to a load balancer, and to a page that has yet to ask for one."""
_OPEN_BELOW: Final = ("/assets/", "/problems/")
"""Where only the service's own files and words are, which are everybody's."""

_TOO_LARGE: Final = f"a request may have {LARGEST_BODY:,} bytes"

_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is let in. `hosts` are the names by which the service is reached, without ports; None for any.

    Without tokens everybody is an operator; with them, `operator` may do everything and `reader` only read.
    """

    hosts: frozenset[str] | None = LOOPBACK
    operator: str | None = None
    reader: str | None = None

    @property
    def ask_for_tokens(self) -> bool:
        """Whether a token is needed."""
        return self.operator is not None or self.reader is not None


def is_open(path: str) -> bool:
    """Whether everybody may ask for it."""
    return path in _OPEN or path.startswith(_OPEN_BELOW)


class Guard:
    """An ASGI application in front of another. Tells it, in the request's state, who asks."""

    def __init__(self, app: ASGIApp, rules: Rules, tickets: Tickets) -> None:
        self._app = app
        self._rules = rules
        self._tickets = tickets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        role = self._role(scope, headers)
        refusal = self._refusal(scope, headers, role)
        if refusal is not None:
            kind, detail = refusal
            extra = {"WWW-Authenticate": "Bearer"} if kind is UNAUTHORIZED else None
            await problem(kind, detail, headers=extra)(scope, receive, _with_headers(send))
            return
        scope["state"] = {**scope.get("state", {}), "needs_token": self._rules.ask_for_tokens, "role": role}
        await self._app(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers, role: Role | None) -> tuple[Kind, str] | None:
        method, path, host = scope["method"], scope["path"], headers.get("host", "")
        if self._rules.hosts is not None and _name_of(host) not in self._rules.hosts:
            return MISDIRECTED, "the service is not known by this name: use the address that it printed"
        if method not in _SAFE and not _is_of_this_origin(headers, host):
            return FOREIGN_ORIGIN, "this was asked by a page of another site: open the service's own page"
        if _length_of(headers) > LARGEST_BODY:
            return TOO_LARGE, _TOO_LARGE
        if role is None and not is_open(path):
            if opens_with_ticket(method, path) and _ticket_of(scope) is not None:
                return (
                    UNAUTHORIZED,
                    f"the ticket is not valid, or is older than {VALID_FOR} s: make another by /api/tickets",
                )
            return UNAUTHORIZED, "send the service's token as `Authorization: Bearer …`"
        if role == "reader" and method not in _SAFE and path not in _HARMLESS:
            return READ_ONLY, "this token may only read: use the operator's"
        return None

    def _role(self, scope: Scope, headers: Headers) -> Role | None:
        if not self._rules.ask_for_tokens:
            return "operator"
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        # All comparisons are made, so that how long it takes says nothing.
        is_operator = _is_same(given, self._rules.operator)
        is_reader = _is_same(given, self._rules.reader)
        if is_operator:
            return "operator"
        if is_reader:
            return "reader"
        ticket = _ticket_of(scope) if opens_with_ticket(scope["method"], scope["path"]) else None
        return self._tickets.role_of(ticket) if ticket is not None else None


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
    return origin is None or origin.partition("://")[2] == host


def _length_of(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length[:19]) if length.isascii() and length.isdecimal() else 0


def _ticket_of(scope: Scope) -> str | None:
    try:
        given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=50).get("ticket", [])
    except ValueError:  # too many
        return None
    return given[0] if len(given) == 1 else None


def _is_same(given: bytes, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given, token.encode())

"""Tickets: what a browser shows in place of a token, where it cannot send one.

An EventSource sends no header, and a token in an address would end in histories and in the logs of proxies. So whoever
has a token asks for a ticket, which opens a stream as a reader, for a minute, at this process alone. It says when it
ends and is signed; nothing is kept of it, and nothing is written down.
"""

from __future__ import annotations

import hmac
import re
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

Role = Literal["operator", "reader"]
"""Who may do everything, and who may only read."""

VALID_FOR: Final = 60
"""Seconds in which a stream can be opened with a ticket; what is open then stays open."""

_STREAM: Final = re.compile(r"/api/(stream|executions/[^/]+/stream)")
_HEAD: Final = struct.Struct(">6sQ")
_READER: Final = b"reader"
_LENGTH: Final = 62
"""How many letters a ticket has: 14 bytes of head and 32 of signature, six bits in each."""


class Ticket(NamedTuple):
    """A ticket, and when it ends."""

    text: str
    expires_at: datetime


class Tickets:
    """Makes tickets and knows its own again. The key lives and dies with it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def make(self) -> Ticket:
        """A new one, a reader's."""
        expiry = int(self._clock()) + VALID_FOR
        return Ticket(self._signed(_HEAD.pack(_READER, expiry)), datetime.fromtimestamp(expiry, UTC))

    def role_of(self, text: str) -> Role | None:
        """Whose it is; None for one that is not ours, was changed, or has ended."""
        if len(text) != _LENGTH or not text.isascii():
            return None
        try:
            head = urlsafe_b64decode(text + "==")[: _HEAD.size]
            role, expiry = _HEAD.unpack(head)
        except (ValueError, struct.error):
            return None
        # The whole text is compared, so that there is one spelling of each.
        if not hmac.compare_digest(self._signed(head).encode(), text.encode()):
            return None
        return "reader" if role == _READER and self._clock() < expiry else None

    def _signed(self, head: bytes) -> str:
        return urlsafe_b64encode(head + hmac.digest(self._key, head, "sha256")).rstrip(b"=").decode()


def opens_with_ticket(method: str, path: str) -> bool:
    """Whether this is a request for which a ticket is good: one for a stream."""
    return method == "GET" and _STREAM.fullmatch(path) is not None

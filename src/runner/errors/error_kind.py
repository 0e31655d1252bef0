"""Whose fault an error is: the agent's, a provider's (temporary, upstream) or the set-up's.

An agent that says it itself (`ProviderUnavailable`, `ConfigurationError`) is believed. Otherwise the outermost error
that the tables below know decides, among those that the error was raised from explicitly and the root; an error that
merely happened while a provider's error was being handled keeps its own blame.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from typing import Any, Final

from projector.failures import ErrorKind
from runner.agent import ConfigurationError, ProviderUnavailable
from runner.errors.cause_chain import Link, attribute, is_a
from runner.errors.error_words import public_classes

TRANSIENT_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""HTTP answers that are worth another try. 500 is among them: it is the upstream's own confession that the upstream
failed, model vendors' clients retry it by themselves, and to blame the agent would send the reader to the wrong code.
529 is Anthropic's "overloaded"."""

_REFUSED_STATUS: Final = frozenset({401, 403})
_MODEL_CLIENTS: Final = frozenset(
    {
        "anthropic",
        "cohere",
        "fireworks",
        "google",
        "groq",
        "huggingface_hub",
        "litellm",
        "mistralai",
        "ollama",
        "openai",
        "replicate",
        "together",
        "vertexai",
    }
)
_HTTP_CLIENTS: Final = frozenset({"aiohttp", "botocore", "httpcore", "httpx", "requests", "urllib3", "websockets"})
_TRANSIENT_NAMES: Final = frozenset(
    {
        "APIConnectionError",
        "APITimeoutError",
        "GatewayTimeout",
        "InternalServerError",
        "OverloadedError",
        "RateLimitError",
        "ResourceExhausted",
        "ServiceUnavailable",
        "ServiceUnavailableError",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_TRANSIENT_HTTP_NAMES: Final = frozenset(
    {
        "ChunkedEncodingError",
        "ClientConnectionError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "HTTPClientError",
        "MaxRetryError",
        "NetworkError",
        "NewConnectionError",
        "ProtocolError",
        "ReadTimeoutError",
        "RemoteProtocolError",
        "ServerTimeoutError",
        "Timeout",
        "TimeoutException",
    }
)
_REFUSED_NAMES: Final = frozenset({"AuthenticationError", "PermissionDeniedError"})


def kind_of(links: Iterable[Link]) -> ErrorKind:
    """`provider`, `system` or `agent`. `links` go from the outermost error to the root, which is the last."""
    errors = _blamed(links)
    for error in errors:
        if is_a(error, ProviderUnavailable):
            return "provider"
        if is_a(error, ConfigurationError):
            return "system"
    return next((kind for kind in map(_known, errors) if kind is not None), "agent")


def retry_after(links: Iterable[Link]) -> float | None:
    """Seconds to wait, when an error of the chain names them: its own `retry_after`, or its response's header."""
    for error in _blamed(links):
        holders = (attribute(error, "response"), error)
        in_ms = [_seconds(_header(holder, "Retry-After-Ms")) for holder in holders]
        told = [
            _seconds(attribute(error, "retry_after")),
            *(_seconds(_header(holder, "Retry-After")) for holder in holders),
            *(ms / 1000 for ms in in_ms if ms is not None),
        ]
        for seconds in told:
            if seconds is not None:
                return seconds
    return None


def _blamed(links: Iterable[Link]) -> list[BaseException]:
    told = tuple(links)
    return [link.error for link in told if link.explicit or link is told[-1]]


def _known(error: BaseException) -> ErrorKind | None:
    if not is_a(error, Exception):
        return None
    classes = tuple(public_classes(error))
    by_code = any(package == "google" or (package, name) == ("urllib", "HTTPError") for package, name in classes)
    status = _status(error, ("code",) if by_code else ("status_code", "status", "http_status"))
    for package, name in classes:
        if name in _REFUSED_NAMES or (package in _MODEL_CLIENTS and status in _REFUSED_STATUS):
            return "system"
        if name in _TRANSIENT_NAMES or (package in _HTTP_CLIENTS and name in _TRANSIENT_HTTP_NAMES):
            return "provider"
    if is_a(error, (ConnectionError, socket.gaierror)) or status in TRANSIENT_STATUS:
        return "provider"
    return None


def _status(error: BaseException, names: tuple[str, ...]) -> int | None:
    """The HTTP status that the error carries, itself or in its response."""
    for holder in (error, attribute(error, "response")):
        for found in (attribute(holder, name) for name in names):
            if is_a(found, int) and type(found) is not bool:
                return int.__int__(found)
    return None


def _header(holder: object, name: str) -> object:
    """A header of a response; clients' headers ignore case, a plain mapping does not."""
    headers: Any = attribute(holder, "headers")
    try:
        return headers.get(name) or headers.get(name.lower())
    except BaseException:
        return None


def _seconds(value: object) -> float | None:
    """A finite, non-negative number of seconds; HTTP dates are not read, since they would need a clock."""
    if type(value) not in (int, float, str):
        return None
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None

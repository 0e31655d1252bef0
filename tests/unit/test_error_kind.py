"""An error is the agent's own fault unless a provider's or the set-up's is known in it."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from runner.agent import ConfigurationError, ProviderUnavailable
from runner.errors.cause_chain import chain
from runner.errors.error_kind import kind_of, retry_after


def foreign(module: str, name: str, *bases: type[Exception], **attributes: Any) -> Exception:
    """An error of a library that is not installed here: only names and attributes matter."""
    error: Exception = type(name, bases or (Exception,), {"__module__": module})("from afar")
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


def response(status: int, **headers: str) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={key.replace("_", "-"): value for key, value in headers.items()})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("provider", ProviderUnavailable("overloaded")),
        ("provider", foreign("openai", "RateLimitError", status_code=429)),
        ("provider", foreign("anthropic", "OverloadedError")),
        ("provider", foreign("openai", "APITimeoutError")),
        ("provider", foreign("anthropic", "InternalServerError", status_code=500)),
        ("provider", foreign("anthropic", "APIStatusError", status_code=529)),
        ("provider", foreign("httpx", "ConnectError", type(foreign("httpx", "NetworkError")))),
        ("provider", foreign("httpx", "ReadTimeout", type(foreign("httpx", "TimeoutException")))),
        ("provider", foreign("httpx", "HTTPStatusError", response=response(503))),
        ("provider", foreign("urllib.error", "HTTPError", OSError, code=502)),
        ("provider", foreign("aiohttp.client_exceptions", "ClientResponseError", status=504)),
        ("provider", ConnectionRefusedError(111, "Connection refused")),
        ("provider", socket.gaierror(-3, "Temporary failure in name resolution")),
        ("system", ConfigurationError("no API key")),
        ("system", foreign("openai", "AuthenticationError", status_code=401)),
        ("system", foreign("anthropic", "PermissionDeniedError", status_code=403)),
        ("system", foreign("mistralai.models", "SDKError", status_code=401)),
        ("agent", foreign("httpx", "HTTPStatusError", response=response(403))),
        ("agent", foreign("httpx", "HTTPStatusError", response=response(404))),
        ("agent", foreign("openai", "BadRequestError", status_code=400)),
        ("agent", foreign("sqlalchemy.exc", "TimeoutException")),
        ("agent", foreign("builtins", "HTTPError", code=503)),
        ("agent", TimeoutError("my own patience")),
        ("agent", SystemExit(503)),
        ("agent", ValueError("test error")),
    ],
    ids=str,
)
def test_an_error_is_laid_at_the_right_door(kind: str, error: BaseException) -> None:
    assert kind_of(chain(error, 11)) == kind


def test_a_provider_error_counts_through_what_was_raised_from_it() -> None:
    error = RuntimeError("the plan could not be made")
    error.__cause__ = foreign("openai", "RateLimitError")
    error.__cause__.__cause__ = ValueError("root")

    assert kind_of(chain(error, 11)) == "provider"


def test_a_provider_error_that_is_the_root_counts_however_it_was_reached() -> None:
    error = RuntimeError("the plan could not be made")
    error.__context__ = foreign("openai", "RateLimitError")

    assert kind_of(chain(error, 11)) == "provider"


def test_a_provider_error_that_was_merely_passed_on_the_way_does_not_count() -> None:
    error = KeyError("bug in the error handler")
    error.__context__ = foreign("openai", "RateLimitError")
    error.__context__.__context__ = ValueError("what began it")

    assert kind_of(chain(error, 11)) == "agent"


def test_what_the_agent_says_itself_outranks_what_its_errors_look_like() -> None:
    error = ConfigurationError("wrong base URL")
    error.__cause__ = foreign("httpx", "ConnectError", type(foreign("httpx", "NetworkError")))

    assert kind_of(chain(error, 11)) == "system"


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (30, ProviderUnavailable("overloaded", retry_after=30)),
        (20, foreign("openai", "RateLimitError", response=response(429, retry_after="20"))),
        (1.5, foreign("openai", "RateLimitError", response=response(429, Retry_After_Ms="1500"))),
        (None, ProviderUnavailable("overloaded")),
        (None, ProviderUnavailable("overloaded", retry_after=float("nan"))),
        (None, ProviderUnavailable("overloaded", retry_after=-1)),
        (None, ProviderUnavailable("overloaded", retry_after="soon")),  # type: ignore[arg-type]
        (
            None,
            foreign("openai", "RateLimitError", response=response(429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT")),
        ),
    ],
    ids=str,
)
def test_when_to_come_back_is_told_if_a_provider_said_so(seconds: float | None, error: BaseException) -> None:
    assert retry_after(chain(error, 11)) == seconds

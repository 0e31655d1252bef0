"""Refusals as problem+json (RFC 9457): the words that the commands say, a status, and a type that can be opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from projector.errors import StatusError
from workflows.service.problem_kinds import (
    INTERNAL,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NO_SUCH_ADDRESS,
    Kind,
    kind_of,
    kind_of_status,
)

CONTENT_TYPE: Final = "application/problem+json"
_RETRY_AFTER: Final = 1
"""Seconds after which it makes sense to ask again what could not be served for now."""

_LONGEST: Final = 1000
"""Characters of a detail. Our own sentences are shorter; what they quote may be not."""
_MOST_ERRORS: Final = 20
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

log = structlog.get_logger("service")


class Problem(BaseModel):
    """Why a request was refused."""

    type: str = Field(description="where this kind of problem is explained, relative to the service")
    title: str
    status: int
    detail: str = Field(description="what happened, why, and what to do next")
    errors: list[str] | None = Field(default=None, description="what is wrong with each part of a malformed request")


def install(app: FastAPI) -> None:
    """Have an application answer with problems, whatever goes wrong."""
    app.add_exception_handler(StatusError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _failed)


def problem(
    kind: Kind, detail: str, *, errors: list[str] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for one problem."""
    detail = _clean(detail)
    errors = [_clean(each) for each in errors[:_MOST_ERRORS]] if errors is not None else None
    said = Problem(type=kind.address, title=kind.title, status=kind.status, detail=detail, errors=errors)
    return JSONResponse(said.model_dump(exclude_none=True), kind.status, headers, media_type=CONTENT_TYPE)


def _clean(text: str) -> str:
    """What a request said may stand in it: nothing that UTF-8 cannot hold, and no more than a person reads."""
    whole = text.encode("utf-8", "replace").decode()
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}…"


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    kind = kind_of(error)
    headers = {"Retry-After": str(_RETRY_AFTER)} if kind.status == 503 else None
    return problem(kind, str(error), headers=headers)


async def _malformed(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # What was sent is left out: it may be long, or a secret.
    wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return problem(MALFORMED, wrong[0] if wrong else "it cannot be read", errors=wrong)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = kind_of_status(error.status_code)
    if kind is METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods_at(request))
        return problem(kind, f"this address takes {allowed}", headers={"Allow": allowed})
    detail = f"{kind.means} {kind.remedy}" if kind is NO_SUCH_ADDRESS else str(error.detail)
    return problem(kind, detail, headers=error.headers)


def _methods_at(request: Request) -> list[str]:
    """Those that some route of an address takes; the framework itself names only the first one's."""

    def is_taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(dict(scope))[0] is Match.FULL for route in request.app.routes)

    return list(filter(is_taken, _METHODS))


async def _failed(_: Request, error: Exception) -> Response:
    log.error("a request failed", reason=f"{type(error).__name__}: {error}")
    return problem(INTERNAL, "the service failed at this request; its log says why")

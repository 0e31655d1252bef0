"""Refusals as problem+json (RFC 9457): the words that the commands say, a status, and a type that can be opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from projector.errors import (
    Conflict,
    EngineUnreachable,
    ExecutionNotFound,
    InputRejected,
    StatusError,
    StoreError,
    StoreUnavailable,
    TooManyStreams,
)

CONTENT_TYPE: Final = "application/problem+json"
_RETRY_AFTER: Final = 1
"""Seconds after which it makes sense to ask again what could not be served for now."""

log = structlog.get_logger("service")


class Problem(BaseModel):
    """Why a request was refused."""

    type: str = Field(description="where this kind of problem is explained, relative to the service")
    title: str
    status: int
    detail: str = Field(description="what happened, why, and what to do next")
    errors: list[str] | None = Field(default=None, description="what is wrong with each part of a malformed request")


class Kind(NamedTuple):
    """One kind of problem."""

    name: str
    title: str
    status: int


MALFORMED: Final = Kind("malformed-request", "The request makes no sense", 422)
INTERNAL: Final = Kind("internal-error", "The service itself failed", 500)

KINDS: Final[Sequence[tuple[type[StatusError], Kind]]] = (
    (InputRejected, Kind("input-rejected", "What was asked makes no sense", 400)),
    (ExecutionNotFound, Kind("execution-not-found", "There is no such execution", 404)),
    (Conflict, Kind("conflict", "The execution has moved on", 409)),
    (StoreUnavailable, Kind("store-unavailable", "The event store cannot serve at this moment", 503)),
    (StoreError, Kind("store-error", "The event store cannot serve", 503)),
    (EngineUnreachable, Kind("engine-unreachable", "Temporal cannot be reached", 503)),
    (TooManyStreams, Kind("too-many-streams", "Too many streams are open", 503)),
    (StatusError, Kind("refused", "The request was refused", 400)),
)
"""The first whose class it is says what an error is."""


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
    said = Problem(type=f"/problems/{kind.name}", title=kind.title, status=kind.status, detail=detail, errors=errors)
    return JSONResponse(said.model_dump(exclude_none=True), kind.status, headers, media_type=CONTENT_TYPE)


def kind_of(error: StatusError) -> Kind:
    """What kind of problem a refusal is."""
    return next(kind for refusal, kind in KINDS if isinstance(error, refusal))


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


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = Kind("http", error.detail, error.status_code)
    detail = (
        "there is nothing at this address; /openapi.json says what there is"
        if error.status_code == 404
        else error.detail
    )
    return problem(kind, detail, headers=error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    log.error("a request failed", reason=f"{type(error).__name__}: {error}")
    return problem(INTERNAL, "the service failed at this request; its log says why")


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "content": {CONTENT_TYPE: {}}, "description": title}
    for status, title in {
        400: "What was asked makes no sense",
        404: "There is no such execution",
        409: "The execution has moved on",
        422: "The request makes no sense",
        503: "The event store or Temporal cannot serve at this moment",
    }.items()
}
"""What every route may answer with."""

"""The service's description of itself: OpenAPI 3.1, made from the routes, and completed with what no route knows.

That is how every request may be refused, which token it needs, which answer leads to which question, and examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from projector.catalogue import CATALOGUE, Code
from projector.execution_status import Phase
from projector.views import ChangeView
from workflows.service.examples import ANSWERS, PROBLEM, REQUESTS, STREAM_OF_ALL, STREAM_OF_ONE
from workflows.service.problem_kinds import KINDS
from workflows.service.problems import CONTENT_TYPE, Problem
from workflows.service.safety import is_open
from workflows.service.tickets import opens_with_ticket

TAGS: Final = (
    ("executions", "What agents do and did, and how they are started, cancelled and run again."),
    ("failures", "Why executions failed, grouped by cause, and the catalogue of codes."),
    ("streams", "Live, as server-sent events. The id of each is a position, by which a client goes on."),
    ("runners", "The processes that run agents."),
    ("access", "Who may do what."),
    ("service", "Whether it lives, and what its words mean."),
)

_STREAMS: Final = {"streamExecution": STREAM_OF_ONE, "streamAll": STREAM_OF_ALL}
_ONE: Final = ("getExecution", "listEvents", "streamExecution", "cancelExecution", "retryExecution")
_LINKS: Final[Mapping[str, tuple[str, Mapping[str, str], tuple[str, ...]]]] = {
    "startExecution": ("201", {"execution_id": "$response.body#/execution_id"}, _ONE),
    "retryExecution": ("201", {"execution_id": "$response.body#/execution_id"}, _ONE),
    "listExecutions": ("200", {"execution_id": "$response.body#/items/0/execution_id"}, _ONE),
    "getExecution": ("200", {"execution_id": "$response.body#/execution_id"}, _ONE[1:]),
    "listFailures": (
        "200",
        {"code": "$response.body#/0/code", "fingerprint": "$response.body#/0/fingerprint"},
        ("retryGroup",),
    ),
}
"""Of which answer which part is a parameter of which other questions."""

_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "phase": {"description": "only this phase", "example": "FAILED"},
    "code": {"description": "only failures of this code", "example": "E401"},
    "category": {"description": "only failures of this category", "example": "agent_failed"},
    "session": {"description": "only this conversation", "example": "survey-7"},
    "agent": {"description": "only this agent, as package.module:attribute", "example": "harbour.survey:surveyor"},
    "queue": {"description": "only runners of this task queue", "example": "survey"},
    "fingerprint": {"example": "139615c1b9c5"},
    "cause": {"example": "139615c1b9c5"},
    "execution_id": {"example": "survey-7-failed"},
    "since": {"example": "1h"},
    "until": {"example": "2026-11-26T00:00:00Z"},
    "name": {"example": "execution-not-found"},
    "if-none-match": {"description": "the `ETag` of an answer: 304 when the execution is still as it was"},
}
"""What is said of parameters where their routes say nothing, by name."""

_SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "phase": {"type": "string", "enum": [phase.value for phase in Phase]},
    "code": {"type": "string", "enum": [code.value for code in Code]},
    "category": {"type": "string", "enum": [entry.category for entry in CATALOGUE.values()]},
    "cause": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
    "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
    "execution_id": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,200}$"},
}
"""What parameters may be, which their routes leave to the words of a refusal."""

_OF_ONE_EXECUTION: Final = "{execution_id}"
_CONFLICTING: Final = frozenset(("startExecution", "cancelExecution", "retryExecution"))
_ASK_NOBODY: Final = frozenset(("healthz", "metrics", "explainProblem", "getAccess", "makeTicket", "listCodes"))
"""Operations that answer without the store and without Temporal."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
    )
    parts = made.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for leftover in ("HTTPValidationError", "ValidationError"):
        schemas.pop(leftover, None)
    for model in (Problem, ChangeView):
        own = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schemas |= own.pop("$defs", {}) | {model.__name__: own}
    schemas["Problem"]["examples"] = [dict(PROBLEM)]
    parts["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The operator's token, which may do everything, or the reader's, which may only read. A "
            "service on loopback that was started without tokens needs none.",
        },
        "ticket": {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "A ticket of `POST /api/tickets`, for who cannot send a header, such as EventSource.",
        },
    }
    for path, method, operation in _operations(made):
        _complete(path, method, operation)
    return made


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    name, answers = operation["operationId"], operation["responses"]
    if opens_with_ticket(method, path):
        operation["security"] = [{"token": []}, {"ticket": []}]
    elif not is_open(path):
        operation["security"] = [{"token": []}]
    for parameter in operation.get("parameters", []):
        parameter["schema"] = dict(_SHAPES.get(parameter["name"], parameter["schema"]))
        for word, text in _PARAMETERS.get(parameter["name"], {}).items():
            parameter.setdefault(word, text)
    if name in REQUESTS:
        operation["requestBody"]["content"]["application/json"]["example"] = dict(REQUESTS[name])
    success = next(status for status in answers if status.startswith("2"))
    if name in ANSWERS:
        answers[success]["content"]["application/json"]["example"] = ANSWERS[name]
    if name in _STREAMS:
        answers[success]["content"] = {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAMS[name]}}
    for status, titles in _refusals(path, method, operation).items():
        answers[str(status)] = {
            "description": "; ".join(titles),
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if name in _LINKS:
        answered, parameters, targets = _LINKS[name]
        answers[answered]["links"] = {
            target: {"operationId": target, "parameters": dict(parameters)} for target in targets
        }


def _refusals(path: str, method: str, operation: Mapping[str, Any]) -> dict[int, list[str]]:
    """By status, the titles of the problems that an operation may answer with."""
    name = operation["operationId"]
    takes_something = "parameters" in operation or "requestBody" in operation
    possible = {
        "input-rejected": takes_something and name != "explainProblem",
        "unreadable-request": True,
        "too-slow": True,
        "head-too-large": True,
        "unauthorized": not is_open(path),
        "read-only": method != "GET" and name != "makeTicket",
        "foreign-origin": method != "GET",
        "execution-not-found": _OF_ONE_EXECUTION in path,
        "no-such-address": name == "explainProblem",
        "conflict": name in _CONFLICTING,
        "too-large": True,
        "misdirected": True,
        "malformed-request": takes_something,
        "internal-error": True,
        "store-unavailable": name not in _ASK_NOBODY,
        "store-error": name not in _ASK_NOBODY,
        "engine-unreachable": method != "GET" and name not in _ASK_NOBODY,
    }
    refusals: dict[int, list[str]] = {}
    for kind in KINDS.values():
        if possible.get(kind.name):
            refusals.setdefault(kind.status, []).append(kind.title)
    return refusals

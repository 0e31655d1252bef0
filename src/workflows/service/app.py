"""The application: its routes, and what every answer has in common."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from workflows.service import access, acting, explaining, health, metrics, pages, problems, reading, streaming
from workflows.service.describing import describe
from workflows.service.desk import Desk
from workflows.service.safety import Guard, Rules
from workflows.service.tickets import Tickets

DESCRIPTION = "What agents on Temporal are doing, and why they failed."


def application(desk: Desk, rules: Rules, tickets: Tickets | None = None) -> ASGIApp:
    """An ASGI application over this desk, which lets in whom the rules say."""
    tickets = tickets or Tickets()
    return Guard(api(desk, tickets), rules, tickets)


def api(desk: Desk, tickets: Tickets) -> FastAPI:
    """The routes over this desk, for whoever asks."""
    app = routes()
    app.state.desk, app.state.tickets = desk, tickets
    app.state.metrics = metrics.ServiceMetrics(desk)
    return app


def routes() -> FastAPI:
    """All routes, and how they refuse."""
    app = FastAPI(title="execution-status", version="0.1.0", description=DESCRIPTION, docs_url=None, redoc_url=None)
    problems.install(app)
    app.openapi = lambda: app.openapi_schema or _described(app)  # type: ignore[method-assign]
    for room in (health, metrics, explaining, access, reading, acting, streaming, pages):
        app.include_router(room.router)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    app.openapi_schema = describe(app)
    return app.openapi_schema

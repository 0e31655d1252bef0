"""The application: its routes, and what every answer has in common."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from workflows.service import access, acting, explaining, health, pages, problems, reading, streaming
from workflows.service.desk import Desk
from workflows.service.safety import Guard, Rules
from workflows.service.tickets import Tickets

DESCRIPTION = "What agents on Temporal are doing, and why they failed."


def application(desk: Desk, rules: Rules, tickets: Tickets | None = None) -> ASGIApp:
    """An ASGI application over this desk, which lets in whom the rules say."""
    tickets = tickets or Tickets()
    return Guard(api(desk, tickets), rules, tickets)


def api(desk: Desk, tickets: Tickets) -> FastAPI:
    """The routes, for whoever asks."""
    app = FastAPI(title="execution-status", version="0.1.0", description=DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.desk, app.state.tickets = desk, tickets
    problems.install(app)
    for room in (health, explaining, access, reading, acting, streaming, pages):
        app.include_router(room.router)
    return app

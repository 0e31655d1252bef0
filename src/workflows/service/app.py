"""The application: its routes, and what every answer has in common."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from workflows.service import acting, health, pages, problems, reading, streaming
from workflows.service.desk import Desk
from workflows.service.safety import Guard, Rules

DESCRIPTION = "What agents on Temporal are doing, and why they failed."


def application(desk: Desk, rules: Rules) -> ASGIApp:
    """An ASGI application over this desk, which lets in whom the rules say."""
    return Guard(api(desk), rules)


def api(desk: Desk) -> FastAPI:
    """The routes, for whoever asks."""
    app = FastAPI(title="execution-status", version="0.1.0", description=DESCRIPTION, openapi_url="/openapi.json")
    app.state.desk = desk
    problems.install(app)
    for room in (health, reading, acting, streaming, pages):
        app.include_router(room.router)
    return app

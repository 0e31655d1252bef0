"""The application: its routes, and what every answer has in common."""

from __future__ import annotations

from fastapi import FastAPI

from workflows.service import acting, health, problems, reading, streaming
from workflows.service.desk import Desk

DESCRIPTION = "What agents on Temporal are doing, and why they failed."


def application(desk: Desk) -> FastAPI:
    """An ASGI application over this desk."""
    app = FastAPI(title="execution-status", version="0.1.0", description=DESCRIPTION, openapi_url="/openapi.json")
    app.state.desk = desk
    problems.install(app)
    for room in (health, reading, acting, streaming):
        app.include_router(room.router)
    return app

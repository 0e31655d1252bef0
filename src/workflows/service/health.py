"""Whether the service lives, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from workflows.service.desk import AtDesk

router = APIRouter(tags=["service"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Ready(Alive):
    """The store answers."""

    events: int = Field(description="the store's last position")
    events_behind: int = Field(description="how many of them the query tables do not know yet")


@router.get("/healthz", operation_id="healthz", summary="Whether the process answers")
async def healthz() -> Alive:
    """Asks nobody else."""
    return Alive()


@router.get("/readyz", operation_id="readyz", summary="Whether the store answers")
async def readyz(desk: AtDesk) -> Ready:
    """503 while the store cannot be read."""
    lag = await desk.queries.lag()
    return Ready(events=lag.head, events_behind=lag.events)

"""Routes about who asks: whether a token is needed, what the one given is good for, and tickets for streams."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from workflows.service.tickets import Role, Tickets

router = APIRouter(prefix="/api", tags=["access"])


class Access(BaseModel):
    """What a visitor may do."""

    needs_token: bool = Field(description="whether the service asks for tokens")
    role: Role | None = Field(
        description="`operator` may do everything, `reader` may only read; null for whoever has given no valid token"
    )


class StreamTicket(BaseModel):
    """Opens streams for whoever cannot send a header."""

    ticket: str = Field(description="given as `?ticket=` to a stream, and nowhere else")
    expires_at: datetime = Field(description="until when a stream can be opened with it; what is open stays open")


@router.get("/access", operation_id="getAccess", summary="Whether a token is needed, and what this one is good for")
async def get_access(request: Request) -> Access:
    """Open to everybody: it is how a page finds out whether to ask for a token."""
    return Access(needs_token=request.state.needs_token, role=request.state.role)


@router.post("/tickets", operation_id="makeTicket", summary="Make a ticket for streams", status_code=201)
async def make_ticket(request: Request) -> StreamTicket:
    """A browser's EventSource sends no `Authorization`. It changes nothing, so a reader may ask for it, too."""
    tickets: Tickets = request.app.state.tickets
    made = tickets.make()
    return StreamTicket(ticket=made.text, expires_at=made.expires_at)

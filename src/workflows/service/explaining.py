"""Where the type of a problem leads: what it means, and what to do, for people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from workflows.service.problem_kinds import KINDS, explained

router = APIRouter(tags=["service"])


@router.get(
    "/problems/{name}",
    operation_id="explainProblem",
    summary="What a kind of problem means, and what to do",
    response_class=PlainTextResponse,
)
async def explain_problem(name: Annotated[str, Path(description="the last part of a problem's type")]) -> str:
    """For people, and open to everybody: it holds no data."""
    kind = KINDS.get(name)
    if kind is None:
        raise HTTPException(404)
    return explained(kind)

"""The page: static files of this package, the same for everybody. What it shows it asks of the API, as any client."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(__file__).parent / "page"
START: Final = "index.html"

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""What a browser lets the page do: nothing but files and answers of this service, and no script in a text."""

IfNoneMatch = Annotated[str | None, Header()]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    media_type: str
    tag: str


@router.api_route("/", methods=["GET", "HEAD"])
async def start(if_none_match: IfNoneMatch = None) -> Response:
    """The page itself; what it shows stands in the query."""
    return _answer(assets()[START], if_none_match)


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
async def asset(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """One of its files."""
    found = assets().get(name)
    if found is None:
        raise HTTPException(404)
    return _answer(found, if_none_match)


@cache
def assets() -> dict[str, Asset]:
    """All files of the page by name, read once: a name from outside never becomes a path."""
    return {path.name: _asset(path) for path in FOLDER.iterdir() if path.suffix in _TYPES}


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def _answer(asset: Asset, if_none_match: str | None) -> Response:
    # Asked about each time, so that all files are always of one version; the answer is mostly that nothing changed.
    headers = {"ETag": asset.tag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if asset.tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)

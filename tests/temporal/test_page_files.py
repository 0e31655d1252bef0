"""The page's files as the service sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.temporal.harness import Harness
from tests.temporal.http_service import asking, assert_problem
from workflows.service.pages import FOLDER
from workflows.service.safety import Rules

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
ADDRESSES = ["/", *(f"/assets/{path.name}" for path in sorted(FOLDER.iterdir()))]


@pytest.fixture(scope="module")
async def guarded(ship: Harness) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(ship, Rules(operator="open-sesame")) as client:
        yield client


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_file_is_sent_to_everybody_with_its_type_and_tag(guarded: httpx2.AsyncClient, address: str) -> None:
    answer = await guarded.get(address)
    suffix = ".html" if address == "/" else address[address.rindex(".") :]
    again = await guarded.get(address, headers={"If-None-Match": f'"other", {answer.headers["etag"]}'})
    head = await guarded.head(address)

    assert answer.status_code == 200 and answer.content
    assert answer.headers["content-type"].startswith(TYPES[suffix])
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-cache", "nosniff")
    assert (again.status_code, again.content) == (304, b"")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", answer.headers["etag"])


async def test_a_browser_lets_the_page_do_nothing_but_ask_this_service(guarded: httpx2.AsyncClient) -> None:
    policy = (await guarded.get("/")).headers["content-security-policy"].split("; ")

    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert not any("unsafe" in directive or "http" in directive for directive in policy)


@pytest.mark.parametrize("name", ["absent.js", "..%2fpages.py", "%2e%2e/pages.py", "..\\pages.py", "page", "%00"])
async def test_what_is_none_of_its_files_is_not_sent(guarded: httpx2.AsyncClient, name: str) -> None:
    answer = await guarded.get(f"/assets/{name}", headers={"Authorization": "Bearer open-sesame"})
    assert_problem(answer, 404, "no-such-address", "none of the service's")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_no_module_can_put_in_markup_or_run_a_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for means in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser"):
        assert means not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text

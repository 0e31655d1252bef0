"""Whatever agents say is shown as text: nothing runs, nothing is laid out by it, nothing is wider than the window."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page, expect

from projector.execution_status import ExecutionStatus
from tests.temporal.browsing import DESKTOP, PHONE, is_within_the_viewport, row, served, visiting
from tests.temporal.harness import Harness
from tests.temporal.page_texts import IMAGE, SCRIPT, TEXTS

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]


@pytest.fixture(scope="module")
async def parrot(quay: Harness) -> ExecutionStatus:
    long_id = "parrot-" + "x" * 193
    status = await quay.run(
        "tests.temporal.page_agents:parrots", json.dumps(TEXTS), execution_id=long_id, session_id="s" * 200
    )
    await quay.projected()
    return status


@pytest.fixture(scope="module")
async def address(quay: Harness) -> AsyncIterator[str]:
    async with served(quay) as address:
        yield address


async def assert_only_text(page: Page) -> None:
    """Nothing that the texts would make is there."""
    assert await is_within_the_viewport(page), page.url[:80]
    made = "main :is(script, iframe, img, b, [onerror], [onload], a[href^='javascript:'], [style*='fixed'])"
    assert await page.locator(made).count() == 0
    assert await page.locator("#main").count() == 1
    for link in await page.locator("main a").all():
        assert re.match(r"/(\?|$)", await link.get_attribute("href") or "")


@pytest.mark.parametrize("size", SIZES)
async def test_one_that_repeats_them_everywhere(
    browser: Browser, address: str, parrot: ExecutionStatus, size: tuple[int, int]
) -> None:
    async with visiting(browser, address, f"/?execution={parrot.execution_id}", size=size) as page:
        conversation = page.locator(".conversation")
        await expect(page.locator(".verdict")).to_contain_text(SCRIPT)
        await expect(conversation).to_contain_text(IMAGE)
        await assert_only_text(page)
        assert await conversation.locator(".turn-assistant .text").first.get_attribute("dir") == "auto"

        await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        await page.evaluate("document.querySelectorAll('button.more').forEach((each) => each.click())")
        await expect(page.locator(".events pre").first).to_contain_text("task_queue")
        await assert_only_text(page)
        await page.locator("svg.picture").screenshot()  # it can be drawn


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", ["/", "/?view=failures", "/?view=runners"])
async def test_the_tables(
    browser: Browser, address: str, parrot: ExecutionStatus, view: str, size: tuple[int, int]
) -> None:
    async with visiting(browser, address, view, size=size) as page:
        if view == "/":
            await expect(row(page, parrot.execution_id)).to_contain_text(SCRIPT)
        elif "failures" in view:
            await expect(page.get_by_text(SCRIPT).first).to_be_visible()
        else:
            await expect(page.locator(".runner").first).to_be_visible()
        await assert_only_text(page)


NAMES = ("execution", "session", "agent", "code", "phase", "cause", "after", "version", "view")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_an_address_that_asks_for_them(browser: Browser, address: str, text: str) -> None:
    async with visiting(browser, address) as page:
        for name in NAMES:
            await page.goto(f"/?{urlencode({name: text[:2000]})}")
            await expect(page.locator("main :is(.problem, .empty, .row, .table, .card)").first).to_be_attached()
            await assert_only_text(page)


async def test_control_characters_are_read_and_not_obeyed(browser: Browser, address: str) -> None:
    """The store holds none; the page does not rely on it."""
    async with visiting(browser, address) as page:
        shown = await page.evaluate(
            """async () => (await import("/assets/dom.js")).visible("\\u001b[31m \\u0000 \\u007f\\n")"""
        )
        assert shown == "\N{SYMBOL FOR ESCAPE}[31m \N{SYMBOL FOR NULL} \N{SYMBOL FOR DELETE}\n"

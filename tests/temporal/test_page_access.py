"""Tokens: the form, a wrong one, what a reader sees, and that none ever stands in an address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from projector.execution_status import ExecutionStatus
from tests.temporal.browsing import picture, row, served, visiting
from tests.temporal.harness import Harness
from workflows.service.safety import Rules

OPERATOR, READER = "open-sesame", "peep-hole"
RULES = Rules(operator=OPERATOR, reader=READER)


@pytest.fixture(scope="module")
async def aground(quay: Harness) -> ExecutionStatus:
    status = await quay.run("tests.temporal.page_agents:is_stranded", session_id="guarded")
    await quay.projected()
    return status


@pytest.fixture(scope="module")
async def address(quay: Harness) -> AsyncIterator[str]:
    async with served(quay, RULES) as address:
        yield address


async def test_the_page_asks_for_a_token_and_refuses_a_wrong_one(
    browser: Browser, address: str, aground: ExecutionStatus
) -> None:
    async with visiting(browser, address, "/?session=guarded") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await expect(page.get_by_role("heading", name="A token is needed")).to_be_visible()
        await picture(page, "token", height=520)
        await page.get_by_label("Token").fill("guess")
        await page.get_by_role("button", name="Enter").click()
        await expect(page.get_by_role("alert")).to_contain_text("does not know this token")
        await page.get_by_label("Token").fill(OPERATOR)
        await page.keyboard.press("Enter")
        await expect(row(page, aground.execution_id)).to_contain_text("Failed")
        await expect(page.locator("#connection")).to_have_text("live")

        assert any("ticket=" in url for url in asked)
        assert not any(OPERATOR in url or "guess" in url for url in asked)
        assert await page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0

        await page.reload()
        await expect(row(page, aground.execution_id)).to_contain_text("Failed")
        await page.get_by_role("button", name="Forget token").click()
        await expect(page.get_by_role("heading", name="A token is needed")).to_be_visible()
        await expect(page.locator(".row")).to_have_count(0)
        await page.reload()
        await expect(page.get_by_role("heading", name="A token is needed")).to_be_visible()


async def test_a_reader_sees_everything_and_nothing_that_acts(
    browser: Browser, address: str, aground: ExecutionStatus
) -> None:
    async with visiting(browser, address, f"/?execution={aground.execution_id}") as page:
        await page.get_by_label("Token").fill(READER)
        await page.keyboard.press("Enter")
        await expect(page.locator(".verdict")).to_contain_text("the tide has gone out")
        await expect(page.locator("#connection")).to_have_text("complete")
        await expect(page.get_by_role("button", name="Retry")).to_have_count(0)
        await page.get_by_role("link", name="Failures").click()
        await expect(page.get_by_text("the tide has gone out").first).to_be_visible()
        await expect(page.get_by_role("link", name="Executions: E401").first).to_be_visible()
        await expect(page.get_by_role("button", name="Retry")).to_have_count(0)


async def test_a_token_that_is_no_longer_right_is_asked_for_again(
    browser: Browser, address: str, aground: ExecutionStatus
) -> None:
    async with visiting(browser, address) as page:
        await expect(page.get_by_role("heading", name="A token is needed")).to_be_visible()
        await page.evaluate("sessionStorage.setItem('execution-status-token', 'yesterday’s')")
        await page.reload()
        await expect(page.get_by_role("alert")).to_contain_text("no longer accepted")

"""The page for everybody: axe-core, keys alone, a phone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files

import pytest
from playwright.async_api import Browser, Page, expect

from projector.execution_status import ExecutionStatus
from tests.temporal.browsing import PHONE, is_within_the_viewport, picture, row, served, visiting
from tests.temporal.harness import Harness

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
async def failed(quay: Harness) -> ExecutionStatus:
    status = await quay.run("tests.temporal.page_agents:is_stranded", "over the bank", session_id="for-everybody")
    await quay.run("tests.temporal.page_agents:charts", session_id="for-everybody")
    await quay.projected()
    return status


@pytest.fixture(scope="module")
async def address(quay: Harness) -> AsyncIterator[str]:
    async with served(quay) as address:
        yield address


async def findings(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    await page.evaluate(AXE)
    found: list[str] = await page.evaluate(
        """async () => (await axe.run()).violations.filter((each) => ["serious", "critical"].includes(each.impact))
            .map((each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`)"""
    )
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_axe_finds_nothing_serious(browser: Browser, address: str, failed: ExecutionStatus, dark: bool) -> None:
    one = f"/?execution={failed.execution_id}"
    views = {
        "/": ".executions .rows .row",
        "/?session=nobody": ".empty",
        "/?view=failures": ".groups .rows .row",
        "/?view=runners": ".runner",
        one: ".events li",
        f"{one}&version=4": ".past:not(.waiting) .events li",
        "/?execution=absent": ".problem",
    }
    async with visiting(browser, address, dark=dark) as page:
        for view, part in views.items():
            await page.goto(view)
            await expect(page.locator(part).first).to_be_visible()
            assert await findings(page) == [], view
        if dark:
            await page.goto(one)
            await expect(page.locator(".events li").first).to_be_visible()
            await picture(page, "dark", height=1240)
        await page.goto("/?view=failures")
        await page.get_by_role("button", name="Retry").first.click()
        await expect(page.locator("dialog :is(.found, p)").first).to_be_visible()
        assert await findings(page) == []


async def test_it_is_used_by_keys_alone(browser: Browser, address: str, failed: ExecutionStatus) -> None:
    async def tab_to(name: str) -> None:
        for _ in range(60):
            await page.keyboard.press("Tab")
            if name in await page.evaluate("document.activeElement.textContent + document.activeElement.ariaLabel"):
                outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", name
                return
        raise AssertionError(f"{name} cannot be reached")

    async with visiting(browser, address, "/?session=for-everybody") as page:
        await expect(row(page, failed.execution_id)).to_be_visible()
        await tab_to(failed.execution_id)
        await page.keyboard.press("Enter")
        await expect(page.locator(".verdict")).to_contain_text("E401")
        await tab_to("Retry…")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await tab_to("Event")
        await page.keyboard.press("ArrowLeft")
        await expect(page.locator(".as-of")).to_contain_text("As of event")


async def test_it_fits_a_phone(browser: Browser, address: str, failed: ExecutionStatus) -> None:
    async with visiting(browser, address, "/?session=for-everybody", size=PHONE) as page:
        await expect(row(page, failed.execution_id)).to_be_visible()
        assert await is_within_the_viewport(page)
        await picture(page, "phone-list")
        await row(page, failed.execution_id).get_by_role("link", name=failed.execution_id).click()
        await expect(page.locator(".verdict")).to_contain_text("E401")
        await expect(page.locator(".events li").first).to_be_attached()
        assert await is_within_the_viewport(page)
        await picture(page, "phone-execution")
        for view in ("failures", "runners"):
            await page.goto(f"/?view={view}")
            await expect(page.locator("main :is(.groups .row, .runner)").first).to_be_attached()
            assert await is_within_the_viewport(page)


async def test_an_installation_without_executions_says_how_to_begin(quay: Harness, browser: Browser) -> None:
    async with (
        quay.beside("maiden", lock_timeout=5.0, orchestrated=False) as empty,
        served(empty) as address,
        visiting(browser, address) as page,
    ):
        await expect(page.get_by_text("No executions yet")).to_be_visible()
        await expect(page.get_by_text("execution-status start --agent")).to_be_visible()

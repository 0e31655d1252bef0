"""The page with much to show: a history of 100,000 events, and a store that takes thousands of events a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from playwright.async_api import Browser, expect

from projector.envelope import execution_stream
from projector.events import MessageAppended
from tests.fleet import set_sail
from tests.histories import ATTEMPT, AWAITED, REQUESTED, STARTED, THREAD, failed, news
from tests.temporal.browsing import projecting, served, visiting
from tests.temporal.harness import Harness

LENGTH = 100_000
LONG = "long-haul"


@pytest.fixture(scope="module")
async def deep(bare: Harness) -> AsyncIterator[Harness]:
    """A store that nobody else writes to."""
    async with bare.beside("deep-water", lock_timeout=5.0, orchestrated=False) as harness:
        with projecting(harness):
            yield harness


@pytest.fixture(scope="module")
async def long(deep: Harness) -> str:
    begun = (REQUESTED, STARTED, AWAITED, THREAD, ATTEMPT)
    said = [MessageAppended(role="assistant", text=f"fathom {number}") for number in range(LENGTH - len(begun) - 1)]
    events = news(*begun, *said, failed())
    for first in range(0, LENGTH, 5000):
        await asyncio.to_thread(deep.store.append, execution_stream(LONG), events[first : first + 5000])
    await deep.projected()
    return LONG


async def test_a_hundred_thousand_events_are_shown_in_windows(deep: Harness, browser: Browser, long: str) -> None:
    async with served(deep) as address, visiting(browser, address, f"/?execution={long}") as page:
        await expect(page.locator(".verdict")).to_contain_text("E401")
        await expect(page.locator(".pager")).to_contain_text("99,501 – 100,000 of 100,000")
        await page.get_by_role("slider").focus()
        await page.keyboard.press("Home")
        await expect(page.locator(".as-of")).to_contain_text("As of event 1 of 100,000")
        await expect(page.locator(".verdict")).to_contain_text("Pending")
        await expect(page.locator(".pager")).to_contain_text("1 – 500 of 100,000")
        await page.get_by_role("button", name="Later").click()
        await expect(page.locator(".pager")).to_contain_text("501 – 1,000 of 100,000")
        await page.get_by_role("button", name="Show event 750", exact=True).last.click()
        await expect(page.locator(".as-of")).to_contain_text("As of event 750 of 100,000MessageAppended")
        await expect(page.locator(".verdict blockquote")).to_contain_text("fathom 744")
        assert await page.evaluate("document.getElementsByTagName('*').length") < 20_000


async def test_a_storm_of_events_leaves_the_list_right_and_bounded(deep: Harness, browser: Browser) -> None:
    async with (
        served(deep) as address,
        httpx2.AsyncClient(base_url=address, timeout=20) as client,
        visiting(browser, address) as page,
    ):
        await expect(page.locator("#connection")).to_have_text("live")
        for squall in range(8):
            await asyncio.to_thread(set_sail, deep.store, times=40, prefix=f"squall-{squall}-")
        await page.get_by_role("link", name="Runners").click()
        await expect(page.locator(".runner").first).to_be_visible()
        await page.get_by_role("link", name="Executions").click()
        await deep.projected()
        await asyncio.to_thread(set_sail, deep.store, times=40, prefix="last-squall-")
        await deep.projected()
        wanted = [each["execution_id"] for each in (await client.get("/api/executions?limit=100")).json()["items"]]
        await page.wait_for_function(
            """(wanted) => {
              const rows = [...document.querySelectorAll(".executions .rows .row")];
              return rows.length === wanted.length && rows.every((row, at) => row.dataset.execution === wanted[at]);
            }""",
            arg=wanted,
        )
        await expect(page.locator(".foot")).to_contain_text("100 executions so far")
        await page.get_by_role("button", name="Load more").click()
        await expect(page.locator(".executions .rows .row")).to_have_count(200)

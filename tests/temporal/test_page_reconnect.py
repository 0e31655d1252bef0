"""The page while the service goes away and comes back: it says so, and misses nothing."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from playwright.async_api import Browser, Route, expect

from projector.events import ToolCallStarted
from tests.temporal.browsing import row, served, visiting
from tests.temporal.harness import Harness
from tests.temporal.page_agents import ASKED, sign_for

AGENTS = "tests.temporal.page_agents"


async def test_a_list_says_that_it_is_alone_and_catches_up(quay: Harness, browser: Browser) -> None:
    first = await quay.start(f"{AGENTS}:pumps", ASKED, session_id="adrift")
    await quay.until_event(first, ToolCallStarted)
    async with served(quay) as address:
        visit = visiting(browser, address, "/?session=adrift")
        page = await visit.__aenter__()
        await expect(row(page, first)).to_contain_text("In progress")
        await expect(page.locator("#connection")).to_have_text("live")
    try:
        await expect(page.locator("#connection")).to_contain_text("the service cannot be reached since")
        assert re.search(r"since \d\d:\d\d:\d\d", await page.locator("#connection").inner_text())
        sign_for(quay.folder, first).touch()
        second = await quay.run(f"{AGENTS}:charts", session_id="adrift")
        await quay.end(first)
        await expect(row(page, first)).to_contain_text("In progress")
        async with served(quay, port=urlsplit(address).port or 0):
            await expect(page.locator("#connection")).to_have_text("live")
            await expect(row(page, first)).to_contain_text("Failed")
            await expect(row(page, second.execution_id)).to_contain_text("Completed")
    finally:
        await visit.__aexit__(None, None, None)


async def test_one_execution_is_followed_across_a_restart(quay: Harness, browser: Browser) -> None:
    execution_id = await quay.start(f"{AGENTS}:pumps", ASKED)
    await quay.until_event(execution_id, ToolCallStarted)
    async with served(quay) as address:
        visit = visiting(browser, address, f"/?execution={execution_id}")
        page = await visit.__aenter__()
        await expect(page.locator(".verdict")).to_contain_text("In progress")
        await expect(page.locator("#connection")).to_have_text("live")
    try:
        await expect(page.locator("#connection")).to_contain_text("cannot be reached")
        sign_for(quay.folder, execution_id).touch()
        status = await quay.end(execution_id)
        async with served(quay, port=urlsplit(address).port or 0):
            await expect(page.locator(".verdict")).to_contain_text("the pump is clogged")
            await expect(page.locator("#connection")).to_have_text("complete")
            await expect(page.locator(".events > li")).to_have_count(status.version)
    finally:
        await visit.__aexit__(None, None, None)


async def test_what_another_store_said_is_forgotten(quay: Harness, browser: Browser) -> None:
    """A service that says `resync`: the list is read anew."""
    shown = (await quay.run(f"{AGENTS}:charts", session_id="resynced")).execution_id
    await quay.projected()
    asked: list[str] = []

    async def once(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            said = json.dumps({"detail": "it comes from another store", "position": 1})
            await route.fulfill(content_type="text/event-stream", body=f"id: 1\nevent: resync\ndata: {said}\n\n")
        else:
            await route.continue_()

    async with served(quay) as address, visiting(browser, address, "/?view=runners") as page:
        await page.route("**/api/stream**", once)
        await page.goto("/?session=resynced")
        await expect(row(page, shown)).to_contain_text("Completed")
        await expect(page.locator("#connection")).to_have_text("live")
        assert len(asked) >= 2 and "after=" not in asked[1]


async def test_a_list_waits_for_query_tables_that_are_behind(quay: Harness, browser: Browser) -> None:
    """What the query tables do not know yet when the stream begins is read when they have reached it."""
    hidden = (await quay.run(f"{AGENTS}:charts", session_id="behind")).execution_id
    await quay.projected()
    answers = 0

    async def behind(route: Route) -> None:
        nonlocal answers
        answers += 1
        if answers == 1:
            await route.fulfill(json={"items": [], "next": None, "events_behind": 12})
        else:
            await route.continue_()

    async with served(quay) as address, visiting(browser, address, "/?view=runners") as page:
        await page.route("**/api/executions?**", behind)
        await page.goto("/?session=behind")
        await expect(row(page, hidden)).to_contain_text("Completed")
        assert answers >= 2


async def test_it_says_how_far_the_lists_are_behind(quay: Harness, browser: Browser) -> None:
    async def behind(route: Route) -> None:
        await route.fulfill(json={"status": "ok", "events": 100, "events_behind": 7})

    async with served(quay) as address, visiting(browser, address, "/?view=runners") as page:
        await page.route("**/readyz", behind)
        await expect(page.locator("#connection")).to_contain_text("lists are 7 events behind")

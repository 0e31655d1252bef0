"""The page as somebody uses it who waits for an agent: what happened, why, how it came to that, and once more."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from projector.execution_status import ExecutionStatus, Phase
from tests.temporal.browsing import picture, row, served, visiting
from tests.temporal.harness import Harness
from tests.temporal.page_agents import ASKED, sign_for

AGENTS = "tests.temporal.page_agents"


@pytest.fixture(scope="module")
async def grounded(quay: Harness) -> list[ExecutionStatus]:
    """Three failures of one cause, and one that completed."""
    failed = [await quay.run(f"{AGENTS}:runs_aground", session_id="the-short-way") for _ in range(3)]
    await quay.run(f"{AGENTS}:charts", "Chart the bank.", session_id="the-short-way")
    await quay.projected()
    return failed


async def drag(page: Page, slider: Locator, part: float) -> None:
    """Take the slider's thumb, which is at the end, to a part of its length."""
    box = await slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] - 8, middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=3)
    await page.mouse.move(box["x"] + box["width"] * part, middle, steps=3)
    await page.mouse.up()


async def test_an_execution_is_watched_from_request_to_verdict(
    quay: Harness, browser: Browser, grounded: list[ExecutionStatus]
) -> None:
    async with served(quay) as address, visiting(browser, address) as page:
        await expect(page.locator("#connection")).to_have_text("live")
        await page.evaluate("window.isSamePage = true")
        execution_id = await quay.start(f"{AGENTS}:pumps", ASKED, queue="dry-dock", session_id="bilge")
        await expect(row(page, execution_id)).to_contain_text("Pending")
        await expect(row(page, execution_id)).to_contain_text("waiting for runner")
        async with quay.runner(f"{AGENTS}:pumps", queue="dry-dock"):
            await expect(row(page, execution_id)).to_contain_text("In progress")
            await expect(row(page, execution_id)).to_contain_text("bilge_pump")
            await picture(page, "list")
            await row(page, execution_id).get_by_role("link", name=execution_id).click()
            verdict = page.locator(".verdict")
            await expect(verdict).to_contain_text("Using bilge_pump")
            await expect(page.locator(".mark-heartbeat").first).to_be_attached()
            await picture(page, "in-progress", height=960)
            sign_for(quay.folder, execution_id).touch()
            await expect(verdict).to_contain_text("RuntimeError: the pump is clogged")
            await expect(verdict).to_contain_text("KeyError: 'gasket'")
            await expect(verdict).to_contain_text("What to do")
        await expect(page.locator("#connection")).to_have_text("complete")
        assert await page.evaluate("window.isSamePage")
        await expect(page.locator(".events li").last).to_contain_text("ExecutionFailed")
        await picture(page, "execution", height=1240)
        await verdict.locator("summary").click()
        await expect(verdict.locator("pre")).to_contain_text("page_agents.py")
        await page.get_by_role("link", name="Executions").click()
        await expect(row(page, execution_id)).to_contain_text("the pump is clogged")
        await page.go_back()
        await expect(page.get_by_role("heading", name=execution_id)).to_be_visible()


async def test_the_past_is_shown_by_pointer_and_by_keys(quay: Harness, browser: Browser) -> None:
    sign_for(quay.folder, "pumped-dry").touch()
    failed = await quay.run(f"{AGENTS}:pumps", ASKED, execution_id="pumped-dry")
    last, verdict_at = failed.version, f"/?execution={failed.execution_id}"
    async with served(quay) as address, visiting(browser, address, verdict_at) as page:
        verdict, slider, as_of = page.locator(".verdict"), page.get_by_role("slider"), page.locator(".as-of")
        await expect(verdict).to_contain_text("E401")
        await drag(page, slider, 0.62)
        await expect(as_of).to_contain_text(re.compile(rf"As of event \d+ of {last}"))
        await expect(verdict).to_contain_text("In progress")
        await expect(page.locator(".facts").get_by_text("Ended")).to_be_hidden()
        await picture(page, "past", height=1180)
        await slider.focus()
        await page.keyboard.press("Home")
        await expect(as_of).to_contain_text(f"As of event 1 of {last}ExecutionRequested")
        await expect(verdict).to_contain_text("Pending")
        await expect(page.locator(".conversation > li:visible")).to_have_count(1)
        await page.keyboard.press("PageUp")
        await expect(as_of).to_contain_text(f"As of event 11 of {last}")
        await expect(verdict).to_contain_text("In progress")
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("ArrowRight")
        await expect(as_of).to_contain_text(f"As of event 10 of {last}")
        assert page.url.endswith(f"{verdict_at}&version=10")
        await page.reload()
        await expect(as_of).to_contain_text(f"As of event 10 of {last}")
        await expect(verdict).to_contain_text("In progress")
        await page.get_by_role("button", name="Back to the end").click()
        await expect(verdict).to_contain_text("E401")
        await page.get_by_role("button", name="Show event 7").first.click()
        await expect(as_of).to_contain_text(f"As of event 7 of {last}")
        await page.get_by_role("slider").press("End")
        await expect(as_of).to_contain_text(f"As it is now: event {last} of {last}")


async def test_the_list_is_filtered_by_what_stands_in_the_address(
    quay: Harness, browser: Browser, grounded: list[ExecutionStatus]
) -> None:
    async with served(quay) as address, visiting(browser, address, "/?session=the-short-way") as page:
        rows = page.locator(".executions .rows .row")
        await expect(rows).to_have_count(4)
        await page.get_by_label("Code").select_option("E401")
        await expect(rows).to_have_count(3)
        assert "session=the-short-way" in page.url and "code=E401" in page.url
        await page.go_back()
        await expect(rows).to_have_count(4)
        await page.get_by_role("navigation", name="Phase").get_by_role("link", name="Completed").click()
        await expect(rows).to_have_count(1)
        await page.reload()
        await expect(rows).to_have_count(1)
        await page.get_by_label("Agent").fill("no.such:agent")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("No execution matches these filters")).to_be_visible()
        await page.get_by_role("link", name="Clear filters").click()
        await expect(page.get_by_label("Session")).to_have_value("")
        await expect(row(page, grounded[0].execution_id)).to_be_visible()


async def test_an_execution_leaves_a_list_that_it_no_longer_fits(quay: Harness, browser: Browser) -> None:
    async with served(quay) as address, visiting(browser, address, "/?phase=IN_PROGRESS&session=pumping") as page:
        await expect(page.locator("#connection")).to_have_text("live")
        execution_id = await quay.start(f"{AGENTS}:pumps", ASKED, session_id="pumping")
        await expect(row(page, execution_id)).to_contain_text("bilge_pump")
        sign_for(quay.folder, execution_id).touch()
        await expect(row(page, execution_id)).to_have_count(0)


async def test_a_group_of_failures_is_followed_and_run_again(
    quay: Harness, browser: Browser, grounded: list[ExecutionStatus]
) -> None:
    async with served(quay) as address, visiting(browser, address, "/?view=failures") as page:
        group = page.locator(".groups .rows .row", has_text="the draught is deeper than the water")
        await expect(group.locator(".cell-count")).to_have_text("3")
        await picture(page, "failures", height=420)
        await group.get_by_role("link", name="Executions").click()
        rows = page.locator(".executions .rows .row")
        await expect(rows).to_have_count(3)
        assert "cause=" in page.url
        await page.go_back()

        await group.get_by_role("button", name="Retry").click()
        dialog = page.get_by_role("dialog")
        for each in grounded:
            await expect(dialog).to_contain_text(each.execution_id)
        await expect(dialog.get_by_role("alert")).to_contain_text("Their agents had begun")
        assert (await quay.status(grounded[0].execution_id)).retried_as is None
        await picture(page, "retry", height=640)
        await dialog.get_by_role("button", name="Retry 3 executions").click()
        await expect(dialog).to_contain_text("3 new executions started")
        retried = [(await quay.status(each.execution_id)).retried_as for each in grounded]
        assert None not in retried and len(set(retried)) == 3
        await dialog.get_by_role("link", name=retried[0], exact=True).click()
        await expect(page.get_by_role("heading", name=retried[0])).to_be_visible()
        await expect(page.locator(".verdict")).to_contain_text(f"Repeats {grounded[0].execution_id}")
        await asyncio.gather(*(quay.end(each) for each in retried if each))
        await page.get_by_role("link", name="Failures").click()
        await expect(group.locator(".cell-count")).to_have_text("6")


async def test_one_is_cancelled_and_run_again(quay: Harness, browser: Browser) -> None:
    execution_id = await quay.start(f"{AGENTS}:pumps", ASKED)
    await quay.until(execution_id, lambda change: change.status.phase is Phase.IN_PROGRESS)
    async with served(quay) as address, visiting(browser, address, f"/?execution={execution_id}") as page:
        await page.get_by_role("button", name="Cancel…").click()
        await page.get_by_label("Reason").fill("the bilge is dry")
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.locator(".verdict")).to_contain_text("Cancelled")
        await expect(page.locator(".verdict")).to_contain_text("the bilge is dry")
        await page.get_by_role("button", name="Retry…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Retry", exact=True).click()
        await expect(page.locator(".verdict")).to_contain_text(f"Repeats {execution_id}")
        again = (await quay.status(execution_id)).retried_as
        assert again is not None
        await quay.executions.cancel(again)
        await expect(page.locator(".verdict")).to_contain_text("Cancelled")


async def test_runners_are_told(quay: Harness, browser: Browser) -> None:
    async with (
        served(quay) as address,
        visiting(browser, address, "/?view=runners") as page,
        quay.starting_runner("tests.temporal.page_agents:absent", queue="lee"),
    ):
        ready = page.locator(".runner", has_text="quay-side-agents")
        await expect(ready).to_contain_text("ready")
        await expect(ready).to_contain_text("tests.temporal.page_agents:charts")
        broken = page.locator(".runner", has_text="absent")
        await expect(broken.locator(".problem")).to_contain_text("startup failed at")
        await expect(broken.locator(".problem")).to_contain_text("has no attribute 'absent'")

"""A real browser that looks at the page of a service on a real socket.

With EXECUTION_STATUS_SCREENSHOTS=docs/images the tests of the page leave pictures for `docs/page.md` there.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from projector.opening import hygiene_from_environment
from projector.projecting.projection_runner import ProjectionRunner
from tests.temporal.harness import Harness
from workflows.service.desk import desk
from workflows.service.safety import Rules
from workflows.service.serving import serving

PATIENCE: Final = 30_000
"""Milliseconds for which a browser on a busy machine is waited for; what is there is seen at once."""
CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PICTURES: Final = os.environ.get("EXECUTION_STATUS_SCREENSHOTS")  # read before the tests hide all such settings
DESKTOP: Final = (1280, 860)
PHONE: Final = (390, 844)

expect.set_options(timeout=PATIENCE)

WATCHMAN: Final = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
    });
"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser for the length of the block; a test without one is skipped."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: `apt install chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def served(harness: Harness, rules: Rules | None = None, port: int = 0) -> AsyncIterator[str]:
    """The address of a service that runs for the length of the block."""
    async with (
        desk(harness.settings, harness.store, hygiene_from_environment(), harness.executions) as made,
        serving(made, port=port, rules=rules) as address,
    ):
        yield address


@contextmanager
def projecting(harness: Harness) -> Iterator[None]:
    """A projector of a store beside the installation's own."""
    stopping = threading.Event()
    runner = ProjectionRunner(harness.store, harness.store.database)
    thread = threading.Thread(target=runner.run, args=(stopping,), kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)


@asynccontextmanager
async def visiting(
    browser: Browser, address: str, path: str = "/", *, size: tuple[int, int] = DESKTOP, dark: bool = False
) -> AsyncIterator[Page]:
    """The page as a visitor of his own opens it. No script may fail, no dialog may open, no policy be violated."""
    context = await browser.new_context(
        base_url=address,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    context.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    try:
        await context.add_init_script(WATCHMAN)
        page = await context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"a script failed: {error}"))
        page.on("dialog", lambda dialog: troubles.append(f"a dialog opened: {dialog.message}"))
        await page.goto(path)
        yield page
        troubles += await page.evaluate("window.violations")
        assert troubles == []
    finally:
        await context.close()


async def is_within_the_viewport(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    found: bool = await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return found


async def picture(page: Page, name: str, height: int = DESKTOP[1]) -> None:
    """A screenshot into the folder that EXECUTION_STATUS_SCREENSHOTS names, if it names one."""
    if PICTURES:
        width = await page.evaluate("innerWidth")
        await page.set_viewport_size({"width": width, "height": height})
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", animations="disabled")


def row(page: Page, execution_id: str) -> Any:
    """The row of an execution in the list."""
    return page.locator(f'[data-execution="{execution_id}"]')

"""A person with a browser before the console: Debian's Chromium, driven by Playwright, and what axe finds on a page."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.kit.waiting import PATIENCE_SECONDS

WIDE: Final[dict[str, Any]] = {"viewport": {"width": 1600, "height": 900}, "color_scheme": "light"}
NARROW: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
_GRAVE: Final = ("serious", "critical")
_axe: Final = Axe()


def chromium() -> str | None:
    """Where the Chromium is that TEST_CHROMIUM names, or that is installed; None: there is none."""
    return os.environ.get("TEST_CHROMIUM") or shutil.which("chromium")


@asynccontextmanager
async def a_browser(executable: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable)
        yield browser
        await browser.close()


@asynccontextmanager
async def before(browser: Browser, console: str, **how: Any) -> AsyncIterator[Page]:  # noqa: ANN401
    """A window before a console, as somebody else than all before; `how` as of Playwright's new_context.

    At the end nothing may have been asked of another host, failed in a script, or been kept by the browser from
    running or loading.
    """
    wrong: list[str] = []

    def requested(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(console).netloc:
            wrong.append(f"asked of another host: {request.url}")

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource: the server responded"):
            wrong.append(message.text)

    context = await browser.new_context(base_url=console, **how)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = await context.new_page()
    page.on("request", requested)
    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    await context.close()
    assert not wrong


async def faults_of(page: Page) -> list[str]:
    """What axe finds serious or critical on the page that is open, with where it is."""
    found = (await _axe.run(page)).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html']}: {node['failureSummary']}"
        for one in found
        if one["impact"] in _GRAVE
        for node in one["nodes"]
    ]


async def width_of(page: Page) -> int:
    """How wide the page is, in pixels: more than its window, if it has to be moved sideways."""
    width: int = await page.evaluate("document.scrollingElement.scrollWidth")
    return width

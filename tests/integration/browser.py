"""A browser for a test: Debian's Chromium, headless, driven over its DevTools protocol."""

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.integration.house import LIMIT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
"""Root has no sandbox, a container a small `/dev/shm`."""


@asynccontextmanager
async def browsing() -> AsyncGenerator[Browser]:
    """Open the browser."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), env={**env}, timeout=LIMIT * 2000
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(browser: Browser, **how: Any) -> AsyncGenerator[Page]:
    """Open a window of its own; what its page logs as an error fails the test."""
    window = await browser.new_context(**how)
    window.set_default_timeout(LIMIT * 1000)
    page = await window.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"a dialog opened: {dialog.message}"))
    try:
        yield page
    finally:
        await window.close()
    assert errors == []

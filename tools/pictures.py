"""`make pictures`: docs/pictures, of every page in a headless Chromium: light, dark, on a phone, in Chinese."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import uvicorn
from playwright.async_api import Browser, async_playwright

from omni_mcp.app.face import running_face
from omni_mcp.faces.web.keys import Keys
from omni_mcp.faces.web.site import Site
from omni_mcp.faces.web.where import address, new_link
from omni_mcp.home import Home
from omni_mcp.keeper import EngineInside
from tools.stage import staged

FOLDER = Path(__file__).parents[1] / "docs/pictures"
DESK, PHONE = (1280, 1000), (390, 844)
COMPRESS = ("convert", "+dither", "-colors", "128", "-depth", "8", "-strip")
"""ImageMagick's; flat colours lose nothing by it."""
SHOTS: Sequence[tuple[str, str, str, tuple[int, int], str]] = (
    ("now-light", "/web/", "light", DESK, "en"),
    ("now-dark", "/web/", "dark", DESK, "en"),
    ("now-phone", "/web/", "light", PHONE, "zh-CN"),
    ("tasks-light", "/web/tasks", "light", DESK, "en"),
    ("tasks-dark", "/web/tasks", "dark", DESK, "zh-CN"),
    ("tasks-phone", "/web/tasks", "dark", PHONE, "en"),
    ("task-light", "/web/tasks/{task}", "light", DESK, "en"),
    ("task-dark", "/web/tasks/{task}", "dark", DESK, "en"),
    ("task-phone", "/web/tasks/{task}", "light", PHONE, "en"),
    ("new-light", "/web/new", "light", DESK, "en"),
    ("new-dark", "/web/new", "dark", DESK, "en"),
    ("new-phone", "/web/new", "light", PHONE, "zh-CN"),
    ("costs-light", "/web/costs", "light", DESK, "en"),
    ("costs-dark", "/web/costs", "dark", DESK, "en"),
    ("costs-phone", "/web/costs", "dark", PHONE, "en"),
    ("outages-light", "/web/outages", "light", DESK, "en"),
    ("outages-dark", "/web/outages", "dark", DESK, "en"),
    ("outages-phone", "/web/outages", "light", PHONE, "zh-CN"),
)
"""Name, page, colours, size of the screen and language of each."""


PAGES = tuple(dict.fromkeys(path for _, path, *_ in SHOTS))


@asynccontextmanager
async def served(home: Home) -> AsyncGenerator[tuple[str, Callable[[], str]]]:
    """Serve the page of a home on a free port of loopback; yields its address, and what makes links into it."""
    async with running_face(home, watch=False) as service:
        still = replace(service, engines=EngineInside())
        config = uvicorn.Config(
            Site(lambda: still, Keys(home.page_keys)), port=0, lifespan="off", log_level="warning",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
                await anyio.sleep(0.02)
            at = address("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
            yield at, partial(new_link, home, at)
            server.should_exit = True


async def shoot(browser: Browser, at: str, link: Callable[[], str], task: str, only: Sequence[str]) -> None:
    """Take every picture, and keep it small."""
    for name, path, colours, (width, height), language in SHOTS:
        if only and not name.startswith(tuple(only)):
            continue
        seen = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if colours == "dark" else "light",
            locale=language,
            device_scale_factor=1 if width > PHONE[0] else 1.5,
            reduced_motion="reduce",
        )
        page = await seen.new_page()
        await page.goto(link())
        await page.wait_for_url("**/web/")
        await page.goto(at + path.format(task=task))
        file = FOLDER / f"{name}.png"
        await page.screenshot(path=file)
        await seen.close()
        await anyio.run_process([COMPRESS[0], str(file), *COMPRESS[1:], f"PNG8:{file}"])


async def main(only: Sequence[str]) -> None:
    """Stage a week, then look at it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        async with staged(home) as task, served(home) as (at, link), async_playwright() as chrome:
            browser = await chrome.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            await shoot(browser, at, link, task, only)
            await browser.close()


if __name__ == "__main__":
    import sys

    anyio.run(main, sys.argv[1:])

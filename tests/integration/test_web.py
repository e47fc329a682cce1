"""The web page in a real Chromium: over a real engine and a stub cloud, and every page of a staged week."""

import json
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Page, expect

from omni_mcp.demo.cloud import running_cloud
from omni_mcp.home import Home
from tests.forkserver import command
from tests.integration.browser import CHROMIUM, browsing, looking
from tests.integration.house import LIMIT, STUBS, House, free_port, house, until
from tests.integration.test_claude_code import script
from tests.integration.test_costs import bill_of, directly
from tests.integration.test_webhooks import serving
from tools.pictures import PAGES, served
from tools.stage import staged

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
CHROME = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
expect.set_options(timeout=LIMIT * 2 * 1000)


@asynccontextmanager
async def dashboard(here: House) -> AsyncGenerator[str]:
    """Run `omni-mcp dashboard`; yields the link that it prints."""
    argv = command("dashboard", "--no-open", "--port", str(free_port()))
    with (here.home.root / "dashboard.log").open("ab") as log:
        async with await anyio.open_process(argv, env=here.env, stdout=log, stderr=log) as process:
            try:
                yield await _printed(here.home.root / "dashboard.log")
            finally:
                process.terminate()
                with anyio.CancelScope(shield=True):
                    await process.wait()


async def _printed(log: Path) -> str:
    return (await until(lambda: re.search(r"http\S+#\S+", log.read_text()), limit=LIMIT * 3))[0]


async def submit(page: Page, description: str, **chosen: str) -> None:
    """Hand off a task by the form; the page of the task is shown then."""
    await page.get_by_role("link", name="New task").click()
    await page.get_by_label("What is to be done").fill(description)
    for name, value in chosen.items():
        await page.get_by_label(name, exact=True).fill(value)
    await page.get_by_role("button", name="Hand it off").click()
    await page.wait_for_url(re.compile(r"/web/tasks/\w{24}$"))


async def stands(page: Page, state: str) -> None:
    """Wait until the page shows a state, which nobody loads anew."""
    await expect(page.locator("#head .pill")).to_have_text(state)


@CHROME
async def test_a_person_submits_watches_answers_cancels_and_sees_the_bill(tmp_path: Path) -> None:
    async with house(tmp_path) as here, running_cloud() as cloud, browsing() as browser:
        asker = {"command": sys.executable, "args": [str(STUBS / "asking_server.py")], "tool": "ask"}
        executors = {
            "assistant": {"preset": "assistant", "handles": ["general"]},
            "bench": here.workshop("until", argument="path", recovery="retry"),
            "asker": {**asker, "arguments": {"text": "{description}"}, "handles": ["ask"], "protocol": "legacy"},
        }
        here.configure(executors=executors, **directly(cloud), limits={"daily_usd": 5})
        await here.cli("mode", "--set", "degraded")
        async with dashboard(here) as link, looking(browser) as page:
            await page.goto(link)
            await expect(page.locator("#mode h2")).to_have_text("degraded")
            assert "#" not in page.url

            await submit(page, f"{HOSTILE} {script({'text': HOSTILE})}", type="general")
            await stands(page, "completed")
            await expect(page.locator("#result .result")).to_have_text(HOSTILE)
            await expect(page.locator("#head .asked")).to_contain_text(HOSTILE)

            await submit(page, str(tmp_path / "word"), type="until")
            await stands(page, "executing")
            await expect(page.locator("#head .progress")).to_have_text("waiting for a word")
            (tmp_path / "word").touch()
            await stands(page, "completed")

            await submit(page, f"which one {HOSTILE}", type="ask")
            await expect(page.locator("#questions blockquote")).to_contain_text(HOSTILE)
            await page.get_by_label("B", exact=True).check()
            await page.get_by_role("button", name="Answer").click()
            await stands(page, "completed")
            await expect(page.locator("#result .result")).to_have_text("accept {'which': 'B'}")

            await submit(page, str(tmp_path / "never"), type="until")
            await stands(page, "executing")
            await page.get_by_text("Cancel…").click()
            await page.get_by_role("button", name="Stop it and all that it started").click()
            await stands(page, "cancelled")

            shown = await _costs(page)
        told = json.loads((await here.cli("costs", "--by", "cell", "--json"))[1])
        (call,) = cloud.requests
        bill = bill_of((call.input_tokens, call.output_tokens))
        assert told["total"]["usd"] == pytest.approx(bill)
        assert shown["total"] == f"${bill:.6f}".rstrip("0")
        keys = ("name", "executor", "model", "usd", "calls", "paid_calls", "free_calls", "unknown_calls")
        cells = [[*(cell[key] for key in keys), cell["input_tokens"], cell["output_tokens"]] for cell in told["cells"]]
        assert [[_read(each) for each in row] for row in shown["rows"]] == cells


async def _costs(page: Page) -> dict[str, Any]:
    await page.get_by_role("link", name="Costs", exact=True).click()
    rows = page.locator("table.numbers").first.locator("tbody tr")
    return {
        "total": await page.locator("#total").inner_text(),
        "rows": [await row.locator("td").all_inner_texts() for row in await rows.all()],
    }


def _read(cell: str) -> Any:
    text = cell.removeprefix("$")
    return float(text) if cell.startswith("$") else int(text) if text.isdigit() else text


NAMELESS = """
() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea, [role=img]')]
    .filter(each => !(each.textContent.trim() || each.ariaLabel || each.labels?.length || each.title))
    .map(each => each.outerHTML)
"""
"""What a screen reader would have no word for."""
CONTRASTS = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@CHROME
async def test_every_page_fits_a_phone_has_its_words_and_breaks_no_rule(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with staged(home, days=3) as task, served(home) as (at, link), browsing() as browser:
        for language, theme, width, head in (("en", "dark", 1280, "Costs"), ("zh-CN", "light", 360, "费用")):
            how: Any = {"locale": language, "color_scheme": theme, "viewport": {"width": width, "height": 800}}
            async with looking(browser, **how) as page:
                refused: list[str] = []
                page.on("console", lambda said, to=refused: to.append(said.text) if said.type == "error" else None)
                await page.goto(link())
                await page.wait_for_url("**/web/")
                for path in (*PAGES, "/web/tasks?state=waiting&state=idle", "/web/tasks/none"):
                    await page.goto(at + path.format(task=task))
                    await expect(page.get_by_role("main")).to_be_visible()
                    assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
                    assert await page.evaluate("document.querySelectorAll('h1').length") == 1, path
                    assert await page.evaluate(NAMELESS) == [], path
                    assert await page.evaluate(CONTRASTS) == [], path
                await expect(page.get_by_role("link", name=head, exact=True)).to_be_visible()
                assert [said for said in refused if "404 (Not Found)" not in said] == []


async def test_serve_has_the_page_and_dashboard_leads_to_it(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop(recovery="retry")})
        async with serving(here) as hooks:
            ended, printed = await here.cli("dashboard", "--no-open")
            assert ended == 0
            found = re.search(r"(http://127\.0\.0\.1:\d+)(/web/\S+)#(\S+)", printed)
            assert found is not None, printed
            at, enter, key = found.groups()
            assert at == str(hooks.client.base_url).rstrip("/")
            assert (await hooks.client.get("/web/")).status_code == 401
            entered = await hooks.client.post(enter, data={"key": key}, headers={"origin": at})
            assert entered.headers["location"] == "/web/"
            shown = await hooks.client.get("/web/tasks/nothing")
            assert (shown.status_code, shown.headers["x-frame-options"]) == (404, "DENY")
            assert "bench" in (await hooks.client.get("/web/")).text
            log = await anyio.Path(here.home.root / "serve.log").read_text()
            assert key not in log

"""What the page's list of 100,000 tasks costs against one of 100: whole HTTP requests to the page, in one process.

The filters are measured too, those that few or none of the tasks pass among them; the worst of them counts.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from anyio.to_thread import run_sync

from benchmarks.rows import pair
from omni_mcp.app.face import running_face
from omni_mcp.faces.web.keys import Keys
from omni_mcp.faces.web.site import Site
from omni_mcp.home import Home
from omni_mcp.keeper import EngineInside
from omni_mcp.ledger.migrations import migrate
from omni_mcp.task import new_id

FEW, MANY = 100, 100_000
ROUNDS = 30
"""Requests of each kind to each list, taken in turns."""
GOAL = 1.5
AT = "http://127.0.0.1:8766"
PATHS = ("", "?state=completed", "?state=failed", "?state=idle&state=waiting", "?cursor=60")
"""All, those of one state, of a rare one, of two, and a page further down."""
FILL = """
    insert into tasks
        (id, principal, type, state, open, waiting_for, text, priority, since, created_at, updated_at, title)
    values (?, 'local', 'general', ?, ?, ?, ?, 0, ?, ?, ?, ?)
"""
FAILED = (7, 13, 41)
"""Which of the tasks failed; each fifth of the first hundred waits or is idle."""


def _row(number: int) -> Sequence[Any]:
    state, waits = "completed", None
    if number in FAILED:
        state = "failed"
    elif number < FEW and number % 5 == 0:
        state, waits = ("waiting", "retry") if number % 2 else ("idle", None)
    is_open = int(state in ("idle", "waiting"))
    at = 1_780_000_000_000_000 + number
    return new_id(), state, is_open, waits, None, at, at, at, f"Write the confirmation of order {number}, and file it"


def fill(home: Home, count: int) -> None:
    """Make a ledger with so many tasks, of which the same few are not completed."""
    home.root.mkdir()
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as db:
        migrate(db)
        db.execute("begin")
        db.executemany(FILL, (_row(number) for number in range(count)))
        db.execute("insert into payloads (task, description) select n, title from tasks")
        db.execute("commit")


@asynccontextmanager
async def listed(folder: Path, count: int) -> AsyncGenerator[httpx.AsyncClient]:
    """Open the page over so many tasks, and let a client in."""
    home = Home(folder)
    await run_sync(fill, home, count)
    async with running_face(home, watch=False) as service:
        still = replace(service, engines=EngineInside())
        transport = httpx.ASGITransport(app=Site(lambda: still, Keys(home.page_keys)))
        async with httpx.AsyncClient(transport=transport, base_url=AT) as client:
            link = await run_sync(Keys(home.page_keys).link)
            await client.post("/web/enter", data={"key": link}, headers={"origin": AT})
            yield client


async def asked(client: httpx.AsyncClient, path: str) -> float:
    """Return the milliseconds of one request."""
    began = time.perf_counter()
    answer = await client.get(f"/web/tasks{path}")
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text
    return took


async def measured() -> Mapping[str, tuple[float, float]]:
    """Return for each path the medians over many and over few tasks."""
    with tempfile.TemporaryDirectory() as folder:
        async with listed(Path(folder) / "few", FEW) as few, listed(Path(folder) / "many", MANY) as many:
            took: dict[str, list[tuple[float, float]]] = {path: [] for path in PATHS}
            for number in range(ROUNDS + 2):
                for path, times in took.items():
                    turns = (many, few) if number % 2 else (few, many)
                    found = [await asked(client, path) for client in turns]
                    times.append((found[0], found[1]) if number % 2 else (found[1], found[0]))
    return {
        path: (statistics.median(one for one, _ in times[2:]), statistics.median(other for _, other in times[2:]))
        for path, times in took.items()
    }


def main() -> Sequence[Mapping[str, Any]]:
    """Measure; returns the rows of the report: all tasks, and the worst filter."""
    found = asyncio.run(measured())
    plain = found[""]
    worst = max(PATHS[1:], key=lambda path: found[path][0] / found[path][1])
    return [_told("", *plain), _told(f", {worst}", *found[worst])]


def _told(what: str, many: float, few: float) -> Mapping[str, Any]:
    name = f"the page's list of {MANY:,} tasks, against {FEW}{what}"
    return {"name": name, "unit": "ms", **pair(many, few), "at_most": GOAL}

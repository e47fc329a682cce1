"""Two fan-outs at once to three different MCP servers; one of them is killed: only its own attempts are touched."""

import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client

from tests.integration.house import STUBS, House, call, connected, ended, free_port, house, until

ROOT = Path(__file__).parents[2]
EVERYTHING = ROOT / ".cache/npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
NODE = shutil.which("node")


@pytest.mark.npm
@pytest.mark.timeout(120)
@pytest.mark.skipif(not EVERYTHING.exists() or NODE is None, reason="no server-everything: make test installs it")
async def test_the_death_of_one_executor_leaves_the_others_alone(tmp_path: Path) -> None:
    word = tmp_path / "word"
    async with house(tmp_path) as here, http_workshop(here) as url:
        everything = {
            "command": str(NODE),
            "args": [str(EVERYTHING)],
            "tool": "echo",
            "arguments": {"message": "{description}"},
            "handles": ["everything"],
            "parallel": 4,
        }
        over_http = {"url": url, "tool": "until", "arguments": {"path": "{description}"}, "parallel": 4}
        here.configure(
            executors={
                "local": here.workshop("until", argument="path", parallel=4, recovery="retry"),
                "everything": everything,
                "web": {**over_http, "handles": ["web"]},
            }
        )
        async with here.client() as one, here.client() as two:
            first, second = await fan_out(one, word), await fan_out(two, word)
            await until(lambda: begun(here) == 8)
            os.kill(local_pid(here), signal.SIGKILL)
            await until(lambda: begun(here) == 12)
            word.touch()
            ends = [await ended(client, task_id) for client, ids in ((one, first), (two, second)) for task_id in ids]
        assert {end["state"] for end in ends} == {"completed"}
        attempts = {name: {end["attempt"] for end in ends if end["served_by"] == name} for name in served(ends)}
        assert attempts == {"local": {2}, "everything": {1}, "web": {1}}


def served(ends: list[dict[str, Any]]) -> set[str]:
    return {end["served_by"] for end in ends}


def begun(here: House) -> int:
    return sum(line["tool"] == "until" for line in here.logged())


def local_pid(here: House) -> int:
    """Return the pid of the workshop that serves over stdio."""
    web = int((here.home.root / "web.pid").read_text())
    return next(line["pid"] for line in here.logged() if line["pid"] != web)


async def fan_out(client: Client[Any], word: Path) -> list[str]:
    """Submit two tasks to each of the three executors."""
    tasks = [
        await call(client, "submit_task", description=str(word), type=kind)
        for kind in ("until", "everything", "web")
        for _ in range(2)
    ]
    return [task["task_id"] for task in tasks]


@asynccontextmanager
async def http_workshop(here: House) -> AsyncGenerator[str]:
    """Run the workshop over Streamable HTTP; gives its URL."""
    port = free_port()
    argv = [sys.executable, str(STUBS / "workshop.py"), str(here.work_log), "--http", str(port)]
    async with await anyio.open_process(argv, env=here.env) as process:
        (here.home.root / "web.pid").write_text(str(process.pid))
        try:
            await connected(port)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()

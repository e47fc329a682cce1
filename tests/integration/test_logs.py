"""`log_format: json`: every line of a real engine and of `serve` is one JSON object, and stdout stays MCP."""

import json
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.logs import VARIABLE
from tests.integration.house import LIMIT, House, call, ended, house

SECRET = "not-a-key-but-secret-1234567890"


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def configure(here: House) -> None:
    broken = here.workshop("nothing", handles=["broken"], env={"API_KEY": SECRET})
    here.configure(executors={"echo": here.workshop(), "broken": broken}, log_format="json")


async def test_each_line_of_the_engine_is_json_that_names_its_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        configure(here)
        async with here.client() as client:  # over stdio: a line on stdout that is none of MCP would end it
            await call(client, "submit_task", description="hello", type="echo", wait_seconds=30)
            task = await call(client, "submit_task", description="hello", type="broken")
            await ended(client, task["task_id"])
    lines = lines_of(here.home.engine_log)
    actions = {line.get("action") for line in lines}
    assert {"engine_up", "session_open", "engine_down"} <= actions
    assert all({"time", "level", "logger", "message", "pid"} <= line.keys() for line in lines)
    opened = next(line for line in lines if line.get("action") == "session_open")
    assert opened["attempt"] == 1
    assert len(opened["task_id"]) > 20
    assert SECRET not in here.home.engine_log.read_text()


async def test_serve_writes_json_alone_requests_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "text")  # of this process: the house has an environment of its own
    async with house(tmp_path) as here:
        configure(here)
        async with here.served(limit=LIMIT * 3) as served:
            assert served.port
    lines = lines_of(here.home.root / "serve.log")
    assert {line["logger"].partition(".")[0] for line in lines} >= {"omni_mcp", "uvicorn"}

"""A broken LiteLLM is repaired by the real `claude` binary, through our MCP face; models are stubs on loopback."""

import json
import os
import shlex
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastmcp import Client

from omni_mcp.demo.answers import MARK
from tests.integration.house import House, call, free_port, house, refused, until
from tests.integration.outages import Place, in_mode, place, the_repair
from tests.integration.test_modes import QUICK

ROOT = Path(__file__).parents[2]
BINARY = shutil.which("claude", path=str(ROOT / ".cache/npm/node_modules/.bin"))
LIMIT = 90.0
"""Seconds that anything may take here."""

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(240),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]


def shell(command: str) -> dict[str, Any]:
    return {"tool": "Bash", "input": {"command": command, "description": "a step"}}


def stand_in(folder: Path, port: int) -> str:
    """Return the command that starts what answers as LiteLLM does; its pid will be in `pid` of the folder."""
    for door, says in (("health/liveliness", "I'm alive!"), ("v1/models", "{}")):
        page = folder / "site" / door
        page.parent.mkdir(parents=True)
        page.write_text(says)
    serve = shlex.join([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", "site"])
    return f"nohup {serve} > served.log 2>&1 & echo $! > pid"


def configure(at: House, provider: Place, folder: Path, port: int, commands: list[str]) -> None:
    at.configure(
        executors={
            "echo": at.workshop(recovery="retry", needs_cloud=False),
            "coder": {"preset": "claude-code", "command": BINARY, "permissions": "full", "roots": [str(at.home.root)]},
        },
        routing={"rules": [], "default": "echo"},
        models={"gateway": {"base_url": f"http://127.0.0.1:{port}"}},
        direct={"anthropic": {"base_url": provider.url, "key": "sk-backup", "models": {"default": "direct-usual"}}},
        fault_handler={**QUICK, "repair": {"commands": commands, "cwd": str(folder), "grace": LIMIT}},
    )


async def repaired(client: Client[Any]) -> dict[str, Any]:
    """Wait until the repair is over, which `system_mode` names as long as it is not."""
    named: set[str] = set()

    async def over() -> dict[str, Any] | None:
        said = (await call(client, "system_mode"))["repair"]
        named.update(said.split()[1:2] if said.startswith("task ") else ())
        return await the_repair(client)

    repair = await until(over, limit=LIMIT)
    assert named == {repair["task_id"]}
    return repair


async def test_a_broken_litellm_is_brought_back_by_the_configured_command_and_by_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "litellm"
    folder.mkdir()
    start, evil = stand_in(folder, port := free_port()), f"touch {folder}/evil"
    script = [shell(evil), shell("echo $HOME"), shell(start), {"text": "I started it."}]
    try:
        async with house(tmp_path) as at, place() as provider:
            # The script of the stub model stands in a command that nobody runs: so it gets into the text of the task.
            configure(at, provider, folder, port, [start, f"true # {MARK}{json.dumps(script)}"])
            async with at.client() as client:
                assert (await call(client, "system_mode"))["repair"] == "on: 2 commands"
                await refused(client, "submit_task", description="mend it", type="system_repair")
                await call(client, "submit_task", description="wakes the engine")
                repair = await repaired(client)
                result = await call(client, "task_result", task_id=repair["task_id"])
                mode = await in_mode(client, "normal", limit=LIMIT)
        assert (repair["state"], repair["served_by"], repair["endpoint"]) == ("completed", "coder", "direct")
        assert repair["progress"] == "LiteLLM is back"
        assert result["text"].startswith("LiteLLM is back: it answers.\n\nI started it.\n\nDenied: ")
        assert [evil in denied for denied in result["notes"]["permission_denials"]] == [True, False]
        assert not (folder / "evil").exists()
        assert [line.split(" UTC ")[1].split(":")[0] for line in mode["history"]] == [
            "degraded → normal",
            "normal → degraded",
        ]
        # What it started is still there now that the run, its adapter and the engine have ended.
        async with httpx.AsyncClient(trust_env=False) as door:
            assert (await door.get(f"http://127.0.0.1:{port}/health/liveliness")).text == "I'm alive!"
    finally:
        with suppress(FileNotFoundError):
            os.kill(int((folder / "pid").read_text()), signal.SIGKILL)

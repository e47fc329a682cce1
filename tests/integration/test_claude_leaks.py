"""What an agent's shell sees: no key of ours and no other task's token, wherever in `/proc` it looks.

As root it may read all of `/proc`, as we do here; another account sees less.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from omni_mcp.contract import RunResult
from omni_mcp.demo.cloud import Cloud, running_cloud
from tests.integration.house import LIMIT, STUBS, House, call, ended, house, until
from tests.integration.outages import place
from tests.integration.test_claude_code import BINARY, script, shell
from tests.integration.test_claude_code_adapter import adapter, request, run

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(180),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
    pytest.mark.skipif(sys.platform != "linux", reason="no /proc"),
]

KEYS = {"THE_GATEWAY_KEY": "sk-of-the-gateway", "GITHUB_LITELLM_KEY": "sk-of-the-backup"}
DONE = {"text": "done"}


def spying(loot: Path) -> dict[str, Any]:
    return shell(f"{shlex.join([sys.executable, str(STUBS / 'spy.py')])} > {loot}")


def quiet(folder: Path) -> dict[str, Any]:
    """Return a step that begins, and ends on our word."""
    return shell(f"touch {folder}/begun; while [ ! -e {folder}/word ]; do sleep 0.1; done")


async def test_keys_that_came_by_the_environment_are_seen_by_no_agent(tmp_path: Path) -> None:
    loot = tmp_path / "loot"
    async with house(tmp_path) as here, place() as proxy:
        row = {"preset": "claude-code", "command": BINARY, "login": "relay"}
        gateway = {"base_url": proxy.url, "api_key": "${THE_GATEWAY_KEY}", "for": {"default": "auto"}}
        here.configure(executors={"claude": row}, models={"gateway": gateway})
        async with with_keys(here) as client:
            given = {"description": script(spying(loot), DONE), "executor": "claude", "cwd": str(tmp_path)}
            task = await call(client, "submit_task", **given)
            end = await ended(client, task["task_id"], limit=LIMIT * 2)
    assert end["state"] == "completed", end
    seen = loot.read_bytes()
    assert b"omni_mcp\0--home" in seen  # the engine
    assert b"omni_mcp.adapters.claude_code" in seen
    assert [key for key in KEYS.values() if key.encode() in seen] == []
    assert {seen.key for seen in proxy.cloud.requests} == {KEYS["THE_GATEWAY_KEY"][-4:]}


def with_keys(here: House) -> Client[Any]:
    """Return a client whose face, and so its engine, has keys in the environment."""
    transport = StdioTransport(sys.executable, ["-m", "omni_mcp"], env={**here.env, **KEYS}, keep_alive=False)
    return Client(transport, init_timeout=LIMIT, timeout=LIMIT * 2)


async def test_no_task_sees_the_relays_token_neither_its_own_nor_that_of_another(tmp_path: Path) -> None:
    loot, results = tmp_path / "loot", dict[str, RunResult]()
    mine, others = "token-of-the-spy", "token-of-the-other"
    async with running_cloud() as cloud, adapter(tmp_path) as client, anyio.create_task_group() as tasks:

        async def work(token: str, *steps: dict[str, Any]) -> None:
            results[token] = await run(client, with_token(tmp_path, cloud, token, *steps))

        tasks.start_soon(work, others, quiet(tmp_path), DONE)
        await until((tmp_path / "begun").exists)
        await work(mine, spying(loot), DONE)
        (tmp_path / "word").touch()
    assert {result.text for result in results.values()} == {"done"}
    assert {seen.key for seen in cloud.requests} == {mine[-4:], others[-4:]}
    seen = loot.read_bytes()
    assert seen.count(b"OMNI_TASK=") > 3
    assert [token for token in (mine, others) if token.encode() in seen] == []


def with_token(tmp_path: Path, cloud: Cloud, token: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {**request(tmp_path, cloud, *steps), "endpoint": {"base_url": cloud.url, "token": token}}

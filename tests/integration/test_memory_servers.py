"""What the real Claude Code learnt the assistant is told in its next task: by the ledger, and by `server-memory`."""

import json
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from starlette.types import Message, Receive, Scope, Send

from omni_mcp.demo.cloud import Cloud
from omni_mcp.llm.loopback import serving
from tests.integration.house import House, call, ended, house, until

ROOT = Path(__file__).parents[2]
BINARY = shutil.which("claude", path=str(ROOT / ".cache/npm/node_modules/.bin"))
SERVER = ROOT / ".cache/npm/node_modules/@modelcontextprotocol/server-memory/dist/index.js"

pytestmark = [
    pytest.mark.npm,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not SERVER.exists(), reason="make test installs them"),
]
SERVER_MEMORY = {"kind": "server-memory", "command": "node", "args": [str(SERVER)], "timeout": 10}


@asynccontextmanager
async def overheard_cloud() -> AsyncGenerator[tuple[Cloud, list[str]]]:
    """Run the stub cloud; yields it and all that it is sent."""
    cloud, heard = Cloud(), list[str]()
    answers = cloud.app()

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        whole: list[bytes] = []

        async def overheard() -> Message:
            message = await receive()
            whole.append(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                heard.append(json.dumps(json.loads(b"".join(whole) or b"{}"), ensure_ascii=False))
            return message

        await answers(scope, overheard, send)

    async with serving(listening, port=0) as cloud.port:
        yield cloud, heard


def kept(here: House) -> list[dict[str, Any]]:
    """Return what `server-memory` has on disk."""
    file = here.home.root / "memory.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def with_agents(here: House, cloud: Cloud, memory: Mapping[str, Any]) -> None:
    """Claude Code and the assistant, both behind the relay, the Router and the stub cloud."""
    model = {"model": "anthropic/demo", "api_base": cloud.url, "api_key": "not-a-key"}
    here.configure(
        executors={
            "claude_code": {"preset": "claude-code", "command": BINARY, "handles": ["coding"], "login": "relay"},
            "assistant": {"preset": "assistant", "handles": ["general"]},
        },
        models={"model_list": [{"model_name": "m", "litellm_params": model}]},
        memory=memory,
    )


async def done(client: Client[Any], description: str, executor: str, **more: Any) -> str:
    """Run a task to its end; returns its id."""
    task = await call(client, "submit_task", description=description, executor=executor, **more)
    status = await ended(client, task["task_id"])
    assert status["state"] == "completed", status
    return task["task_id"]


@pytest.mark.slow
@pytest.mark.claude
@pytest.mark.litellm
@pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code")
@pytest.mark.parametrize("memory", [{"kind": "embedded"}, SERVER_MEMORY], ids=["embedded", "server-memory"])
async def test_what_claude_code_learnt_the_assistant_uses(tmp_path: Path, memory: dict[str, Any]) -> None:
    async with house(tmp_path) as here, overheard_cloud() as (cloud, heard):
        with_agents(here, cloud, memory)
        async with here.client() as client:
            first = await done(client, "写一个 Hello World 函数 greeting", "claude_code")
            second = await done(client, "which file has the greeting function?", "assistant")
            await done(client, "which file has the greeting function?", "assistant", options={"memory": False})
        told, untold = (body for body in heard if '"which file has' in body)
        _, history = await here.cli("status", second, "--events", "--json")
        if memory["kind"] == "server-memory":
            await until(lambda: len(kept(here)) == 2)
            assert kept(here)[0]["name"] == f"omni-mcp {first}"
    assert "<earlier_tasks>" in told
    assert "hello.py 里有一个 hello() 函数" in told
    assert "<earlier_tasks>" not in untold
    where = "" if memory["kind"] == "embedded" else " (server-memory)"
    assert f"recalled from earlier tasks{where}: {first[:8]} (claude_code)" in history


async def test_a_hundred_tasks_leave_a_hundred_memories_over_a_kill_of_the_engine(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"echo": here.workshop(parallel=16, recovery="retry")}, memory=SERVER_MEMORY)
        async with here.client() as client:
            for number in range(100):
                await call(client, "submit_task", description=f"task number{number}", type="echo")
                if number == 50:
                    await until(lambda: kept(here))
                    os.kill(await here.engine_pid(), signal.SIGKILL)
            await until(lambda: len(kept(here)) == 100)
            _, listed = await here.cli("memory", "list", "--json")
    names = {json.loads(each["observations"][0])["task"] for each in kept(here)}
    assert names == {f"task number{number}" for number in range(100)}
    assert json.loads(listed)["memories"] == []


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ({"kind": "memos", "url": "http://127.0.0.1:9/mcp"}, "memos cannot be reached"),
        ({"kind": "server-memory", "command": "sleep", "args": ["600"], "timeout": 0.2}, "took longer than 0.2 s"),
        ({"kind": "server-memory", "command": "no-such-program"}, "'no-such-program' is not installed"),
    ],
    ids=["down", "slow", "not installed"],
)
async def test_a_memory_server_that_does_not_work_costs_no_task_and_is_said(
    tmp_path: Path, memory: dict[str, Any], words: str
) -> None:
    async with house(tmp_path) as here:
        uses = here.workshop(arguments={"text": "{description}{memory}"})
        here.configure(executors={"echo": uses}, memory={"timeout": 5, **memory})
        async with here.client() as client:
            first = await done(client, "find the deploy script", "echo")
            second = await done(client, "run the deploy script", "echo")
        _, history = await here.cli("status", second, "--events", "--json")
        _, listed = await here.cli("memory", "list")
    assert "recalled" in history
    assert words in history
    assert f"{first[:8]} (echo)" in history  # what is still on its way is told all the same
    assert "not in the memory server: on its way" in listed

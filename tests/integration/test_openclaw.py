"""The real OpenClaw gateway: what our tests take for granted of it, and what passes between it and us."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from fastmcp import Client

from omni_mcp.clients.catalog import CLIENTS
from tests.integration.house import House, call, connected, ended, free_port, house
from tests.integration.real_openclaw import REAL_OPENCLAW, RealOpenclaw

pytestmark = REAL_OPENCLAW

PATIENT = 120.0
"""Seconds that anything may take that a real gateway does."""


async def turn(openclaw: RealOpenclaw, session: str, *steps: dict[str, Any]) -> str:
    """Have an agent of the gateway take a turn in which its model says these steps; returns what it said."""
    words = ["--agent", "main", "--session-key", f"agent:main:{session}", "--message", f"SCRIPT:{json.dumps(steps)}"]
    code, said = await openclaw.cli("agent", *words, "--json")
    assert code == 0, said
    return json.loads(said[said.index("{") :])["result"]["payloads"][0]["text"]


def use(tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the step in which a model calls a tool of ours, in the way that OpenClaw has it called."""
    return {"tool": "tool_call", "input": {"id": f"omni__{tool}", "args": arguments}}


@asynccontextmanager
async def served(here: House, openclaw: RealOpenclaw) -> AsyncGenerator[str]:
    """Run `omni-mcp serve`, installed in the gateway by our own command while it runs."""
    port = free_port()
    argv = [sys.executable, "-m", "omni_mcp"]
    with (here.home.root / "serve.log").open("a") as log:
        serve = [*argv, "serve", "--port", str(port)]
        async with await anyio.open_process(serve, env=here.env, stdout=log, stderr=log) as process:
            try:
                await connected(port)
                await installed(here, openclaw, "install")
                yield f"http://127.0.0.1:{port}/mcp"
            finally:
                with anyio.CancelScope(shield=True):
                    await installed(here, openclaw, "uninstall")
                    process.terminate()
                    await process.wait()


async def installed(here: House, openclaw: RealOpenclaw, command: str) -> None:
    """Put us into the gateway, or take us out."""
    env = {**here.env, "OPENCLAW_CONFIG_PATH": str(openclaw.settings)}
    done = await anyio.run_process([sys.executable, "-m", "omni_mcp", command, "openclaw", "--yes"], env=env, check=False)
    assert done.returncode == 0, done.stderr




async def test_a_turn_of_the_gateway_is_one_call_of_the_stub_cloud(openclaw: RealOpenclaw) -> None:
    before = len(openclaw.cloud.calls)
    assert await turn(openclaw, "plain", {"text": "forty-two"}) == "forty-two"
    assert [call["text"] for call in openclaw.cloud.calls[before:]] == ["forty-two"]

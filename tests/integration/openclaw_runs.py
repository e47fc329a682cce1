"""Runs of the OpenClaw adapter for tests: as the MCP server that it is, or in process where there are many rows."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from pydantic import SecretStr

from omni_mcp.adapters.openclaw import OpenClaw, Setup
from omni_mcp.adapters.openclaw_wire import Address
from omni_mcp.contract import ATTACH, GATEWAY_TOKEN, GATEWAY_URL, RUN_TASK, RunRequest, RunResult
from omni_mcp.demo.answers import MARK
from omni_mcp.question import Action, Answer, Asked
from omni_mcp.task import new_id
from tests.forkserver import command
from tests.integration.fake_openclaw import FakeOpenclaw
from tests.integration.house import until
from tests.integration.real_openclaw import RealOpenclaw

ROOT = Path(__file__).parents[2]
LIMIT = 240.0
"""Seconds that anything may take that a real gateway does."""

AnyGateway = FakeOpenclaw | RealOpenclaw


def adapter(gateway: AnyGateway, *args: str) -> Client[StdioTransport]:
    """Return a client of an adapter process."""
    covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    env = {"PATH": os.environ["PATH"], GATEWAY_URL: gateway.url, GATEWAY_TOKEN: gateway.token, **covered}
    program, *argv = command(*args, module="omni_mcp.adapters.openclaw")
    return Client(StdioTransport(program, argv, env=env, cwd=str(ROOT), keep_alive=False))


def agent(gateway: AnyGateway, *, url: str | None = None, **address: Any) -> OpenClaw:
    """Return the adapter in this process."""
    given: dict[str, Any] = {"token": SecretStr(gateway.token), "connect_timeout": 10.0, **address}
    return OpenClaw(Setup(address=Address(url=url or gateway.url, **given)))


def request(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an attempt at a task whose model answers with these steps."""
    given = {"task_id": new_id(), "attempt": 1, "run_id": str(uuid4()), "cwd": "/", "timeout": LIMIT}
    return {**given, "description": f"Do it. {MARK}{json.dumps(steps)}", **fields}


def a_request(*steps: dict[str, Any], **fields: Any) -> RunRequest:
    """Return the same as the adapter reads it."""
    return RunRequest.model_validate(request(*steps, **fields))


class Told(list[str]):
    """The lines of progress so far; knows when there is another."""

    def __init__(self) -> None:
        super().__init__()
        self._more = anyio.Event()

    async def add(self, line: str) -> None:
        """Take a line."""
        self.append(line)
        self._more.set()
        self._more = anyio.Event()

    async def heard(self, word: str) -> None:
        """Wait until a line has a word."""
        with anyio.fail_after(LIMIT):
            while not any(word in line for line in self):
                await self._more.wait()


async def run(client: Client[Any], asked: dict[str, Any], told: Told | None = None, **more: str) -> RunResult:
    """Have an adapter run an attempt; what it tells meanwhile is added to `told`."""

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert (total, progress >= 1) == (None, True)
        if told is not None:
            await told.add(message or "")

    answer = await client.call_tool(more.get("tool", RUN_TASK), {"request": asked}, progress_handler=note)
    return RunResult.model_validate(answer.structured_content)


async def attach(client: Client[Any], asked: dict[str, Any]) -> RunResult:
    """Have an adapter follow an earlier attempt."""
    return await run(client, {**asked, "attempt": 2, "resume": True}, tool=ATTACH)


async def nobody(_asked: Asked) -> Answer:
    return Answer(action=Action.CANCEL)


async def mute(line: str) -> None:
    """Take a line of progress, and do nothing with it."""
    assert line


async def called(gateway: AnyGateway, count: int) -> Sequence[Any]:
    """Wait until the model was asked so often; returns the calls."""
    await until(lambda: len(gateway.cloud.calls) >= count, limit=LIMIT)
    return gateway.cloud.calls

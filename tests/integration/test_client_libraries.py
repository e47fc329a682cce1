"""The clients that programs are written with, in both eras of MCP: submit, wait, answer, cancel, result."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp.client.stdio import StdioServerParameters

from tests.forkserver import command
from tests.integration.asking import asking_server
from tests.integration.house import LIMIT, House, house

Call = Callable[..., Awaitable[Mapping[str, Any]]]


@asynccontextmanager
async def of_fastmcp(here: House, mode: str) -> AsyncGenerator[Call]:
    """Open FastMCP's client in an era."""
    program, *argv = command()
    transport = StdioTransport(program, argv, env=here.env, keep_alive=False)
    async with Client(transport, mode=mode, init_timeout=LIMIT, timeout=LIMIT * 2) as client:

        async def call(tool: str, **arguments: Any) -> Mapping[str, Any]:
            return (await client.call_tool_mcp(tool, arguments)).structured_content or {}

        yield call


@asynccontextmanager
async def of_the_sdk(here: House, mode: str) -> AsyncGenerator[Call]:
    """Open the SDK's own client in an era."""
    program, *argv = command()
    server = StdioServerParameters(command=program, args=argv, env=here.env)
    async with mcp.Client(server, mode=mode) as client:

        async def call(tool: str, **arguments: Any) -> Mapping[str, Any]:
            return (await client.call_tool(tool, arguments)).structured_content or {}

        yield call


async def the_round(call: Call, word: Path) -> None:
    """Submit, wait, answer, read; cancel another one."""
    asked = await call("submit_task", description="which one", type="ask")
    ask = {"task_id": asked["task_id"]}
    with anyio.fail_after(LIMIT * 2):
        while (waits := await call("task_status", **ask, wait_seconds=40))["state"] != "waiting":
            assert waits["state"] in ("idle", "dispatching", "executing"), waits
    (question,) = waits["questions"]
    wrong = await call("answer_task", **ask, question_id=question["question_id"], action="accept", content={"x": 1})
    assert (wrong["code"], "call answer_task again" in wrong["next_step"]) == ("bad_request", True)
    answer = {"question_id": question["question_id"], "action": "accept", "content": {"which": "B"}}
    await call("answer_task", **ask, **answer)
    with anyio.fail_after(LIMIT * 2):
        while (done := await call("task_status", **ask, wait_seconds=40))["state"] != "completed":
            assert done["state"] == "executing", done
    assert (await call("task_result", **ask))["text"] == "accept {'which': 'B'}"
    lasts = await call("submit_task", description=str(word), type="until")
    assert (await call("cancel_task", task_id=lasts["task_id"], reason="not needed"))["state"] == "cancelled"


@pytest.mark.timeout(300)
async def test_fastmcp_and_the_sdk_go_the_whole_way_in_both_eras(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        slow = here.workshop("until", argument="path")
        here.configure(executors={"asker": asking_server(), "slow": slow})
        for opened in (of_fastmcp, of_the_sdk):
            for mode in ("legacy", "2026-07-28"):
                async with opened(here, mode) as call:
                    await the_round(call, tmp_path / "never")

"""The same fixture tools on fastmcp-tasks' own server, to be measured beside ours.

Run by a Python that has `fastmcp[tasks]`, which this project does not depend on: python peer.py HOME PORT
"""
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false

import asyncio
import sys
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension
from forked import again_and_again
from mcp import MCPError
from mcp.types import INTERNAL_ERROR, ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

mcp = FastMCP("peer")
mcp.add_extension(TasksExtension())


def form(message: str) -> ElicitRequest:
    """Return what asks for a name and a yes."""
    fields = {"name": {"type": "string"}, "confirm": {"type": "boolean"}}
    schema = {"type": "object", "properties": fields}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


@mcp.tool
async def greet(name: str) -> str:
    """Say hello, at once."""
    return f"Hello, {name}!"


@mcp.tool(task=True)
async def slow_compute(seconds: float = 1, label: str = "") -> str:
    """Take so long."""
    await asyncio.sleep(seconds)
    return f"computed {label}"


@mcp.tool(task=TaskConfig(mode="required"))
async def failing_job() -> str:
    """Fail."""
    raise ToolError("this job always fails")


@mcp.tool(task=True)
async def protocol_error_job() -> str:
    """Break."""
    raise MCPError(code=INTERNAL_ERROR, message="it broke")


@mcp.tool(task=True)
async def confirm_delete(ctx: Context, filename: str = "") -> Any:
    """Ask once."""
    return "told" if ctx.input_responses else InputRequiredResult(input_requests={"k0": form(f"Delete {filename}?")})


@mcp.tool(task=True)
async def multi_input(ctx: Context) -> Any:
    """Ask two things at once."""
    asks = {"k0": form("Who?"), "k1": form("Sure?")}
    return "told" if ctx.input_responses else InputRequiredResult(input_requests=dict(asks))


@mcp.tool(task=TaskConfig(mode="required"))
async def test_tool_with_task(ctx: Context) -> Any:
    """Ask, then be a task: as far as fastmcp-tasks lets a tool decide that."""
    answer = (ctx.input_responses or {}).get("user_name")
    if answer is None:
        return InputRequiredResult(input_requests={"user_name": form("What is your name?")})
    return f"Hello, {answer.content['name'] if isinstance(answer, ElicitResult) and answer.content else ''}!"


if __name__ == "__main__":
    again_and_again(
        lambda: mcp.run("http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="error")
    )

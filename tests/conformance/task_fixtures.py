"""The tools that the tasks-* scenarios name: each hands real work to a real executor, over the ledger."""

import json
from typing import Any

from fastmcp import FastMCP
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from omni_mcp.faces.mcp import answering
from omni_mcp.faces.native_tasks import missing_capability
from omni_mcp.faces.waiting import CallingClient
from omni_mcp.service.service import Service
from omni_mcp.task import TaskSpec
from omni_mcp.views.task import TaskView

WAIT = 20.0
"""Seconds that a client without the tasks extension waits for a result."""


def the_work(do: str, *, attempts: int = 3, **details: Any) -> TaskSpec:
    return TaskSpec(description=json.dumps({"do": do, **details}), type="work", options={"max_attempts": attempts})


async def handed_off(service: Service, caller: CallingClient, work: TaskSpec) -> TaskView | ToolResult:
    return await caller.over(await service.submit(work), WAIT, handing_off=True)


@answering
async def slow_compute(
    seconds: float = 1, label: str = "", *, service: Service, caller: CallingClient
) -> TaskView | ToolResult:
    """Take so long."""
    return await handed_off(service, caller, the_work("compute", seconds=seconds, label=label))


@answering
async def failing_job(*, service: Service, caller: CallingClient) -> TaskView | ToolResult:
    """Fail, and only for a client that drives tasks."""
    if not caller.drives_tasks:
        raise missing_capability()
    return await handed_off(service, caller, the_work("fail"))


@answering
async def protocol_error_job(*, service: Service, caller: CallingClient) -> TaskView | ToolResult:
    """Break the executor."""
    return await handed_off(service, caller, the_work("break", attempts=1))


@answering
async def confirm_delete(filename: str = "", *, service: Service, caller: CallingClient) -> TaskView | ToolResult:
    """Ask once."""
    return await handed_off(service, caller, the_work("ask", questions=[f"Delete {filename}?"]))


@answering
async def multi_input(*, service: Service, caller: CallingClient) -> TaskView | ToolResult:
    """Ask two things at once."""
    return await handed_off(service, caller, the_work("ask", questions=["Who?", "Sure?"]))


@answering
async def tool_with_task(*, service: Service, caller: CallingClient) -> TaskView | ToolResult:
    """Ask before there is a task, then make one of the answer."""
    if not caller.drives_tasks:
        raise missing_capability()
    said = (caller.context.input_responses or {}).get("user_name")
    if isinstance(said, ElicitResult) and said.content:
        return await handed_off(service, caller, the_work("greet", name=said.content["name"]))
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    request = ElicitRequest(params=ElicitRequestFormParams(message="What is your name?", requested_schema=form))
    return InputRequiredToolResult(InputRequiredResult(input_requests={"user_name": request}, request_state="named"))


async def greet(name: str) -> str:
    """Say hello, at once."""
    return f"Hello, {name}!"


def add_task_fixtures(face: FastMCP[Any]) -> None:
    """Add what the tasks-* scenarios call."""
    face.tool(greet)
    for tool in (slow_compute, failing_job, protocol_error_job, confirm_delete, multi_input):
        face.tool(tool, output_schema=None)
    face.tool(tool_with_task, name="test_tool_with_task", output_schema=None)

"""Refusals, in the form that each kind of request has; nobody logs a trace.

A tool's call is answered so that the model reads it. A protocol error has our fields as its data. What a resource or a
prompt refuses has one text, so that names the next call, too.
"""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from fastmcp.exceptions import FastMCPError
from fastmcp.tools.base import ToolResult
from mcp import MCPError

from omni_mcp.errors import OmniError
from omni_mcp.views.error import ErrorView, error_view

T = TypeVar("T")
LOOK = "system_mode says how the whole is"


def shown_by(tool: str, error: OmniError) -> ErrorView:
    """Show an error; `call again` names the tool, and where nothing is named to be done, that is to look."""
    step = error.next_step or ("call again in a moment" if error.retryable else LOOK)
    return error_view(error).model_copy(update={"next_step": step.replace("call again", f"call {tool} again")})


def call_refused(error: ErrorView) -> ToolResult:
    """Return the refusal of a tool's call."""
    return ToolResult(structured_content=error.shown(), is_error=True)


def rpc_refused(code: int, error: OmniError) -> MCPError:
    """Return the refusal of another request, as JSON-RPC has it."""
    return MCPError(code=code, message=error.message, data=error_view(error).shown())


async def answered(answer: Awaitable[T], refusal: type[FastMCPError]) -> T:
    """Return the answer, or raise the refusal in our words."""
    try:
        return await answer
    except OmniError as error:
        raise refused(refusal, error.message, error.next_step or LOOK) from error


def refused(refusal: type[FastMCPError], message: str, next_step: str) -> FastMCPError:
    """Return a refusal that a client can show."""
    return refusal(f"{message}; next: {next_step}", log_level=logging.DEBUG)

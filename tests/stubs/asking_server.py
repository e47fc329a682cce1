"""A server whose tools ask in the middle of a call: as the older era of MCP does, and as the newer one does."""

from typing import Annotated, Any

import anyio
from fastmcp import Context, FastMCP
from mcp import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult, InputRequiredResult

mcp = FastMCP("asking", version="1")
FORM = {"type": "object", "properties": {"which": {"type": "string", "enum": ["A", "B"]}}, "required": ["which"]}


async def elicited(ctx: Context, text: str, meta: dict[str, Any] | None = None) -> ElicitResult:
    fields = {"message": text, "requestedSchema": FORM, "_meta": meta}
    return await ctx.session.send_request(
        ElicitRequest(params=ElicitRequestFormParams.model_validate(fields)), ElicitResult
    )


def said(answer: ElicitResult) -> str:
    return f"{answer.action} {answer.content}"


@mcp.tool
async def ask(text: str, ctx: Context, times: int = 1) -> str:
    """Ask so often, by a request to the client (older era)."""
    try:
        return "; ".join([said(await elicited(ctx, f"{text} {number}")) for number in range(times)])
    except MCPError as error:
        return f"refused: {error}"


@mcp.tool
async def ask_as(text: str, task_id: str, ctx: Context) -> str:
    """Ask in the name of a task."""
    return said(await elicited(ctx, text, {"omni-mcp/question": {"task_id": task_id, "kind": "permission"}}))


@mcp.tool
async def ask_and_leave(text: str, ctx: Context) -> str:
    """Ask, and take that back when nobody answers soon."""
    with anyio.move_on_after(0.5):
        return said(await elicited(ctx, text))
    await ctx.report_progress(1, None, "goes on without")
    return "went on without"


@mcp.tool
async def ask_to_open(url: str, ctx: Context) -> str:
    """Ask a person to open a page."""
    params = ElicitRequestURLParams(message="log in", url=url, elicitation_id="e1")
    return said(await ctx.session.send_request(ElicitRequest(params=params), ElicitResult))


@mcp.tool
async def ask_by_return(text: str, ctx: Context) -> Annotated[Any, "text, or a question"]:
    """Ask by what the call returns (newer era)."""
    if ctx.input_responses:
        return said(ElicitResult.model_validate(ctx.input_responses["q"], from_attributes=True))
    params = ElicitRequestFormParams(message=text, requested_schema=FORM)
    return InputRequiredResult(input_requests={"q": ElicitRequest(params=params)}, request_state="s")


if __name__ == "__main__":
    mcp.run("stdio", show_banner=False)

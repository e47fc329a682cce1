"""The executor of the conformance runs, a server of its own: does what a task's description, a JSON object, says.

python -m tests.conformance.worker PORT
"""

import json
import sys
from typing import Annotated, Any

import anyio
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp import MCPError
from mcp.types import INTERNAL_ERROR, ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult


class Breaks(Middleware):
    """Answers with an error of the protocol, which FastMCP makes a tool's own error when the tool raises it."""

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Break where that is the work."""
        if json.loads(context.message.arguments["what"])["do"] == "break":
            raise MCPError(code=INTERNAL_ERROR, message="the worker broke")
        return await call_next(context)


mcp = FastMCP("worker", version="1", middleware=[Breaks()])
FIELDS = {"name": {"type": "string"}, "confirm": {"type": "boolean"}}


@mcp.tool
async def work(what: str, ctx: Context) -> Annotated[Any, "text, or questions"]:
    """Do it: compute (seconds), greet (name), ask (questions), fail; break is done before."""
    asked: dict[str, Any] = json.loads(what)
    match asked["do"]:
        case "compute":
            await ctx.report_progress(0, None, "computing")
            await anyio.sleep(asked["seconds"])
            return f"computed {asked['label']}"
        case "greet":
            return f"Hello, {asked['name']}!"
        case "ask":
            return _asks(asked["questions"], ctx)
        case "fail":
            raise ToolError("this job always fails")
        case other:
            raise ToolError(f"nobody can {other}")


def _asks(questions: list[str], ctx: Context) -> InputRequiredResult | str:
    if ctx.input_responses:
        said = {key: each.content for key, each in ctx.input_responses.items() if isinstance(each, ElicitResult)}
        return f"told {json.dumps(said, sort_keys=True)}"
    form = {"type": "object", "properties": FIELDS}
    requests = {
        f"k{number}": ElicitRequest(params=ElicitRequestFormParams(message=text, requested_schema=form))
        for number, text in enumerate(questions)
    }
    return InputRequiredResult(input_requests=dict(requests), request_state="asked")


if __name__ == "__main__":
    mcp.run("http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="error")

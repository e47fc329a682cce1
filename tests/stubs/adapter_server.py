"""An adapter by the contract whose runs do what their description says, over stdio or over HTTP on a given port."""

import os
import signal
import subprocess
import sys
from typing import Any

import anyio
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_headers
from fastmcp.tools import ToolResult

mcp = FastMCP("stub-adapter", version="7")

LIMIT = {"failure": "rate_limit", "message": "limit reached", "retry_at": "2030-01-01T00:00:00"}
ENDS: dict[str, dict[str, Any]] = {
    "fail": {"status": "failed", "text": "half of it", **LIMIT},
    "lie": {"status": "splendid"},
    "empty": {"status": "completed"},
    "lose sight": {"status": "failed", "failure": "provider", "message": "its host is away", "lives": True},
}
"""What runs of these descriptions end with."""


@mcp.tool
async def run_task(request: dict[str, Any], ctx: Context) -> ToolResult:
    """Do what the description names."""
    answer: dict[str, Any] = {}
    match request["description"]:
        case "echo":
            answer = {"status": "completed", "text": request["endpoint"]["token"], "notes": {"pid": os.getpid()}}
        case str() as said if said in ENDS:
            answer = ENDS[said]
        case str() as said if said.startswith(("tell ", "spend ")):
            await ctx.report_progress(1, None, said)
            answer = _spent(said) or {"status": "failed", "failure": "task", "message": said}
        case "stumble":
            raise ValueError("a bug in the adapter")
        case "orphan":
            await ctx.report_progress(1, None, str(_orphan(request["task_id"])))
            await anyio.sleep_forever()
        case _:
            await ctx.report_progress(1, None, "began")
            await anyio.sleep_forever()
    return ToolResult(content=[], structured_content=answer)


def _spent(said: str) -> dict[str, Any]:
    """Return the end of `spend completed 0.5` or `spend failed 0.25`, with what it cost."""
    if not said.startswith("spend "):
        return {}
    _, status, usd = said.split()
    ends = {"completed": {"text": "done"}, "failed": {"failure": "task", "message": "no"}}
    return {"status": status, **ends[status], "usage": {"model": "agent-1", "cost_usd": float(usd)}}


@mcp.tool
async def attach(request: dict[str, Any]) -> dict[str, Any]:
    """Say that the run was found."""
    return {"status": "completed", "text": f"found {request['run_id']} for {request['description']}"}


@mcp.tool
async def cancel(request: dict[str, Any]) -> dict[str, Any]:
    """Say that it stopped; a task called `orphan` takes the adapter with it."""
    if request["run_id"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"stopped": True, "remaining": []}


@mcp.tool
async def health() -> dict[str, Any]:
    """Say that all is well."""
    return {"ok": True, "version": "stub 7"}


@mcp.tool
async def headers() -> dict[str, str | None]:
    """Show what an HTTP request brought."""
    brought = get_http_headers(include={"authorization"})
    return {name: brought.get(name) for name in ("authorization", "x-key")}


def _orphan(task_id: str) -> int:
    """Start a process of the task that does not end with us."""
    env = {"PATH": os.environ["PATH"], "OMNI_TASK": task_id}
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    return process.pid


if __name__ == "__main__":
    if sys.argv[1:]:
        mcp.run("http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="WARNING")
    else:
        mcp.run("stdio", show_banner=False)

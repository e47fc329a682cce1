"""An agent as an MCP server over stdio, under `contract.py`: the same tools for every adapter."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Protocol, runtime_checkable

from fastmcp import Context, FastMCP

from omni_mcp import __version__
from omni_mcp.contract import (
    ATTACH,
    CANCEL,
    HEALTH,
    RUN_TASK,
    CancelResult,
    Health,
    RunRef,
    RunRequest,
    RunResult,
)

Tell = Callable[[str], Awaitable[None]]
"""Takes a line for people."""


class Agent(Protocol):
    """What an adapter knows to do."""

    async def run(self, request: RunRequest, tell: Tell) -> RunResult:
        """Run one attempt to its end; every end is a result."""
        ...

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run and wait until nothing of it is left."""
        ...

    async def health(self) -> Health:
        """Say whether it can work."""
        ...


@runtime_checkable
class Attaching(Protocol):
    """What an adapter knows besides whose runs live elsewhere."""

    async def attach(self, request: RunRequest, tell: Tell) -> RunResult:
        """Follow the run of an earlier attempt to its end; begin it if it was never accepted."""
        ...


def server(name: str, agent: Agent) -> FastMCP:
    """Return the MCP server over an agent; it offers `attach` if the agent does."""
    mcp = FastMCP(name, version=__version__)

    @mcp.tool(name=RUN_TASK)
    async def run_task(request: RunRequest, ctx: Context) -> RunResult:
        """Run one attempt at a task; progress tells what it does."""
        return await agent.run(request, _teller(ctx))

    if isinstance(agent, Attaching):

        @mcp.tool(name=ATTACH)
        async def attach(request: RunRequest, ctx: Context) -> RunResult:
            """Follow the run of an earlier attempt, which lives elsewhere, to its end."""
            return await agent.attach(request, _teller(ctx))

    @mcp.tool(name=CANCEL)
    async def cancel(request: RunRef) -> CancelResult:
        """Stop a run and everything that it started."""
        return await agent.cancel(request)

    @mcp.tool(name=HEALTH)
    async def health() -> Health:
        """Say whether it can work."""
        return await agent.health()

    return mcp


def _teller(ctx: Context) -> Tell:
    numbers = count(1)

    async def tell(line: str) -> None:
        await ctx.report_progress(next(numbers), None, line)

    return tell


def serve(name: str, agent: Agent) -> None:
    """Serve over stdio until stdin ends."""
    server(name, agent).run("stdio", show_banner=False)

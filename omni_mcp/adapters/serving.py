"""An agent as an MCP server over stdio, under `contract.py`: the same three tools for every adapter."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Protocol

from fastmcp import Context, FastMCP
from mcp import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult

from omni_mcp import __version__
from omni_mcp.contract import (
    CANCEL,
    HEALTH,
    QUESTION,
    RUN_TASK,
    CancelResult,
    Health,
    QuestionMark,
    RunRef,
    RunRequest,
    RunResult,
)
from omni_mcp.question import Action, Answer, Asked

Tell = Callable[[str], Awaitable[None]]
"""Takes a line for people."""
Ask = Callable[[Asked], Awaitable[Answer]]
"""Puts a question and returns the answer, however long that takes; `cancel` where nobody can be asked."""


class Agent(Protocol):
    """What an adapter knows to do."""

    async def run(self, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        """Run one attempt to its end; every end is a result."""
        ...

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run and wait until nothing of it is left."""
        ...

    async def health(self) -> Health:
        """Say whether it can work."""
        ...


def server(name: str, agent: Agent) -> FastMCP:
    """Return the MCP server over an agent."""
    mcp = FastMCP(name, version=__version__)

    @mcp.tool(name=RUN_TASK)
    async def run_task(request: RunRequest, ctx: Context) -> RunResult:
        """Run one attempt at a task; progress tells what it does."""
        numbers = count(1)

        async def tell(line: str) -> None:
            await ctx.report_progress(next(numbers), None, line)

        async def ask(asked: Asked) -> Answer:
            return await _elicited(ctx, request.task_id, asked)

        return await agent.run(request, tell, ask)

    @mcp.tool(name=CANCEL)
    async def cancel(request: RunRef) -> CancelResult:
        """Stop a run and everything that it started."""
        return await agent.cancel(request)

    @mcp.tool(name=HEALTH)
    async def health() -> Health:
        """Say whether it can work."""
        return await agent.health()

    return mcp


async def _elicited(ctx: Context, task_id: str, asked: Asked) -> Answer:
    """Ask by MCP elicitation; its mark says whose question it is, since runs share the session."""
    mark = QuestionMark(task_id=task_id, kind=asked.kind).model_dump(mode="json")
    fields = {"message": asked.text, "requestedSchema": dict(asked.schema), "_meta": {QUESTION: mark}}
    question = ElicitRequest(params=ElicitRequestFormParams.model_validate(fields))
    belongs = ServerMessageMetadata(related_request_id=ctx.request_id)
    try:
        said = await ctx.session.send_request(question, ElicitResult, metadata=belongs)
    except MCPError:  # a client that takes no questions
        return Answer(action=Action.CANCEL)
    return Answer(action=Action(said.action), content=said.content)


def serve(name: str, agent: Agent) -> None:
    """Serve over stdio until stdin ends."""
    server(name, agent).run("stdio", show_banner=False)

"""An agent as an MCP server over stdio, under `contract.py`: the same tools for every adapter."""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Protocol, runtime_checkable

from fastmcp import Context, FastMCP
from fastmcp.tools import ToolResult
from mcp import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult

from omni_mcp import __version__
from omni_mcp.contract import (
    ATTACH,
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

RESULT = RunResult.model_json_schema(mode="serialization")
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


@runtime_checkable
class Attaching(Protocol):
    """What an adapter knows besides whose runs live elsewhere."""

    async def attach(self, request: RunRequest, tell: Tell) -> RunResult:
        """Follow the run of an earlier attempt to its end; begin it if it was never accepted."""
        ...


def server(name: str, agent: Agent) -> FastMCP:
    """Return the MCP server over an agent; it offers `attach` if the agent does."""
    mcp = FastMCP(name, version=__version__)

    @mcp.tool(name=RUN_TASK, output_schema=RESULT)
    async def run_task(request: RunRequest, ctx: Context) -> ToolResult:
        """Run one attempt at a task; progress tells what it does."""
        ask = partial(_elicited, ctx, request.task_id)
        return _answer(await agent.run(request, _teller(ctx), ask))

    if isinstance(agent, Attaching):

        @mcp.tool(name=ATTACH, output_schema=RESULT)
        async def attach(request: RunRequest, ctx: Context) -> ToolResult:
            """Follow the run of an earlier attempt, which lives elsewhere, to its end."""
            return _answer(await agent.attach(request, _teller(ctx)))

    @mcp.tool(name=CANCEL)
    async def cancel(request: RunRef) -> CancelResult:
        """Stop a run and everything that it started."""
        return await agent.cancel(request)

    @mcp.tool(name=HEALTH)
    async def health() -> Health:
        """Say whether it can work."""
        return await agent.health()

    return mcp


def _answer(result: RunResult) -> ToolResult:
    """Return a result as data alone: as text besides, a large one would go over the pipe twice."""
    return ToolResult(content=[], structured_content=result.model_dump(mode="json"))


def _teller(ctx: Context) -> Tell:
    numbers = count(1)

    async def tell(line: str) -> None:
        await ctx.report_progress(next(numbers), None, line)

    return tell


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

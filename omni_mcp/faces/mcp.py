"""The MCP face: eight tools over a Service. It translates arguments and answers, and decides nothing.

What else a client may ask for stands beside it: `resources.py`, `prompts.py`, `completion.py`.
"""

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError, ValidationError
from fastmcp.server.auth import AuthProvider
from fastmcp.server.dependencies import get_context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import Tool, ToolResult
from fastmcp.utilities.json_schema import dereference_refs
from mcp.server.request_state import RequestStateSecurity
from mcp_types import CallToolRequestParams, ToolAnnotations
from pydantic import Field

from omni_mcp import __version__
from omni_mcp.errors import BadRequest, OmniError
from omni_mcp.faces.answers import call_result
from omni_mcp.faces.caller import service_of
from omni_mcp.faces.completion import completer
from omni_mcp.faces.icon import ICON
from omni_mcp.faces.native_tasks import NativeTasks
from omni_mcp.faces.own_task import in_own_task
from omni_mcp.faces.prompts import add_prompts
from omni_mcp.faces.refused import call_refused, shown_by
from omni_mcp.faces.resources import LARGEST, add_resources
from omni_mcp.faces.schema import output_schema
from omni_mcp.faces.waiting import CallingClient
from omni_mcp.ledger.base import ResultPart
from omni_mcp.question import Action, Answer
from omni_mcp.service.mode import LONGEST_OVERRIDE
from omni_mcp.service.result import RESULT_PAGE
from omni_mcp.service.service import Service
from omni_mcp.task import Mode, TaskSpec, TaskState
from omni_mcp.telemetry import traceparent
from omni_mcp.views.error import ErrorView
from omni_mcp.views.mode import ModeView
from omni_mcp.views.result import ResultView
from omni_mcp.views.resume import ResumeView
from omni_mcp.views.task import ListView, TaskView
from omni_mcp.views.view import View

logger = logging.getLogger(__name__)

INSTRUCTIONS = """\
Omni-Orchestrator runs work that takes minutes to days on other agents (Claude Code, any MCP server) and keeps it \
safe: a task is on disk before submit_task answers, and goes on when this window closes.
1. submit_task with what is to be done; it answers at once with a task_id.
2. task_status with that task_id and wait_seconds=50, again until state is completed, failed or cancelled. \
`waiting` is not a failure: `text` says what it waits for, `next_step` what to call.
3. task_result returns the whole result.
Each answer names the call that makes sense next (`next_step`), each error the one that mends it.
Do other things between the calls; do not submit the same work twice: an idempotency_key makes a repeat harmless."""

SERVICE, CALLER = "service", "caller"
"""Parameters of tools that are no arguments of their calls."""

OpenService = Callable[[], AbstractAsyncContextManager[Service]]

TaskId = Annotated[str, Field(description="The id, or its first 6 or more characters", min_length=1, max_length=200)]
WaitSeconds = Annotated[float, Field(ge=0, le=50, description="Wait up to so long for an end or a new wait")]

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
SUBMITS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)
ENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)


def create_face(
    open_service: OpenService,
    *,
    state: RequestStateSecurity | None = None,
    auth: AuthProvider | None = None,
    gate: Sequence[Middleware] = (),
) -> FastMCP[dict[str, Service]]:
    """Return the MCP server; its Service is opened with it.

    `state` seals what a client gives back with an answer; without, one that was given before a start is refused.
    `auth` says over HTTP who calls, `gate` what they may.
    """

    @asynccontextmanager
    async def lifespan(_server: FastMCP[dict[str, Service]]):
        async with in_own_task(open_service()) as service:
            yield {"service": service}

    face = Face(
        "Omni-Orchestrator",
        instructions=INSTRUCTIONS,
        version=__version__,
        icons=[ICON],
        lifespan=lifespan,
        auth=auth,
        middleware=[Refusals(), *gate],
        request_state_security=state,
        dereference_schemas=False,
    )
    face.add_extension(NativeTasks())
    for function, annotations, view in TOOLS:
        title = function.__name__.replace("_", " ").capitalize()
        tool = Tool.from_function(function, title=title, annotations=annotations, output_schema=output_schema(view))
        face.add_tool(tool.model_copy(update={"parameters": dereference_refs(tool.parameters)}))  # once, not each time
    add_resources(face)
    add_prompts(face)

    @asynccontextmanager
    async def asked() -> AsyncGenerator[Service]:
        async with Context(face) as context:
            yield service_of(context)

    face.completion(completer(asked))
    return face


class Face(FastMCP[dict[str, Service]]):
    """Knows each tool's schema at once.

    Before every call of 2026-07-28 the SDK asks for it, to compare headers that a schema may want; left alone it lists
    all tools for that, which costs more than most calls do.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._schemas: dict[str, Mapping[str, Any]] = {}
        super().__init__(*args, **kwargs)
        self._mcp_server.get_tool_input_schema = self._schemas.get

    def add_tool(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Add a tool; one that is added in another way has no headers compared."""
        added = super().add_tool(tool)
        self._schemas[added.name] = added.parameters
        return added


class Refusals(Middleware):
    """Turns wrong arguments and surprises into an error that the model can read and mend."""

    async def on_call_tool(
        self, context: MiddlewareContext[CallToolRequestParams], call_next: CallNext[CallToolRequestParams, ToolResult]
    ) -> ToolResult:
        """Answer instead of raising."""
        try:
            return await call_next(context)
        except ValidationError as error:
            return call_refused(_bad_arguments(error, context.message.name))
        except ToolError as error:
            logger.warning("%s", error, extra={"action": "tool_error"})
            said = shown_by(context.message.name, OmniError(str(error)[:500]))
            return call_refused(said.model_copy(update={"code": "internal"}))


def _bad_arguments(error: ValidationError, tool: str) -> ErrorView:
    lines = [line for line in str(error).splitlines()[1:] if "errors.pydantic.dev" not in line]
    said = "; ".join(line.strip().split(" [type=")[0] for line in lines)[:600]
    return ErrorView(
        code="bad_request", message=said, retryable=False, next_step=f"call {tool} again with these arguments mended"
    )


def answering(tool: Callable[..., Awaitable[View | ToolResult]]) -> Callable[..., Awaitable[ToolResult]]:
    """Show a tool's view, or what went wrong and the next call; a result that is none of a view stays as it is.

    The tool is given the Service and the client of the call at hand by name; FastMCP's own injection would cost each
    call a tenth of its time.
    """
    signature = inspect.signature(tool)
    asked = [each for name, each in signature.parameters.items() if name not in (SERVICE, CALLER)]

    @functools.wraps(tool)
    async def answer(*args: Any, **kwargs: Any) -> ToolResult:
        context = get_context()
        service = service_of(context)
        given = {SERVICE: service, CALLER: CallingClient(service, context)}
        known = {name: each for name, each in given.items() if name in signature.parameters}
        try:
            view = await tool(*args, **kwargs, **known)
        except OmniError as error:
            view = shown_by(tool.__name__, error)
        return view if isinstance(view, ToolResult) else await call_result(service, view)

    shown: Any = answer
    shown.__signature__ = signature.replace(parameters=asked)
    return answer


@answering
async def submit_task(
    description: Annotated[str, Field(description="The whole task, with all that the executor must know")],
    type: Annotated[  # noqa: A002
        str | None, Field(max_length=200, description="coding, general, always_on or a type of servers.yaml")
    ] = None,
    executor: Annotated[str | None, Field(max_length=200, description="Pins one; else routing chooses")] = None,
    model: Annotated[str | None, Field(max_length=200)] = None,
    cwd: Annotated[str | None, Field(description="Absolute folder; else an own empty one")] = None,
    priority: Annotated[int, Field(ge=-100, le=100, description="Higher runs first")] = 0,
    idempotency_key: Annotated[str | None, Field(max_length=200, description="Same key again: same task")] = None,
    budget_usd: Annotated[float | None, Field(description="Cost limit; reaching it, the task waits")] = None,
    deadline: Annotated[
        str | None, Field(max_length=100, description='Failed unless over by then: ISO 8601 with offset, or "2h"')
    ] = None,
    after: Annotated[list[str] | None, Field(description="Tasks to complete first")] = None,
    options: Annotated[
        dict[str, Any] | None,
        Field(description="permissions (read-only|edit), worktree, max_turns, timeout, max_attempts, memory: to lower"),
    ] = None,
    wait_seconds: WaitSeconds = 0,
    *,
    service: Service,
    caller: CallingClient,
) -> TaskView | ToolResult:
    """Hand off a piece of work. Answers at once with its task_id, after it is safely on disk; it then runs by itself.

    Next: task_status with wait_seconds=50.
    """
    spec = TaskSpec(
        description=description,
        type=type,
        executor=executor,
        model=model,
        cwd=cwd,
        priority=priority,
        idempotency_key=idempotency_key,
        deadline_said=deadline,
        after=tuple(after or ()),
        budget_usd=budget_usd,
        options=options or {},
        trace=traceparent(),
    )
    return await caller.over(
        await caller.again() or await service.submit(spec, client=caller.name), wait_seconds, handing_off=True
    )


@answering
async def task_status(
    task_id: TaskId,
    wait_seconds: WaitSeconds = 0,
    since_seq: Annotated[
        int | None, Field(ge=0, le=LARGEST, description="Also return the history after this number (next_seq)")
    ] = None,
    *,
    service: Service,
    caller: CallingClient,
) -> TaskView | ToolResult:
    """Say where a task stands: state, what it waits for, who serves it, progress, cost, what to call next.

    With wait_seconds it answers when the task ends or begins to wait, at the latest then: still running is a normal
    answer.
    """
    if since_seq is not None:
        return await service.status(task_id, wait_seconds=wait_seconds, since_seq=since_seq)
    return await caller.over(await caller.again() or await service.status(task_id), wait_seconds)


@answering
async def task_result(
    task_id: TaskId,
    offset: Annotated[
        int, Field(ge=0, le=LARGEST, description="Character to begin at: next_offset of the page before")
    ] = 0,
    limit: Annotated[int, Field(ge=1, le=100_000, description="Characters")] = RESULT_PAGE,
    part: ResultPart = "text",
    *,
    service: Service,
) -> ResultView:
    """Return the whole result of a task that is over, in pages; what of it is left_out, by its part, as JSON."""
    return await service.result(task_id, offset=offset, limit=limit, part=part)


@answering
async def list_tasks(
    state: Annotated[TaskState | None, Field(description="Only these")] = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 20,
    cursor: Annotated[str | None, Field(description="From the page before")] = None,
    *,
    service: Service,
) -> ListView:
    """List tasks in short rows, newest first."""
    return await service.list(states=[state] if state else [], limit=limit, cursor=cursor)


@answering
async def cancel_task(
    task_id: TaskId, reason: Annotated[str | None, Field(max_length=500)] = None, *, service: Service
) -> TaskView:
    """Stop a task and every process it started. Answers within 25 s: cancelled, or since when that is asked for."""
    return await service.cancel(task_id, reason=reason)


@answering
async def answer_task(
    task_id: TaskId,
    question_id: Annotated[str, Field(max_length=20)],
    action: Literal["accept", "decline", "cancel"],
    content: Annotated[
        dict[str, Any] | None, Field(description="Fields of the question's form; with decline: {message}")
    ] = None,
    *,
    service: Service,
) -> TaskView:
    """Answer a question of task_status that you can answer for the user; the first answer wins.

    One marked for_people is not yours: tell the user to run `omni-mcp answer` in a terminal.
    """
    answer = Answer(action=Action(action), content=content or None)
    return await service.answer(task_id, question_id, answer, person=False)


@answering
async def resume_pending(
    task_ids: Annotated[
        list[str] | None, Field(max_length=500, description="Naming a task is the consent to run it again, once")
    ] = None,
    add_budget_usd: Annotated[float | None, Field(description="Raise the budget of each named task by this")] = None,
    dry_run: Annotated[bool, Field(description="Only say what would happen")] = False,
    *,
    service: Service,
) -> ResumeView:
    """Let waiting tasks go on now, and say of each what follows. Without task_ids: all but those that wait for consent.

    What the mode holds stays held: it goes on by itself.
    """
    return await service.resume(task_ids, add_budget_usd=add_budget_usd, dry_run=dry_run)


@answering
async def system_mode(
    set: Annotated[  # noqa: A002
        Literal["normal", "degraded", "brainstem", "auto"] | None,
        Field(description="Set a mode by hand; auto leaves it to the machine again"),
    ] = None,
    for_minutes: Annotated[
        float | None, Field(gt=0, le=LONGEST_OVERRIDE, description="How long it holds; else an hour")
    ] = None,
    *,
    service: Service,
) -> ModeView:
    """Say how the whole is: mode, since, cause and evidence, what is held, next probe, engine, executors, problems.

    normal: LiteLLM serves. degraded: the providers serve directly. brainstem: no cloud answers, tasks wait.
    """
    if set is None:
        if for_minutes is not None:
            raise BadRequest("for_minutes comes with set", next_step="call system_mode with both, or with neither")
        return await service.mode()
    return await service.set_mode(None if set == "auto" else Mode(set), minutes=for_minutes)


TOOLS: tuple[tuple[Callable[..., Awaitable[ToolResult]], ToolAnnotations, type[View]], ...] = (
    (submit_task, SUBMITS, TaskView),
    (task_status, READS, TaskView),
    (task_result, READS, ResultView),
    (list_tasks, READS, ListView),
    (cancel_task, ENDS, TaskView),
    (answer_task, WRITES, TaskView),
    (resume_pending, WRITES, ResumeView),
    (system_mode, WRITES, ModeView),
)

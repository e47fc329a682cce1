"""Native MCP tasks over the rows of the ledger: what a client may drive itself instead of calling task_status.

SEP-2663, `io.modelcontextprotocol/tasks`: https://modelcontextprotocol.io/seps/2663-tasks-extension. A task is on disk
before its id is given, so `tasks/get` finds it whatever died in between. The ids are those of our tools.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from fastmcp import Context
from fastmcp.server.dependencies import get_context, get_http_request
from fastmcp.server.extensions import MethodBinding, ServerExtension, ToolCallContinuation, ToolCallOutcome
from fastmcp.utilities.tasks import TASKS_EXTENSION_ID
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ElicitResult,
    RequestParams,
    Result,
)
from mcp_types.jsonrpc import HEADER_MISMATCH, MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic.alias_generators import to_camel

from omni_mcp.decide.recovery import UNHEARD
from omni_mcp.errors import BadRequest, OmniError, QuestionGone
from omni_mcp.faces.answers import call_result
from omni_mcp.faces.caller import service_of
from omni_mcp.faces.elicit import answer_of, elicit_request, for_the_client, may_be_asked
from omni_mcp.faces.refused import rpc_refused
from omni_mcp.faces.waiting import HandedOff
from omni_mcp.question import Action
from omni_mcp.service.service import Service
from omni_mcp.task import Task, TaskState, WaitingFor
from omni_mcp.views.task import TaskView

POLL_MS = 1000
"""Milliseconds between two looks that we ask for: news come by looking, and one costs a read."""
CONSENT = "consent"
"""How the key of the request to run a task again begins; the attempt that went wrong ends it."""

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
Request = ServerRequestContext[Any, Any]


class Wire(BaseModel):
    """Base: fields as the protocol spells them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class NativeTask(Wire):
    """The fields that every answer about a task has (SEP-2663, `Task`)."""

    task_id: str
    status: Status
    status_message: str | None = None
    created_at: datetime
    last_updated_at: datetime
    ttl_ms: int | None = None
    """None: it is kept until a person purges it."""
    poll_interval_ms: int = POLL_MS

    @model_serializer(mode="wrap")
    def _with_ttl(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keep the one field that has to be there even where it is null."""
        return {"ttlMs": self.ttl_ms} | handler(self)


class CreateTaskResult(NativeTask):
    """A task in place of the result of a call."""

    result_type: Literal["task"] = "task"


class GetTaskResult(NativeTask):
    """Where a task stands, with its result, its error, or what it asks."""

    result_type: Literal["complete"] = "complete"
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None


class Acknowledged(Result):
    """The answer to `tasks/update` and `tasks/cancel`; what follows shows in `tasks/get`."""

    result_type: Literal["complete"] = "complete"


class TaskParams(RequestParams):
    """Which task."""

    task_id: str


class UpdateParams(TaskParams):
    """What is answered to which of its requests."""

    input_responses: dict[str, Any]


class NativeTasks(ServerExtension):
    """The extension. A tool gives a task away by returning `HandedOff`."""

    identifier = TASKS_EXTENSION_ID

    def __init__(self) -> None:
        self._dismissed: set[str] = set()
        """Consents that were not given: they are not asked for again, and the task goes on waiting."""

    def methods(self) -> Sequence[MethodBinding]:
        """Return what is served beside the protocol's own."""
        versions = frozenset(MODERN_PROTOCOL_VERSIONS)
        return [
            MethodBinding("tasks/get", TaskParams, self.get, versions),
            MethodBinding("tasks/update", UpdateParams, self.update, versions),
            MethodBinding("tasks/cancel", TaskParams, self.cancel, versions),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, context: Context, call_next: ToolCallContinuation
    ) -> ToolCallOutcome:
        """Answer a call with its task, read back from the ledger, where the tool has given it away."""
        answer = await call_next()
        if not isinstance(answer, HandedOff):
            return answer
        service = service_of(context)
        task = await service.row((answer.structured_content or {})["task_id"])
        return CreateTaskResult(status="working", **_fields(task))

    async def get(self, request: Request, params: TaskParams) -> GetTaskResult:
        """Say where a task stands."""
        service = _checked(request, params)
        try:
            task, view = await service.row(params.task_id), await service.status(params.task_id)
            return await self._got(service, task, view, may_ask=may_be_asked(request.session))
        except OmniError as error:
            raise _refusal(error) from error

    async def update(self, request: Request, params: UpdateParams) -> Acknowledged:
        """Take answers, each the first that counts; what nobody asks (any more) is left alone."""
        service = _checked(request, params)
        try:
            task = await service.row(params.task_id)
            known = {each.question_id for each in await service.questions(task.id)} | {_consent_key(task)}
            said = {key: _elicited(key, each) for key, each in params.input_responses.items() if key in known}
            for key, answer in said.items():
                await self._take(service, task, key, answer)
        except OmniError as error:
            raise _refusal(error) from error
        return Acknowledged()

    async def cancel(self, request: Request, params: TaskParams) -> Acknowledged:
        """Have a task stopped; one that is over stays as it is."""
        service = _checked(request, params)
        try:
            task = await service.row(params.task_id)
            await service.cancel(task.id, reason="cancelled by the client", limit=0)
        except OmniError as error:
            raise _refusal(error) from error
        return Acknowledged()

    async def _take(self, service: Service, task: Task, key: str, answer: ElicitResult) -> None:
        if key != _consent_key(task):
            try:
                await service.answer(task.id, key, answer_of(answer), person=False)
            except QuestionGone:
                return
        elif answer.action == Action.ACCEPT:
            await service.resume([task.id])
        else:
            self._dismissed.add(f"{task.id} {key}")

    async def _got(self, service: Service, task: Task, view: TaskView, *, may_ask: bool) -> GetTaskResult:
        """Show a task; `task` may be older than `view`, which is what counts."""
        fields: dict[str, Any] = _fields(task) | {"status_message": _message(view)}
        if view.state is TaskState.COMPLETED or view.state is TaskState.CANCELLED:
            result = await _result(service, view) if view.state is TaskState.COMPLETED else None
            return GetTaskResult(status=view.state.value, result=result, **fields)
        if view.state is TaskState.FAILED:
            end = await service.result(view.task_id, limit=1)
            if end.error in UNHEARD:
                error = {"code": INTERNAL_ERROR, "message": view.text or "it failed", "data": view.shown()}
                return GetTaskResult(status="failed", error=error, **fields)
            return GetTaskResult(status="completed", result=await _result(service, view, is_error=True), **fields)
        asked = self._requests(task, view) if may_ask else {}
        if asked:
            return GetTaskResult(status="input_required", input_requests=asked, **fields)
        return GetTaskResult(status="working", **fields)

    def _requests(self, task: Task, view: TaskView) -> dict[str, Any]:
        """Return what the client may answer: open questions, and whether to run again what may have had effects."""
        asked = dict(for_the_client(view.questions))
        key = _consent_key(task)
        if key is not None and f"{task.id} {key}" not in self._dismissed:
            text = f"{view.text or 'Its outcome is unknown.'}\nAccept to run it again, once."
            asked[key] = elicit_request(text, {"type": "object", "properties": {}})
        return {name: each.model_dump(mode="json", by_alias=True, exclude_none=True) for name, each in asked.items()}


def _checked(request: Request, params: TaskParams) -> Service:
    """Refuse a client that did not declare the extension, or whose headers name another task."""
    context = get_context()
    if context.client_extension_settings(TASKS_EXTENSION_ID) is None:
        raise missing_capability()
    if request.request is not None:
        named = get_http_request().headers.get(MCP_NAME_HEADER)
        if named is not None and decode_header_value(named) != params.task_id:
            raise MCPError(code=HEADER_MISMATCH, message=f"the header {MCP_NAME_HEADER} names another task")
    return service_of(context)


def missing_capability() -> MCPError:
    """Return what a client is told that does not declare the extension for a request that needs it."""
    return MCPError(
        code=MISSING_REQUIRED_CLIENT_CAPABILITY,
        message=f"this needs the extension {TASKS_EXTENSION_ID}, which the client did not declare for this request",
        data={"requiredCapabilities": {"extensions": {TASKS_EXTENSION_ID: {}}}},
    )


def _refusal(error: OmniError) -> MCPError:
    """Return an error of ours as JSON-RPC has it."""
    return rpc_refused(INVALID_PARAMS if isinstance(error, BadRequest) else INTERNAL_ERROR, error)


def _elicited(key: str, said: Any) -> ElicitResult:
    try:
        return ElicitResult.model_validate(said)
    except ValidationError as error:
        raise MCPError(code=INVALID_PARAMS, message=f"the answer to {key!r:.100} is no elicitation result") from error


def _fields(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "created_at": task.created_at, "last_updated_at": task.updated_at}


def _consent_key(task: Task) -> str | None:
    """Return the key under which this very attempt's consent is asked for; it is never used for another."""
    return f"{CONSENT}-{task.attempt}" if task.waiting_for is WaitingFor.CONSENT else None


def _message(view: TaskView) -> str | None:
    """Say where it stands; a client that cannot be asked reads here what to do."""
    said = [view.text or view.progress, view.next_step if view.state is TaskState.WAITING else None]
    return " · ".join(filter(None, said)) or None


async def _result(service: Service, view: TaskView, *, is_error: bool = False) -> dict[str, Any]:
    """Return what task_status would answer now, as the result of the call that asked for the task."""
    answer = await call_result(service, view, is_error=is_error)
    result = CallToolResult(
        content=answer.content, structured_content=answer.structured_content, is_error=answer.is_error
    )
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)

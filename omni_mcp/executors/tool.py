"""One tool of a foreign MCP server as an executor: the row says which, with which arguments, and what its result is."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mcp.types import CallToolResult

from omni_mcp.contract import CancelResult, Health, RunRef, RunRequest
from omni_mcp.errors import ExecutorUnusable
from omni_mcp.executors import template
from omni_mcp.executors.answers import shown, text_of
from omni_mcp.executors.elicitation import Caller
from omni_mcp.executors.executor import OnProgress, OnQuestion, ToolInfo
from omni_mcp.executors.session import Session
from omni_mcp.pointer import NotThere, at
from omni_mcp.presets import ExecutorSpec
from omni_mcp.task import Completed, Failed, FailureClass, Outcome

PLACES = {"description", "memory", "task_id", "attempt", "cwd", "model"}
"""What of a request may stand in the arguments."""


class ToolExecutor:
    """Runs a task by one tool call. Satisfies `executor.Executor`."""

    def __init__(self, spec: ExecutorSpec, session: Session) -> None:
        self.name = spec.name
        self._row = spec.row
        self._tool = spec.row.tool or ""
        self._session = session

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        """Call the tool once. Raises ExecutorUnusable and ExecutorLost; see `executor.Executor.run`."""
        arguments = filled(self._row.arguments, request)
        caller = Caller(request.task_id, on_question) if on_question else None
        answer = await self._session.call(
            self._tool, arguments, timeout=request.timeout, on_progress=on_progress, caller=caller
        )
        outcome = answer if isinstance(answer, Failed) else outcome_of(answer, self._row.result, tool=self._named)
        if isinstance(outcome, Failed):
            with suppress(ExecutorUnusable):
                return await self._unknown_tool() or outcome
        return outcome

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Say what is known: the cancelled `run` has told the server, and MCP has no answer to that."""
        left = f"{self._named} was told to stop; an MCP server does not confirm that"
        return CancelResult(stopped=False, remaining=[left])

    async def health(self) -> Health:
        """Open the session if it is not open, and look for the tool. Raises ExecutorUnusable."""
        unknown = await self._unknown_tool()
        if unknown is not None:
            return Health(ok=False, version=self._session.version, detail=unknown.message, fix=unknown.fix)
        return Health(ok=True, version=self._session.version)

    async def tools(self) -> Sequence[ToolInfo]:
        """List what the server offers. Raises ExecutorUnusable."""
        return await self._session.tools()

    @property
    def _named(self) -> str:
        return f"{self.name}.{self._tool}"

    async def _unknown_tool(self) -> Failed | None:
        names = sorted(tool.name for tool in await self._session.tools())
        if self._tool in names:
            return None
        message = f"{self.name} has no tool {self._tool!r}; there are: {', '.join(names) or 'none'}"
        return Failed(
            kind=FailureClass.CONFIG, message=message, fix="set `tool` of its row in servers.yaml to one of them"
        )


def filled(arguments: Mapping[str, Any], request: RunRequest) -> dict[str, Any]:
    """Return the arguments of a row with what they name of a request put in: `PLACES`."""
    return template.filled(arguments, request.model_dump(include=PLACES))


def outcome_of(answer: CallToolResult, wanted: str, *, tool: str) -> Outcome:
    """Take from an answer what the row's `result` names: `text`, `structured`, or a JSON pointer."""
    structured = answer.structured_content
    if answer.is_error:
        return Failed(kind=FailureClass.TASK, message=text_of(answer) or f"{tool} reported an error without a word")
    if wanted == "text":
        return Completed(text=text_of(answer), structured=structured)
    if structured is None:
        return _no_result(f"{tool} gave no structured result, but `result: {wanted}` asks for one")
    try:
        found = at("" if wanted == "structured" else wanted, structured)
    except NotThere as error:
        return _no_result(f"{tool} gave a structured result without {wanted} (nothing at {str(error)!r})")
    return Completed(text=shown(found), structured=found)


def _no_result(message: str) -> Failed:
    return Failed(kind=FailureClass.TASK, message=message, fix="mend `result` of its row in servers.yaml")

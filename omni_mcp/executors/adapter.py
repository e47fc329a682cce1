"""An executor that speaks the adapter contract (`contract.py`): ours, or anybody's in any language."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from mcp.types import CallToolResult
from pydantic import BaseModel, ValidationError

from omni_mcp.contract import (
    ATTACH,
    CANCEL,
    HEALTH,
    RUN_TASK,
    TASK_MARK,
    CancelResult,
    Health,
    RunRef,
    RunRequest,
    RunResult,
)
from omni_mcp.errors import ExecutorError, ExecutorLost
from omni_mcp.executors.answers import text_of
from omni_mcp.executors.elicitation import Caller
from omni_mcp.executors.executor import OnProgress, OnQuestion, ToolInfo
from omni_mcp.executors.session import Session
from omni_mcp.presets import ExecutorSpec
from omni_mcp.processes import sweep
from omni_mcp.task import Completed, Failed, FailureClass, Outcome, Recovery, Used

GRACE = 15.0
"""Seconds beyond the attempt's limit before we stop waiting: an adapter ends its run itself a little before."""
CONTROL_LIMIT = 20.0
"""Seconds that an adapter has to answer `cancel` and `health`."""

NAME_A_TOOL = "name the one that runs a task with `tool` and `arguments` in its row of servers.yaml"
NO_ATTACH = f"its row says `recovery: attach`, but it has no tool {ATTACH}, so a run cannot be asked for again"
OTHER_RECOVERY = "give its row of servers.yaml another `recovery`, or an adapter with that tool"

_M = TypeVar("_M", bound=BaseModel)


class AdapterExecutor:
    """Runs a task by the contract's `run_task` or `attach`. Satisfies `executor.Executor`."""

    def __init__(self, spec: ExecutorSpec, session: Session) -> None:
        self.name = spec.name
        self._local = bool(spec.command)
        self._attaches = spec.recovery is Recovery.ATTACH
        self._session = session

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        """Run one attempt to its end, or follow the one before it where that lives elsewhere.

        Raises ExecutorUnusable and ExecutorLost; see `executor.Executor.run`.
        """
        tool = ATTACH if request.resume and self._attaches else RUN_TASK
        limit = request.timeout + GRACE
        caller = Caller(request.task_id, on_question) if on_question else None
        try:
            answer = await self._session.call(
                tool, request.wire(), timeout=limit, on_progress=on_progress, caller=caller
            )
        except ExecutorLost:
            await self._end_tree(request.task_id)
            raise
        if isinstance(answer, Failed) or answer.is_error:
            with suppress(ExecutorError):  # what was sent has failed, whatever a second look comes to
                if strange := await self._strange(tool):
                    return strange
        result = self._read(answer, RunResult)
        return result if isinstance(result, Failed) else outcome_of(result)

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Ask the adapter to stop a run; one that cannot say so has its local process tree ended by us."""
        arguments = {"request": ref.model_dump(mode="json")}
        try:
            answer = await self._session.call(CANCEL, arguments, timeout=CONTROL_LIMIT)
        except ExecutorLost:
            left = await self._end_tree(ref.task_id)
            return CancelResult(stopped=self._local and not left, remaining=list(left))
        result = self._read(answer, CancelResult)
        return result if isinstance(result, CancelResult) else CancelResult(stopped=False, remaining=[result.message])

    async def health(self) -> Health:
        """Open the session if it is not open, and ask. Raises ExecutorUnusable and ExecutorLost."""
        if strange := await self._strange(ATTACH if self._attaches else RUN_TASK):
            return Health(ok=False, detail=strange.message, fix=strange.fix)
        health = self._read(await self._session.call(HEALTH, {}, timeout=CONTROL_LIMIT), Health)
        return health if isinstance(health, Health) else Health(ok=False, detail=health.message, fix=health.fix)

    async def tools(self) -> Sequence[ToolInfo]:
        """List what the adapter offers. Raises ExecutorUnusable."""
        return await self._session.tools()

    async def _strange(self, needed: str) -> Failed | None:
        """Say what a server lacks that is no adapter, or none whose runs live elsewhere. Raises as `tools` does."""
        names = [tool.name for tool in await self._session.tools()]
        if RUN_TASK not in names:
            message = f"it has no tool {RUN_TASK}, but: {', '.join(names[:20]) or 'none at all'}"
            return Failed(kind=FailureClass.CONFIG, message=message, fix=NAME_A_TOOL)
        if needed not in names:  # the earlier run may live: nobody else may begin before a person has looked
            return Failed(kind=FailureClass.UNKNOWN, message=NO_ATTACH, fix=OTHER_RECOVERY)
        return None

    async def _end_tree(self, task_id: str) -> Sequence[str]:
        """End what a run has left behind on this machine, so that the next attempt is alone; returns what stays."""
        if not self._local:
            return [f"{self.name} is remote and does not answer"]
        return (await run_sync(partial(sweep, TASK_MARK, task_id))).remaining

    def _read(self, answer: CallToolResult | Failed, kind: type[_M]) -> _M | Failed:
        """Return what the adapter said in the contract's words, or what is wrong with its answer."""
        if isinstance(answer, Failed):
            return answer
        if answer.is_error:
            return Failed(kind=FailureClass.UNKNOWN, message=f"{self.name} stumbled: {text_of(answer)}")
        try:
            return kind.model_validate(answer.structured_content)
        except ValidationError as error:
            message = f"lying executor: {self.name} answered with something that is no {kind.__name__}: {_flaws(error)}"
            return Failed(kind=FailureClass.UNKNOWN, message=message, fix="it has to keep to the adapter contract")


def outcome_of(result: RunResult) -> Outcome:
    """Return a run's end in the words of the house."""
    if result.status == "completed" and not result.text and result.structured is None:
        message = "lying executor: it says that the run is completed, but brought no result"
        return Failed(kind=FailureClass.UNKNOWN, message=message, fix="it has to keep to the adapter contract")
    if result.status == "completed":
        return Completed(text=result.text, structured=result.structured, notes=_notes(result), used=_used(result))
    return Failed(
        kind=result.failure or FailureClass.UNKNOWN,
        message=result.message or "the executor failed without saying why",
        fix=result.fix,
        retry_at=_aware(result.retry_at),
        partial=result.text or None,
        lives=result.lives,
        used=_used(result),
    )


def _notes(result: RunResult) -> Mapping[str, Any] | None:
    usage = {"usage": result.usage.model_dump(exclude_defaults=True)} if result.usage else {}
    return {**result.notes, **usage} or None


def _used(result: RunResult) -> Used | None:
    return Used(**result.usage.model_dump()) if result.usage else None


def _aware(moment: datetime | None) -> datetime | None:
    """Take a time without a zone for UTC: anybody writes adapters."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _flaws(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, flaw['loc'])) or 'all of it'}: {flaw['msg']}" for flaw in error.errors()[:3])

"""Waiting for a task as the client at hand can: it drives the task itself, sees progress, is asked what is asked.

Three ways, by what the client declares: the tasks extension (`native_tasks.py` goes on from `HandedOff`), elicitation
by a request to it (protocols up to 2025-11-25), elicitation by what the call returns (from 2026-07-28 on).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from fastmcp import Context
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from fastmcp.utilities.tasks import TASKS_EXTENSION_ID
from mcp import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_mcp.errors import QuestionGone
from omni_mcp.faces.elicit import answer_of, for_the_client, may_be_asked
from omni_mcp.question import Action
from omni_mcp.service.service import Service
from omni_mcp.task import ENDS_BY_ITSELF, TERMINAL, TaskState
from omni_mcp.views.task import TaskView

HEARTBEAT = 5.0
"""Seconds between two signs of life to a caller that wants progress: some clients give up without any."""
SUBMIT_SAID = ("deduplicated", "engine", "requested", "reason")
"""What only the first view of a task says, and the later ones must not lose."""


class HandedOff(ToolResult):
    """The answer of a call whose task the client drives itself from here on."""


@dataclass(frozen=True, slots=True)
class CallingClient:
    """The client of one call, and what it can do."""

    service: Service
    context: Context

    @property
    def name(self) -> str | None:
        """How it calls itself; one of the newest protocol may not say."""
        said = self.context.session.client_params
        return None if said is None else said.client_info.name

    @property
    def modern(self) -> bool:
        """Whether it speaks a protocol without requests to the client."""
        request = self.context.request_context
        return request is not None and request.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def drives_tasks(self) -> bool:
        """Whether it declares the tasks extension, for this very call."""
        return self.modern and self.context.client_extension_settings(TASKS_EXTENSION_ID) is not None

    async def again(self) -> TaskView | None:
        """Return the task that this call was about before its client went to ask its user, with what was answered.

        None: it is the first round. Raises BadRequest for an answer that does not fit.
        """
        task_id = self.context.request_state if self.modern else None
        if task_id is None:
            return None
        for question_id, answer in (self.context.input_responses or {}).items():
            if isinstance(answer, ElicitResult):
                await self._answered(task_id, question_id, answer)
        return await self.service.status(task_id)

    async def over(self, view: TaskView, wait_seconds: float, *, handing_off: bool = False) -> TaskView | ToolResult:
        """Wait until the task is over or waits for somebody, at most so long.

        `handing_off`: a client that drives tasks itself may have this one.
        """
        if not wait_seconds:
            return view
        if handing_off and self.drives_tasks and view.state not in TERMINAL:
            return HandedOff(content=[], structured_content=view.shown())
        first, ends = view, anyio.current_time() + wait_seconds
        while True:
            view = _merged(first, await self._settled(view, ends))
            asked = for_the_client(view.questions if may_be_asked(self.context.session) else None)
            if not asked or self._unwilling():
                return view
            if self.modern:
                return InputRequiredToolResult(
                    InputRequiredResult(input_requests=dict(asked), request_state=view.task_id)
                )
            if not await self._asked(view.task_id, asked, ends):
                return view

    def _unwilling(self) -> bool:
        """Whether the user has not answered what was asked in the round before: the question stays open."""
        said = (self.context.input_responses or {}).values() if self.modern else ()
        return any(isinstance(each, ElicitResult) and each.action != Action.ACCEPT for each in said)

    async def _settled(self, view: TaskView, ends: float) -> TaskView:
        """Wait for an end or a wait, and tell what goes on meanwhile to a caller that wants to know."""
        beats = 0
        while True:
            left = max(ends - anyio.current_time(), 0.0)
            before, view = view, await self.service.status(view.task_id, wait_seconds=min(left, HEARTBEAT))
            known = view.waiting_for in ENDS_BY_ITSELF and view.waiting_for is before.waiting_for
            if view.state in TERMINAL or (view.state is TaskState.WAITING and not known) or left <= HEARTBEAT:
                return view
            beats += 1
            await self.context.report_progress(beats, None, view.progress or view.text or view.state)

    async def _asked(self, task_id: str, asked: Mapping[str, ElicitRequest], ends: float) -> bool:
        """Put the first question to the client's user. False: it is still open when the time is up, or they decline."""
        question_id, request = next(iter(asked.items()))
        closed = False

        async def elsewhere() -> None:
            nonlocal closed
            await self.service.closed(task_id, question_id)
            closed = True
            tasks.cancel_scope.cancel()

        answer: ElicitResult | None = None
        with anyio.CancelScope(deadline=ends):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(elsewhere, name=f"{question_id} answered elsewhere")
                answer = await self._elicited(request)
                tasks.cancel_scope.cancel()
        if answer is not None and answer.action == Action.ACCEPT:
            await self._answered(task_id, question_id, answer)
            return True
        return closed

    async def _elicited(self, request: ElicitRequest) -> ElicitResult | None:
        params = request.params
        assert isinstance(params, ElicitRequestFormParams)  # noqa: S101 - `elicit_request` makes no other
        related = self.context.request_id
        try:
            return await self.context.session.elicit_form(params.message, params.requested_schema, related)
        except (MCPError, ValidationError):  # it cannot, or answers nonsense: answer_task is still there
            return None

    async def _answered(self, task_id: str, question_id: str, answer: ElicitResult) -> None:
        """Write an answer down; the first one wins, and a user who declines has not answered."""
        if answer.action != Action.ACCEPT:
            return
        try:
            await self.service.answer(task_id, question_id, answer_of(answer), person=False)
        except QuestionGone:
            return


def _merged(first: TaskView, now: TaskView) -> TaskView:
    kept = {name: getattr(first, name) for name in SUBMIT_SAID if getattr(now, name) is None}
    return now.model_copy(update=kept)

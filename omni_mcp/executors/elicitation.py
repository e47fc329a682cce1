"""Whose question an elicitation is: one session serves several calls, and a server may ask in each of them.

In the newer era of MCP a question is the answer to a call (`input_required`), so it is clear whose it is. In the older
one it is a request of its own: then `_meta` names the task (`contract.QUESTION`), or only one call is there.
"""

import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fastmcp.client.elicitation import ElicitResult
from mcp.types import ElicitRequestFormParams, ElicitRequestParams
from pydantic import ValidationError

from omni_mcp.contract import QUESTION, QuestionMark
from omni_mcp.executors.executor import OnQuestion
from omni_mcp.pause import Pause
from omni_mcp.question import Answer, Asked, QuestionKind

logger = logging.getLogger(__name__)

ROUNDS = 100
"""Questions that one call may ask in the newer era before it is taken for a loop."""
SCHEMA_CHARACTERS = 10_000
"""A form larger than this is put before nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who takes the questions of one call."""

    task_id: str
    on_question: OnQuestion


OnElicitation = Callable[[str, Any, ElicitRequestParams, Any], Awaitable[ElicitResult[dict[str, Any]]]]
"""What the client library asks: message, type, whole request, context."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A call that is under way."""

    caller: Caller
    limit: Pause


_calling: ContextVar[_Call | None] = ContextVar("calling", default=None)


class Switchboard:
    """Hands each elicitation of a session to the call that it belongs to."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: list[_Call] = []

    @contextmanager
    def listening(self, caller: Caller | None, limit: Pause) -> Generator[None]:
        """Take questions for a call while the body runs; enter it when the session is open."""
        if caller is None:
            yield
            return
        self._calls.append(call := _Call(caller, limit))
        token = _calling.set(call)
        try:
            yield
        finally:
            _calling.reset(token)
            self._calls.remove(call)

    async def __call__(
        self, message: str, _response: object, params: ElicitRequestParams, _context: object
    ) -> ElicitResult[dict[str, Any]]:
        """Answer an elicitation; one that cannot be put before anybody is cancelled, which the server is told."""
        mark = _mark(params)
        call = self._call(mark)
        if call is None or len(str(schema := _schema(params))) > SCHEMA_CHARACTERS:
            why = "nobody knows whose it is" if call is None else "its form is too large to be shown"
            logger.warning("%s asked, %s: %.200s", self._name, why, message, extra={"action": "question_refused"})
            return ElicitResult(action="cancel")
        with call.limit.asking():
            answer = await call.caller.on_question(Asked(kind=mark.kind, text=_text(message, params), schema=schema))
        return _result(answer)

    def _call(self, mark: QuestionMark) -> _Call | None:
        if (calling := _calling.get()) is not None:
            return calling
        found = [each for each in self._calls if mark.task_id in (None, each.caller.task_id)]
        return found[0] if len(found) == 1 else None


def _mark(params: ElicitRequestParams) -> QuestionMark:
    """Return what the server says of its question. A page to open is for people, whatever it says."""
    if not isinstance(params, ElicitRequestFormParams):
        return QuestionMark(kind=QuestionKind.PERMISSION)
    meta: Mapping[str, Any] = dict(params.meta or {})
    try:
        return QuestionMark.model_validate(meta.get(QUESTION) or {})
    except ValidationError:
        return QuestionMark()


def _schema(params: ElicitRequestParams) -> Mapping[str, Any]:
    return dict(params.requested_schema) if isinstance(params, ElicitRequestFormParams) else {}


def _text(message: str, params: ElicitRequestParams) -> str:
    return message if isinstance(params, ElicitRequestFormParams) else f"{message}\n{params.url}"


def _result(answer: Answer) -> ElicitResult[dict[str, Any]]:
    content = None if answer.content is None else dict(answer.content)
    return ElicitResult(action=answer.action.value, content=content)

"""A run of `claude` that may ask: which calls it may make, and what its AskUserQuestion wants to know.

`--permission-prompt-tool stdio` sends these questions down the stream that we read anyway and takes the answers from
stdin (the protocol of the vendor's Agent SDK, there `can_use_tool`). So there is no second MCP server, no socket and no
secret, and a run that asks nothing costs nothing.
"""

import json
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omni_mcp.adapters.claude_stream import call_in_words
from omni_mcp.adapters.serving import Ask
from omni_mcp.question import Action, Answer, Asked, QuestionKind

NOBODY = "Nobody could be asked for this permission. Do without it, or say what you could not do."
NO = "A person did not allow this."


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CanUseTool(_Wire):
    """What is asked."""

    subtype: str = ""
    tool_name: str = ""
    input: Mapping[str, Any] = Field(default_factory=dict)
    decision_reason: str | None = None


class Control(_Wire):
    """A line of the stream that wants an answer, or takes that back."""

    type: str
    request_id: str = ""
    request: CanUseTool = CanUseTool()


class Dialogue:
    """Both directions of one run that may ask; `begin` it, have it `hear` each line, `end` it with the stream."""

    def __init__(self, process: Process, ask: Ask, tasks: TaskGroup) -> None:
        self._process = process
        self._ask = ask
        self._tasks = tasks
        self._asking: dict[str, anyio.CancelScope] = {}
        self._writing = anyio.Lock()

    @property
    def waits(self) -> bool:
        """Whether somebody is asked now."""
        return bool(self._asking)

    async def begin(self, prompt: bytes) -> None:
        """Say what is to be done; stdin stays open for answers."""
        await self._say({"type": "user", "message": {"role": "user", "content": prompt.decode()}})

    def hear(self, line: bytes) -> None:
        """Take a line of the stream; what it asks is answered meanwhile."""
        match _control(line):
            case Control(type="control_request", request=CanUseTool(subtype="can_use_tool")) as asked:
                self._asking[asked.request_id] = anyio.CancelScope()
                self._tasks.start_soon(self._answer, asked, name=f"question {asked.request_id}")
            case Control(type="control_cancel_request", request_id=request_id) if request_id in self._asking:
                self._asking[request_id].cancel()
            case _:
                pass

    def end(self) -> None:
        """Wait for no answer any more, and let `claude` end."""
        for scope in self._asking.values():
            scope.cancel()
        assert self._process.stdin is not None  # noqa: S101 - started with a pipe
        self._process.stdin.close()

    async def _answer(self, control: Control) -> None:
        asked = control.request
        with self._asking[control.request_id]:
            answer = await self._ask(question_of(asked))
            response = {"subtype": "success", "request_id": control.request_id, "response": response_to(asked, answer)}
            await self._say({"type": "control_response", "response": response})
        del self._asking[control.request_id]

    async def _say(self, message: Mapping[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - started with a pipe
        async with self._writing:
            with suppress(ConnectionError, RuntimeError):  # it has ended
                stdin.write(json.dumps(message).encode() + b"\n")
                await stdin.drain()


def _control(line: bytes) -> Control | None:
    """Return what a line wants of us; most lines want nothing."""
    if b'"control_' not in line:
        return None
    try:
        return Control.model_validate_json(line)
    except ValidationError:
        return None


def question_of(asked: CanUseTool) -> Asked:
    """Return what people are asked: the same words for the same call, so that a resumed run finds its answer."""
    if questions := _questions(asked):
        text = "\n\n".join(_in_words(question) for question in questions)
        return Asked(kind=QuestionKind.INPUT, text=text, schema=_form(questions))
    why = f"\n{asked.decision_reason}" if asked.decision_reason else ""
    details = json.dumps(asked.input, ensure_ascii=False, indent=2)
    text = f"{call_in_words(asked.tool_name, asked.input)}{why}\n\n{details}"
    return Asked(kind=QuestionKind.PERMISSION, text=text, schema={"type": "object", "properties": {}})


def response_to(asked: CanUseTool, answer: Answer) -> Mapping[str, Any]:
    """Return an answer in the words of the vendor."""
    content = dict(answer.content or {})
    if answer.action is not Action.ACCEPT:
        said = f"{NO} {content.get('message') or ''}".strip() if answer.action is Action.DECLINE else NOBODY
        return {"behavior": "deny", "message": said}
    if not (questions := _questions(asked)):
        return {"behavior": "allow", "updatedInput": asked.input}
    said = {str(question["question"]): _chosen(content.get(str(question["question"]))) for question in questions}
    return {"behavior": "allow", "updatedInput": {**asked.input, "answers": said}}


def _questions(asked: CanUseTool) -> Sequence[Mapping[str, Any]]:
    """Return the questions of an AskUserQuestion; another tool has none."""
    found: Sequence[Any] = asked.input.get("questions") or () if asked.tool_name == "AskUserQuestion" else ()
    return [cast("Mapping[str, Any]", each) for each in found if isinstance(each, dict) and "question" in each]


def _in_words(question: Mapping[str, Any]) -> str:
    lines = [f"- {each.get('label')}: {each.get('description', '')}" for each in question.get("options") or ()]
    return "\n".join([str(question["question"]), *lines])


def _form(questions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    fields = {str(question["question"]): _field(question) for question in questions}
    return {"type": "object", "properties": fields, "required": list(fields)}


def _field(question: Mapping[str, Any]) -> Mapping[str, Any]:
    labels = [str(each.get("label")) for each in question.get("options") or ()]
    one: Mapping[str, Any] = {"type": "string", "enum": labels} if labels else {"type": "string"}
    return {"type": "array", "items": one} if question.get("multiSelect") else one


def _chosen(value: object) -> str:
    return ", ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)

"""What the forms of the page say, as the words that the service takes. What it means is for the service to judge."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request

from omni_mcp.decide.answering import choices, fields_of
from omni_mcp.errors import BadRequest
from omni_mcp.question import Action, Answer
from omni_mcp.task import TaskSpec
from omni_mcp.views.question import QuestionView

FIELD = "field."
"""How the names of an answer's fields begin."""
MOST_FIELDS = 300
GIVEN = ("description", "type", "executor", "model", "cwd", "priority", "deadline", "budget_usd")
"""The fields of a new task."""

Form = Mapping[str, Sequence[str]]


async def form_of(request: Request) -> Form:
    """Return what was sent. Raises BadRequest."""
    try:
        body = (await request.body()).decode()
        return parse_qs(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise BadRequest(f"this is no form: {error}", next_step="send it from the page") from error


def one(form: Form, name: str) -> str:
    """Return the first value of a field, without space around it; nothing where it is not there."""
    return next(iter(form.get(name, ())), "").strip()


def spec_of(form: Form) -> TaskSpec:
    """Return the task that somebody asks for. Raises BadRequest."""
    return TaskSpec(
        description=next(iter(form.get("description", ())), "").replace("\r\n", "\n"),
        type=one(form, "type") or None,
        executor=one(form, "executor") or None,
        model=one(form, "model") or None,
        cwd=one(form, "cwd") or None,
        priority=int(_number(form, "priority") or 0),
        idempotency_key=one(form, "idempotency_key") or None,
        deadline_said=one(form, "deadline") or None,
        budget_usd=_number(form, "budget_usd"),
    )


def raise_of(form: Form) -> float | None:
    """Return by how much a budget is raised. Raises BadRequest."""
    return _number(form, "add_budget_usd")


def _number(form: Form, name: str) -> float | None:
    text = one(form, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"{name} {text[:40]!r} is no number", next_step="give one such as 0.5, or none")
    return value


def answer_of(form: Form, question: QuestionView) -> Answer:
    """Return what somebody says to a question."""
    if one(form, "action") == Action.ACCEPT:
        return Answer(action=Action.ACCEPT, content=dict(_content(form, question)) or None)
    message = one(form, "message")
    return Answer(action=Action.DECLINE, content={"message": message} if message else None)


def _content(form: Form, question: QuestionView) -> Sequence[tuple[str, Any]]:
    """Return the fields that were filled in, each as its type has it; what is wrong with one the service says."""
    asked = fields_of(question.form or {})
    given = {name: [text.replace("\r\n", "\n") for text in form.get(FIELD + name, ())] for name in asked}
    return [(name, _typed(field, given[name])) for name, field in asked.items() if _is_given(field, given[name])]


def _is_given(field: Mapping[str, Any], given: Sequence[str]) -> bool:
    """Whether there is a value: an untouched field has none, an untouched box is a no, and of several none is one."""
    return field.get("type") in ("boolean", "array") or any(given)


def _typed(field: Mapping[str, Any], given: Sequence[str]) -> object:
    match field.get("type"):
        case "boolean":
            return "yes" in given
        case "array" if choices(field):
            return list(given)
        case "array":
            return [each.strip() for each in ",".join(given).split(",") if each.strip()]
        case "integer" | "number":
            return _read(given[0])
        case _:
            return given[0]


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text

"""Whether an answer fits its question. Pure.

The forms of MCP elicitation are objects of plain fields: text, number, yes or no, one or several of a list.
https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#requested-schema
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from omni_mcp.errors import BadRequest
from omni_mcp.question import Action, Answer, Asked

MESSAGE = "message"
"""With a `decline`: what the executor is told."""
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
}


def check_answer(asked: Asked, answer: Answer, *, limit: int) -> None:
    """Refuse what the executor could not take; `limit` in bytes. Raises BadRequest."""
    content = answer.content or {}
    size = len(json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass"))
    if size > limit:
        raise BadRequest(
            f"the answer has {size} bytes, the limit is {limit}", next_step="call answer_task again in fewer words"
        )
    form = asked.schema if answer.action is Action.ACCEPT else {"properties": {MESSAGE: {"type": "string"}}}
    if flaws := list(_flaws(form, content)):
        fits = json.dumps(example(form), ensure_ascii=False)[:1000]
        raise BadRequest(
            f"the answer does not fit the question: {'; '.join(flaws)[:1000]}",
            next_step=f"call answer_task again with content like {fits}",
        )


def example(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return content that would fit."""
    return {name: _example(field) for name, field in fields_of(form).items()}


def fields_of(form: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the fields of a form by name; what is no field of one is left out."""
    return {name: _mapping(field) for name, field in _mapping(form.get("properties")).items()}


def choices(field: Mapping[str, Any]) -> Sequence[str]:
    """Return what may be chosen in a field, if it is a choice; with several, each of them."""
    source = {**field, **_mapping(field.get("items"))}
    titled = [_mapping(each) for each in _list(source.get("oneOf") or source.get("anyOf"))]
    return [str(each) for each in _list(source.get("enum"))] or [
        str(each["const"]) for each in titled if "const" in each
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a form, or a part of one, as it should be: who asks may have written anything."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list) else []


def _flaws(form: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[str]:
    fields = fields_of(form)
    for name in map(str, _list(form.get("required"))):
        if name not in content:
            yield f"{name!r} is missing"
    for name, value in content.items():
        if name not in fields:
            yield f"{name!r:.100} is not asked for"
        elif flaw := _flaw(fields[name], value):
            yield f"{name!r} {flaw}"


def _flaw(field: Mapping[str, Any], value: object) -> str | None:
    kind = field.get("type")
    if not _is_a(kind, value):
        return f"is no {kind or 'text, number, yes or no, or list of text'}"
    allowed = choices(field)
    listed: Sequence[Any] = cast("Sequence[Any]", value) if isinstance(value, list) else [value]
    wrong = [each for each in listed if allowed and str(each) not in allowed]
    if wrong:
        return f"is {wrong[0]!r:.100}, which is none of {', '.join(map(repr, allowed))}"
    return _beyond(field, len(listed) if isinstance(value, list) else value)


def _is_a(kind: object, value: object) -> bool:
    """Whether a value is of a type of MCP's forms; `True` is no number, and a list holds text."""
    if isinstance(value, bool):
        return kind in ("boolean", None)
    if not all(isinstance(each, str) for each in _list(value)):
        return False
    known = TYPES.get(str(kind), (str, int, float, list))
    return isinstance(value, known)


def _beyond(field: Mapping[str, Any], value: object) -> str | None:
    """Say which bound of a field a number, or the length of a text or list, is beyond."""
    size = len(value) if isinstance(value, str) else value
    if not isinstance(size, int | float):
        return None
    for name in ("minimum", "minLength", "minItems"):
        if isinstance(bound := field.get(name), int | float) and size < bound:
            return f"is below {name} {bound}"
    for name in ("maximum", "maxLength", "maxItems"):
        if isinstance(bound := field.get(name), int | float) and size > bound:
            return f"is beyond {name} {bound}"
    return None


def _example(field: Mapping[str, Any]) -> object:
    allowed = choices(field)
    match field.get("type"):
        case "array":
            return list(allowed[:1])
        case "boolean":
            return True
        case "integer" | "number":
            return field.get("minimum", 1)
        case _:
            return allowed[0] if allowed else "…"

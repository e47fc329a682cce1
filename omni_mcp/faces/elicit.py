"""An executor's open question as MCP elicitation asks it, and the client's answer as the ledger takes it.

https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation. A client's word is not a person's: some
answer by themselves. So what is for people is never put to one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.session import ServerSession
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult

from omni_mcp.decide.answering import TYPES, choices, fields_of
from omni_mcp.question import Action, Answer
from omni_mcp.views.question import QuestionView

KEPT = frozenset(
    {"type", "title", "description", "default", "minimum", "maximum", "minLength", "maxLength", "format", "enum"}
    | {"enumNames", "oneOf", "items", "minItems", "maxItems"}
)
"""What the protocol allows of a field, all kinds together."""
FORMATS = frozenset({"email", "uri", "date", "date-time"})


def may_be_asked(session: ServerSession) -> bool:
    """Whether a client declares that it shows forms to its user; one that names no kind means those."""
    declared = session.client_capabilities
    elicitation = None if declared is None else declared.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def for_the_client(questions: Sequence[QuestionView] | None) -> Mapping[str, ElicitRequest]:
    """Return by its id each question that a client may answer, and whose form it can show."""
    found = {each.question_id: requested_schema(each.form) for each in questions or () if not each.for_people}
    texts = {each.question_id: each.text for each in questions or ()}
    return {name: elicit_request(texts[name], form) for name, form in found.items() if form is not None}


def elicit_request(message: str, form: dict[str, Any]) -> ElicitRequest:
    """Return what asks a client's user."""
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))


def requested_schema(form: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a form as the protocol wants it: plain fields only. None: it cannot be asked so."""
    fields = {name: _field(each) for name, each in fields_of(form or {}).items()}
    if None in fields.values():
        return None
    required = [name for name in (form or {}).get("required") or () if name in fields]
    return {"type": "object", "properties": fields} | ({"required": required} if required else {})


def _field(field: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = field.get("type", "string" if choices(field) else None)
    if kind not in TYPES or (kind == "array" and not choices(field)):
        return None
    dropped = {"format"} if field.get("format") not in FORMATS else set[str]()
    return {"type": kind} | {name: value for name, value in field.items() if name in KEPT - dropped}


def answer_of(result: ElicitResult) -> Answer:
    """Return what was said."""
    return Answer(action=Action(result.action), content=result.content or None)

"""What an executor asks."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import WithJsonSchema

from omni_mcp.question import Question
from omni_mcp.views.view import View


class QuestionView(View):
    """What an executor wants to know."""

    question_id: str
    kind: str
    """`permission` or `input`."""
    text: str
    """Words of the executor."""
    form: dict[str, Any] | None = None
    """JSON schema of the answer's content; none: accept or decline is all."""
    for_people: bool | None = None
    """Only a person may answer."""
    asked_at: datetime


Questions = Annotated[list[QuestionView], WithJsonSchema({"type": "array", "items": {"type": "object"}})]
"""What they hold shows itself when there is one: five tools would carry its schema, every client would pay for it."""


def question_view(question: Question, *, limit: int | None = None) -> QuestionView:
    """Show a question; what is cut off at the `limit` of characters is counted."""
    text = question.asked.text
    left = 0 if limit is None else len(text) - limit
    return QuestionView(
        question_id=question.id,
        kind=question.asked.kind,
        text=f"{text[:limit]}… ({left} more characters)" if left > 0 else text,
        form=dict(question.asked.schema) if question.asked.schema.get("properties") else None,
        for_people=question.for_people or None,
        asked_at=question.asked_at,
    )

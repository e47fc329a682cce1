"""What the command line prints of what an executor asks."""

from rich.console import Console

from omni_mcp.decide.answering import choices, fields_of
from omni_mcp.faces.text.words import LABEL, as_it_is, local, print_fact, visible
from omni_mcp.lang import say
from omni_mcp.views.question import QuestionView


def print_question(out: Console, question: QuestionView) -> None:
    """Print what an executor asks: between our own lines, and marked as its words, whatever they look like."""
    form = fields_of(question.form or {})
    about = {"permission": "asks for permission", "input": "asks you"}[question.kind]
    print_fact(out, question.question_id, f"{say(about)} ({local(question.asked_at)})")
    for line in question.text.splitlines():
        out.print(as_it_is(f"{' ' * LABEL}  │ {visible(line)}"))
    for name, field in form.items():
        allowed = f": {' | '.join(choices(field))}" if choices(field) else ""
        out.print(as_it_is(f"{' ' * LABEL}  │ > {visible(name)}{visible(allowed)}"))

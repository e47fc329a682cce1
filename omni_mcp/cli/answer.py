"""`omni-mcp answer`: the way in which a person answers what an executor asks in the middle of a task."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer
from rich.text import Text

from omni_mcp.cli.base import AnOpenTask, AsJson, ask, clear_errors, command, err, out, show
from omni_mcp.decide.answering import choices, fields_of
from omni_mcp.errors import BadRequest, QuestionGone
from omni_mcp.faces.text.question import print_question
from omni_mcp.faces.text.task import print_task
from omni_mcp.faces.text.words import visible
from omni_mcp.lang import say
from omni_mcp.question import Action, Answer
from omni_mcp.views.question import QuestionView

YES, NO, LATER = "y", "n", "later"


@command()
def answer(
    task_id: AnOpenTask,
    question_id: Annotated[str | None, typer.Argument(help="q1, q2, …; without it the first open one.")] = None,
    allow: Annotated[bool, typer.Option("--allow", help="Yes: give the permission.")] = False,
    deny: Annotated[bool, typer.Option("--deny", help="No: deny it.")] = False,
    message: Annotated[str | None, typer.Option(help="With --deny: what the executor is told.")] = None,
    content: Annotated[str | None, typer.Option(help="The fields that are asked for, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer what an executor asks in the middle of a task; without an option it shows the question and asks you.

    Example: `omni-mcp answer a1b2c3`, `omni-mcp answer a1b2c3 --deny --message "use the test database"`
    """
    question = _the_one(task_id, question_id)
    with clear_errors():
        said = _said(allow=allow, deny=deny, message=message, content=content) or _by_hand(task_id, question)
    task = ask(lambda service: service.answer(task_id, question.question_id, said, person=True))
    show(task, print_task, as_json=as_json)


def _the_one(task_id: str, question_id: str | None) -> QuestionView:
    """Return the question that is meant; ends the program if it is not open."""
    questions = ask(lambda service: service.questions(task_id))
    wanted = None if question_id is None else question_id.strip().lower()
    found = [each for each in questions if wanted in (None, each.question_id)]
    with clear_errors():
        if not found:
            raise QuestionGone(task_id, question_id or "q1")
    return found[0]


def _said(*, allow: bool, deny: bool, message: str | None, content: str | None) -> Answer | None:
    """Return the answer of the command line; None: it says none. Raises BadRequest."""
    if allow + deny + (content is not None) > 1 or (message is not None and not deny):
        raise BadRequest("--allow, --deny and --content exclude each other, and --message comes with --deny")
    if deny:
        return Answer(action=Action.DECLINE, content={"message": message} if message else None)
    if content is not None:
        return Answer(action=Action.ACCEPT, content=_fields(content))
    return Answer(action=Action.ACCEPT) if allow else None


def _fields(content: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise BadRequest(f"--content is no JSON: {error}", next_step='--content \'{"name": "value"}\'') from error
    if not isinstance(fields, dict):
        raise BadRequest("--content is no JSON object", next_step='--content \'{"name": "value"}\'')
    return cast("Mapping[str, Any]", fields)


def _by_hand(task_id: str, question: QuestionView) -> Answer:
    """Show the question and ask whoever sits at the terminal. Raises BadRequest where nobody does."""
    print_question(err, question)
    if not sys.stdin.isatty():
        raise BadRequest(
            "nobody sits at this terminal", next_step=f"omni-mcp answer {task_id} --allow, --deny or --content JSON"
        )
    fields = fields_of(question.form or {})
    word = typer.prompt(say("your answer, y (yes), n (no) or later" if not fields else "answer it? y, n or later"))
    match str(word).strip().lower():
        case "y" | "yes":
            return Answer(action=Action.ACCEPT, content={name: _typed(name, field) for name, field in fields.items()})
        case "n" | "no":
            told = typer.prompt(say("what is the executor told (may be empty)"), default="", show_default=False)
            return Answer(action=Action.DECLINE, content={"message": told} if told else None)
        case _:
            out.print("left open", highlight=False)
            raise typer.Exit(0)


def _typed(name: str, field: Mapping[str, Any]) -> object:
    """Return what is typed for a field, as its type has it; what it may not be is refused later, with the reason."""
    allowed = f" ({' | '.join(choices(field))})" if choices(field) else ""
    err.print(Text(visible(f"{name}{allowed}")))
    value = str(typer.prompt(">", default="", show_default=False, prompt_suffix=" "))
    match field.get("type"):
        case "array":
            return [each.strip() for each in value.split(",") if each.strip()]
        case "boolean" | "integer" | "number":
            return _read(value)
        case _:
            return value


def _read(value: str) -> object:
    word = value.strip().lower()
    if word in ("y", "yes", "n", "no"):
        return word in ("y", "yes")
    try:
        return json.loads(value)
    except ValueError:
        return value

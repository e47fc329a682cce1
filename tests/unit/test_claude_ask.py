"""What Claude Code asks, in the words of the house, and the answers in its words."""

from typing import Any

import pytest

from omni_mcp.adapters.claude_ask import NO, NOBODY, CanUseTool, question_of, response_to
from omni_mcp.question import Action, Answer, QuestionKind

BASH = CanUseTool(tool_name="Bash", input={"command": "make deploy"}, decision_reason="This command requires approval")
WHICH: dict[str, Any] = {
    "question": "Which one?",
    "header": "Pick",
    "multiSelect": False,
    "options": [{"label": "A", "description": "first"}, {"label": "B", "description": "second"}],
}
SEVERAL: dict[str, Any] = {**WHICH, "question": "Which ones?", "multiSelect": True}
ASK = CanUseTool(tool_name="AskUserQuestion", input={"questions": [WHICH, SEVERAL]})


def test_a_call_is_a_question_of_permission_that_shows_all_of_it() -> None:
    asked = question_of(BASH)
    assert asked.kind is QuestionKind.PERMISSION
    assert asked.text == 'Bash: make deploy\nThis command requires approval\n\n{\n  "command": "make deploy"\n}'
    assert question_of(BASH) == question_of(BASH.model_copy())


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        (Answer(action=Action.ACCEPT), {"behavior": "allow", "updatedInput": {"command": "make deploy"}}),
        (Answer(action=Action.DECLINE), {"behavior": "deny", "message": NO}),
        (
            Answer(action=Action.DECLINE, content={"message": "use staging"}),
            {"behavior": "deny", "message": f"{NO} use staging"},
        ),
        (Answer(action=Action.CANCEL), {"behavior": "deny", "message": NOBODY}),
    ],
)
def test_a_permission_is_given_for_exactly_that_call_or_not(answer: Answer, response: dict[str, Any]) -> None:
    assert response_to(BASH, answer) == response


def test_what_it_wants_to_know_is_a_form() -> None:
    asked = question_of(ASK)
    assert asked.kind is QuestionKind.INPUT
    assert asked.text.startswith("Which one?\n- A: first\n- B: second\n\nWhich ones?")
    one = {"type": "string", "enum": ["A", "B"]}
    assert asked.schema["properties"] == {"Which one?": one, "Which ones?": {"type": "array", "items": one}}
    assert asked.schema["required"] == ["Which one?", "Which ones?"]


def test_what_it_is_told_is_what_was_chosen() -> None:
    said = response_to(ASK, Answer(action=Action.ACCEPT, content={"Which one?": "B", "Which ones?": ["A", "B"]}))
    assert said["behavior"] == "allow"
    assert said["updatedInput"] == {**ASK.input, "answers": {"Which one?": "B", "Which ones?": "A, B"}}


@pytest.mark.parametrize("questions", [None, [], "x", [7], [{}]])
def test_a_form_of_another_shape_is_a_question_of_permission(questions: Any) -> None:
    asked = CanUseTool(tool_name="AskUserQuestion", input={"questions": questions})
    assert question_of(asked).kind is QuestionKind.PERMISSION
    assert response_to(asked, Answer(action=Action.ACCEPT)) == {"behavior": "allow", "updatedInput": asked.input}

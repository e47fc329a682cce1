"""Whether an answer fits its question."""

from typing import Any

import pytest

from omni_mcp.decide.answering import check_answer, choices, example, fields_of
from omni_mcp.errors import BadRequest
from omni_mcp.question import Action, Answer, Asked, QuestionKind

FIELDS: dict[str, Any] = {
    "name": {"type": "string", "minLength": 2, "maxLength": 5},
    "size": {"type": "integer", "minimum": 1, "maximum": 9},
    "share": {"type": "number"},
    "sure": {"type": "boolean"},
    "one": {"type": "string", "enum": ["a", "b"]},
    "titled": {"type": "string", "oneOf": [{"const": "x", "title": "The X"}, {"const": "y"}]},
    "some": {"type": "array", "items": {"type": "string", "enum": ["p", "q"]}, "minItems": 1},
    "some_titled": {"type": "array", "items": {"anyOf": [{"const": "m"}]}},
    "anything": {},
}
FORM = {"type": "object", "properties": FIELDS, "required": ["name"]}


def check(content: dict[str, Any], form: Any = None, action: Action = Action.ACCEPT) -> None:
    asked = Asked(kind=QuestionKind.INPUT, text="?", schema=FORM if form is None else form)
    check_answer(asked, Answer(action=action, content=content), limit=1000)


@pytest.mark.parametrize(
    "more",
    [
        *({}, {"size": 9}, {"share": 0.5}, {"share": 1}, {"sure": False}, {"one": "b"}, {"titled": "y"}),
        *({"some": ["p", "q"]}, {"some_titled": ["m"]}, {"anything": "x"}, {"anything": ["x"]}),
    ],
)
def test_what_fits_is_taken(more: dict[str, Any]) -> None:
    check({"name": "abc", **more})


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"name": 1}, "'name' is no string"),
        ({"name": "a"}, "'name' is below minLength 2"),
        ({"name": "abcdef"}, "'name' is beyond maxLength 5"),
        ({"size": 1.5}, "'size' is no integer"),
        ({"size": True}, "'size' is no integer"),
        ({"size": 10}, "'size' is beyond maximum 9"),
        ({"sure": "yes"}, "'sure' is no boolean"),
        ({"one": "c"}, "'one' is 'c', which is none of 'a', 'b'"),
        ({"titled": "The X"}, "'titled' is 'The X', which is none of 'x', 'y'"),
        ({"some": ["p", "z"]}, "'some' is 'z', which is none of 'p', 'q'"),
        ({"some": []}, "'some' is below minItems 1"),
        ({"some": [{"p": 1}]}, "'some' is no array"),
        ({"anything": {"deep": 1}}, "'anything' is no text, number, yes or no"),
        ({"other": 1}, "'other' is not asked for"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(more: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRequest) as error:
        check({"name": "abc", **more})
    assert why in error.value.message
    assert '"name": "…"' in (error.value.next_step or "")


def test_what_is_asked_for_must_be_there() -> None:
    with pytest.raises(BadRequest, match="'name' is missing"):
        check({})


def test_a_no_may_say_why_and_nothing_else() -> None:
    check({"message": "later"}, action=Action.DECLINE)
    with pytest.raises(BadRequest, match="'name' is not asked for"):
        check({"name": "abc"}, action=Action.DECLINE)


def test_an_answer_may_not_be_too_long() -> None:
    with pytest.raises(BadRequest, match="the limit is 1000"):
        check({"name": "x" * 1000})


@pytest.mark.parametrize(
    "form",
    [{}, {"properties": 7}, {"properties": {"a": 7}}, {"properties": {"a": {"enum": 7, "items": 7, "oneOf": {}}}}],
)
def test_a_form_may_be_anything(form: Any) -> None:
    check({}, form)
    assert [choices(field) for field in fields_of(form).values()] in ([], [[]])
    example(form)
    check({}, {**form, "required": 7})


def test_an_example_fits() -> None:
    form = {**FORM, "properties": {name: field for name, field in FIELDS.items() if name != "anything"}}
    check({**example(form), "name": "abc"}, form)

"""Who gets what, and why."""

import pytest

from omni_mcp.decide.routing import Candidate, Route, route
from omni_mcp.settings import Routing, Rule
from omni_mcp.task import TaskSpec

ALL = ("claude_code", "openclaw", "moltworker", "assistant")


def candidates(*names: str, **troubles: str) -> dict[str, Candidate]:
    handles = {"claude_code": {"coding"}, "assistant": {"general"}, "echoer": {"echo"}}
    return {
        name: Candidate(name=name, handles=frozenset(handles.get(name, ())), trouble=troubles.get(name))
        for name in (*names, *troubles)
    }


def routed(text: str, *, have: tuple[str, ...] = ALL, **spec: str) -> Route:
    return route(TaskSpec(description=text, **spec), Routing(), candidates(*have))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "text", ["写一个 Hello World 函数", "写一个 Python 函数", "fix the Go build", "改一下这段代码", "用js写个脚本"]
)
def test_the_plans_words_mean_coding(text: str) -> None:
    assert routed(text).executor == "claude_code"


@pytest.mark.parametrize(
    "text", ["查一下天气", "a good javelin throw", "Let us adjust the plan", "写一封信给客户", "写首诗"]
)
def test_a_word_within_a_word_and_a_letter_to_a_customer_are_not_coding(text: str) -> None:
    assert routed(text).executor == "openclaw"


def test_an_executor_that_is_not_configured_is_passed_over_and_that_is_said() -> None:
    found = routed("查一下天气", have=("assistant",))
    assert found.executor == "assistant"
    assert found.requested == "openclaw"
    assert "openclaw is not configured → assistant" in found.reason


def test_a_pinned_executor_has_no_fallback() -> None:
    found = routed("anything", have=("assistant",), executor="claude_code")
    assert found.executor is None
    assert "claude_code is not configured" in found.reason


def test_the_type_of_the_caller_beats_the_words() -> None:
    assert routed("写一个 Python 函数", type="general").executor == "openclaw"


def test_a_type_without_a_rule_goes_to_who_handles_it() -> None:
    spec = TaskSpec(description="x", type="echo")
    assert route(spec, Routing(), candidates("assistant", "echoer")).executor == "echoer"


def test_a_type_that_nobody_handles_goes_to_the_default() -> None:
    assert routed("x", type="cooking").executor == "assistant"


def test_an_executor_in_trouble_is_passed_over_with_its_trouble() -> None:
    found = route(TaskSpec(description="python"), Routing(), candidates("assistant", claude_code="is not installed"))
    assert found.executor == "assistant"
    assert "claude_code is not installed" in found.reason


def test_nobody_usable_is_an_answer_with_every_reason() -> None:
    found = route(
        TaskSpec(description="python"), Routing(), candidates(claude_code="is down", assistant="has no model")
    )
    assert found.executor is None
    assert "claude_code is down" in found.reason
    assert "assistant has no model" in found.reason


def test_the_first_rule_that_fits_wins() -> None:
    rules = (Rule(executor="a", keywords=("tea",)), Rule(executor="b", keywords=("tea", "cup")))
    spec = TaskSpec(description="a cup of tea")
    assert route(spec, Routing(rules=rules), candidates("a", "b")).executor == "a"


def test_without_a_rule_that_fits_the_default_takes_it() -> None:
    rules = (Rule(executor="a", keywords=("tea",)),)
    assert (
        route(TaskSpec(description="beer"), Routing(rules=rules), candidates("a", "assistant")).executor == "assistant"
    )


def test_a_rule_without_keywords_takes_its_type_and_not_every_text() -> None:
    rules = (Rule(type="echo", executor="echoer"), Rule(type="general", executor="assistant"))
    both = candidates("echoer", "assistant")
    assert route(TaskSpec(description="what is new?"), Routing(rules=rules), both).executor == "assistant"
    assert route(TaskSpec(description="x", type="echo"), Routing(rules=rules), both).executor == "echoer"


def test_a_default_without_rules_is_the_last_resort_of_the_plans_rules() -> None:
    mine = Routing(default="mine")
    for text in ("what is new?", "fix the python build"):
        assert route(TaskSpec(description=text), mine, candidates("mine")).executor == "mine"
    assert (
        route(TaskSpec(description="x"), Routing(default="mine"), candidates("mine", "openclaw")).executor == "openclaw"
    )

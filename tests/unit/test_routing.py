"""Who gets what, and why."""

import io
from collections.abc import Callable
from time import perf_counter

import pytest
from pydantic import ValidationError
from rich.console import Console

from omni_mcp.decide.routing import Candidate, Route, route
from omni_mcp.faces.text.executors import print_route, print_route_steps
from omni_mcp.servers_file.routing import PLAN_KEYWORDS, Routing, Rule
from omni_mcp.task import TaskSpec
from omni_mcp.views.executors import RouteView

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


def by_one_rule(description: str, *, type: str | None = "coding", keywords: tuple[str, ...] = PLAN_KEYWORDS) -> bool:  # noqa: A002
    rules = (Rule(executor="a", type=type, keywords=keywords),)
    return route(TaskSpec(description=description), Routing(rules=rules), candidates("a", "assistant")).executor == "a"


@pytest.mark.parametrize(
    "description",
    [
        "7×24 监控公司网站",
        "每天早上九点发日报",
        "watch the shop around the clock",
        "Every Monday at 8, mail me the list",
    ],
)
def test_what_has_no_end_is_always_on(description: str) -> None:
    assert routed(description).executor == "moltworker"


@pytest.mark.parametrize(
    ("description", "type"),  # one and the same word, in two senses
    [
        ("write a script that runs every day", "coding"),
        ("写一个每天运行的脚本", "coding"),
        ("How many steps should one walk every day?", "general"),
        ("Let's go over the plan", "general"),
        ("port it to Go", "coding"),
        ("time to go, call a taxi", "general"),
        ("rewrite it in Go", "coding"),
        ("write a letter to the Java user group", "general"),
        ("write a letter generator in Java", "coding"),
        ("写一封邮件", "general"),
        ("写一个邮件发送脚本", "coding"),
        ("总结以下文章：Python 是一种编程语言", "general"),
        ("Convert 20 EUR, see https://example.com/api/index.html", "general"),
    ],
)
def test_a_word_is_read_with_what_stands_around_it(description: str, type: str) -> None:  # noqa: A002
    assert routed(description).type == type


def test_a_keyword_of_the_users_own_means_what_the_rule_says_whatever_stands_around_it() -> None:
    assert by_one_rule("写一封信给客户", type="letters", keywords=("写信", "信"))
    assert by_one_rule("给客户写周报", keywords=("周报",))
    assert by_one_rule("pokemon go", type="games", keywords=("go",))
    assert by_one_rule("x " * 500 + "go", type="games", keywords=("go",))
    assert by_one_rule("x" * 10_000 + " invoice", type="books", keywords=("invoice",))


def test_the_plans_words_keep_their_other_senses_in_a_rule_of_the_user() -> None:
    assert by_one_rule("用 Go 写一个并发下载器")
    assert by_one_rule("Python, please", keywords=("Python",))
    assert not by_one_rule("Let's go over the plan")
    assert not by_one_rule("写一封信给客户")


def test_without_builtin_words_a_rule_knows_its_keywords_only() -> None:
    assert not by_one_rule("fix the docker build")


def test_builtin_words_are_there_for_two_types_only() -> None:
    with pytest.raises(ValidationError, match="builtin_words"):
        Rule(executor="a", type="general", builtin_words=True)


def test_the_steps_name_each_rule_and_each_executor_passed_over() -> None:
    found = routed("Let's go over the plan", have=("assistant",))
    assert found.steps == (
        "rule 1 (always_on): none of its words is in the text",
        "rule 2 (coding): 'go' in the text means something else here",
        "rule 3 (general): no other rule fits, so general",
        "passed over: openclaw is not configured",
        "assistant takes it",
    )


def test_the_steps_end_with_the_rule_that_fits_or_with_what_the_caller_gave() -> None:
    assert routed("docker").steps[1:3] == (
        "rule 2 (coding): 'docker' in the text means coding",
        "later rules were not asked: the first that fits wins",
    )
    assert routed("x", executor="assistant").steps == ("asked for by the caller", "assistant takes it")
    assert routed("x", have=()).steps[-1] == "nobody can take it"


@pytest.mark.parametrize("piece", ["write ", "每天", "写", "a/b-", "any time ", "我每", "every ", "let's go "])
def test_a_text_made_to_be_slow_is_read_quickly(piece: str) -> None:
    routed("warm up")
    start = perf_counter()
    routed(piece * (1_000_000 // len(piece)))
    assert perf_counter() - start < 0.5


def test_a_route_is_printed_in_one_line_and_its_steps_below_on_demand() -> None:
    view = RouteView(requested="a", executor="b", type=None, model=None, reason="why → b", steps=["one", "two"])
    assert printed(print_route, view) == ["b  why → b  (type none, model the executor’s own)"]
    assert printed(print_route_steps, view)[1:] == ["  one", "  two"]


def printed(printer: Callable[[Console, RouteView], None], view: RouteView) -> list[str]:
    printer(Console(file=(screen := io.StringIO()), soft_wrap=True), view)
    return screen.getvalue().splitlines()

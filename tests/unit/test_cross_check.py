"""Names that one row gives and another has: unknown ones, and ways that lead in a circle."""

from pathlib import Path

import pytest

from omni_mcp.file_check.problem import Problem
from omni_mcp.home import Home
from omni_mcp.settings import Settings, load

EXECUTORS = "executors: {one: {preset: assistant}, two: {preset: assistant}}\n"
MODELS = """\
models:
  model_list:
    - {model_name: strong, litellm_params: {model: a/b}}
    - {model_name: quick, litellm_params: {model: a/c}}
"""


def settings_of(folder: Path, text: str) -> Settings:
    (folder / "servers.yaml").write_text(text, encoding="utf-8")
    return load(Home(folder))


def the_problem(folder: Path, text: str) -> Problem:
    (problem,) = settings_of(folder, text).problems
    return problem


@pytest.mark.parametrize(
    ("routing", "key", "fix"),
    [
        ("{default: tow}", "routing.default", "did you mean 'two'?"),
        ("{rules: [{executor: claude-code}]}", "routing.rules.0.executor", "did you mean 'claude_code'?"),
        ("{rules: [{executor: one, fallback: [two, onne]}]}", "routing.rules.0.fallback.1", "did you mean 'one'?"),
        (
            "{default: elsewhere}",
            "routing.default",
            "there are: assistant, claude_code, codex, moltworker, one, openclaw, two",
        ),
    ],
)
def test_an_executor_that_nobody_has_gets_the_nearest_one_named(tmp_path: Path, routing: str, key: str, fix: str):
    problem = the_problem(tmp_path, f"{EXECUTORS}routing: {routing}\n")
    assert problem.where == f"servers.yaml line 2, {key}"
    assert problem.fix == fix


def test_a_rule_with_an_unknown_executor_still_has_its_fallback(tmp_path: Path):
    rules = settings_of(
        tmp_path, f"{EXECUTORS}routing: {{rules: [{{executor: onne, fallback: [two]}}]}}\n"
    ).servers.routing.rules
    assert [(rule.executor, rule.fallback) for rule in rules] == [("onne", ("two",))]


def test_an_executor_of_the_plan_may_be_named_before_it_is_configured(tmp_path: Path):
    text = f"{EXECUTORS}routing: {{rules: [{{executor: openclaw, fallback: [moltworker, one]}}], default: assistant}}\n"
    assert not settings_of(tmp_path, text).problems


def test_an_executor_with_a_problem_is_still_known(tmp_path: Path):
    text = "executors: {broken: {preset: assistant, parallel: many}}\nrouting: {default: broken}\n"
    assert the_problem(tmp_path, text).executor == "broken"


@pytest.mark.parametrize("fallback", ["[one]", "[two, one]", "[two, two]"])
def test_a_fallback_that_comes_round_again_is_told_and_left_out(tmp_path: Path, fallback: str):
    text = f"{EXECUTORS}routing:\n  rules:\n    - executor: one\n      fallback: {fallback}\n"
    settings = settings_of(tmp_path, text)
    (problem,) = settings.problems
    assert problem.where.startswith("servers.yaml line 5, routing.rules.0.fallback.")
    assert "comes round again" in problem.what
    assert len({"one", *settings.servers.routing.rules[0].fallback}) == 1 + len(
        settings.servers.routing.rules[0].fallback
    )


@pytest.mark.parametrize("setting", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
def test_models_that_fall_back_on_each_other_are_a_circle(tmp_path: Path, setting: str):
    settings = settings_of(
        tmp_path, f"{MODELS}  router_settings: {{{setting}: [{{strong: [quick]}}, {{quick: [strong]}}], timeout: 5}}\n"
    )
    (problem,) = settings.problems
    assert problem.what == "goes in a circle: strong → quick → strong"
    assert settings.servers.models.router_settings == {"timeout": 5}


@pytest.mark.parametrize("edges", ["[{strong: [strong]}]", "[{a: [b]}, {b: [c]}, {c: [a]}]"])
def test_a_circle_of_one_and_of_three_is_found_too(tmp_path: Path, edges: str):
    names = "".join(f"    - {{model_name: {name}, litellm_params: {{model: a/b}}}}\n" for name in "abc")
    problem = the_problem(tmp_path, f"{MODELS}{names}  router_settings: {{fallbacks: {edges}}}\n")
    assert "goes in a circle" in problem.what


def test_a_chain_of_fallbacks_is_none(tmp_path: Path):
    text = f"{MODELS}  router_settings: {{fallbacks: [{{strong: [quick]}}], default_fallbacks: [quick]}}\n"
    assert not settings_of(tmp_path, text).problems


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("for: {coding: storng}", "models.for.coding"),
        ("router_settings: {fallbacks: [{quick: [storng]}]}", "models.router_settings.fallbacks"),
    ],
)
def test_a_model_that_nobody_has_gets_the_nearest_one_named(tmp_path: Path, text: str, key: str):
    problem = the_problem(tmp_path, f"{MODELS}  {text}\n")
    assert problem.where.endswith(key)
    assert problem.fix == "did you mean 'strong'?"


def test_behind_a_gateway_the_names_are_its_own(tmp_path: Path):
    text = "models: {gateway: {base_url: 'http://127.0.0.1:1', for: {coding: theirs}}, for: {general: theirs-too}}\n"
    assert not settings_of(tmp_path, text).problems

"""A proxy's own file, changed so that its layers hold: line by line, comments and all."""

import json
from pathlib import Path

import pytest
import yaml

from omni_mcp.errors import SettingsError
from omni_mcp.translate.in_order import ROUTER, in_order

FILE = Path(__file__).parents[1] / "data/virtual_router.yaml"
ROWS = (
    "model_list:\n- {model_name: a, litellm_params: {model: openai/x}}\n- model_name: a\n  litellm_params: {model: y}\n"
)


def test_the_layers_get_the_order_that_was_meant_and_nothing_else_changes() -> None:
    before = FILE.read_text(encoding="utf-8")
    after = in_order(before, FILE)
    was, now = yaml.safe_load(before), yaml.safe_load(after)
    assert {row["litellm_params"]["model"]: row["litellm_params"].pop("order", None) for row in now["model_list"]} == {
        "gemini-pro": 1,
        "gpt-5": 2,
        "glm-5": 3,
        "kimi-k2.5": 4,
        "openai/codex": None,
    }
    assert now.pop("router_settings") == {**was.pop("router_settings"), **ROUTER}
    assert now == was
    assert [line for line in before.splitlines() if "#" in line and line not in after.splitlines()] == [
        "  num_retries: 3  # LiteLLM tries the next one, they think"
    ]
    assert "  num_retries: 0  # LiteLLM tries the next one, they think" in after
    assert in_order(after, FILE) == after


def test_a_file_without_router_settings_gets_them_and_litellm_settings_do_not_bring_retries_back() -> None:
    now = yaml.safe_load(in_order(ROWS + "litellm_settings: {num_retries: 2}\n", FILE))
    assert now["router_settings"] == ROUTER
    assert now["litellm_settings"] == {"num_retries": 0}
    assert [row["litellm_params"]["order"] for row in now["model_list"]] == [1, 2]
    assert yaml.safe_load(in_order(ROWS.rstrip("\n"), FILE))["router_settings"] == ROUTER, "without a line end, too"


def test_what_is_stricter_stays() -> None:
    text = "router_settings:\n  cooldown_time: 120\n  allowed_fails: 0\n  num_retries: 0\n"
    assert in_order(text, FILE) == text


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"model_list": [{"model_name": "a", "litellm_params": {"model": name}} for name in ("x", "y")]}),
        "model_list: [\n",
        "model_list: [*x]\n",
        "router_settings: {timeout: 1, cooldown_time:\n  5, x: cooldown_time: 3}\n",
    ],
)
def test_what_cannot_be_changed_by_lines_is_left_alone_and_said(text: str) -> None:
    with pytest.raises(SettingsError):
        in_order(text, FILE)

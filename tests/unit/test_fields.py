"""What a call says where its caller says nothing."""

from typing import Any

import pytest

from omni_mcp.llm.base import Dialect
from omni_mcp.llm.fields import filled

DEFAULTS = {"temperature": 0.7, "top_k": 40, "max_tokens": 100, "seed": 1}


@pytest.mark.parametrize(
    ("dialect", "body", "added"),
    [
        (Dialect.OPENAI, {}, {"temperature": 0.7, "max_tokens": 100, "seed": 1}),
        (Dialect.ANTHROPIC, {}, {"temperature": 0.7, "top_k": 40, "max_tokens": 100}),
        (Dialect.OPENAI, {"temperature": 0.0, "seed": 2, "max_tokens": 5}, {}),
        (Dialect.OPENAI, {"temperature": None}, {"max_tokens": 100, "seed": 1}),
        (Dialect.OPENAI, {"top_p": 0.5, "max_completion_tokens": 5}, {"seed": 1}),
        (Dialect.ANTHROPIC, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"max_tokens": 100}),
        (Dialect.ANTHROPIC, {"thinking": {"type": "adaptive"}}, {"max_tokens": 100}),
        (Dialect.ANTHROPIC, {"thinking": {"type": "disabled"}, "max_tokens": 5}, {"temperature": 0.7, "top_k": 40}),
        (Dialect.ANTHROPIC, {"thinking": "hm", "max_tokens": 5}, {"temperature": 0.7, "top_k": 40}),
    ],
)
def test_a_default_fills_what_the_call_does_not_say_where_it_fits(
    dialect: Dialect, body: dict[str, Any], added: dict[str, Any]
):
    assert filled(dialect, body, DEFAULTS) == {**body, **added}

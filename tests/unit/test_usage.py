"""Tokens as both APIs tell them, whole and piece by piece, and what LiteLLM's list makes of them."""

from typing import Any

import pytest

from omni_mcp.llm.base import Dialect
from omni_mcp.llm.price_table import cost_usd
from omni_mcp.llm.usage import Tokens

CHAT_USAGE = {
    "prompt_tokens": 194,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 100},
    "cost": 0.95,
}
MESSAGE_USAGE = {"input_tokens": 44, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 100}

TABLE: dict[str, dict[str, Any]] = {
    "claude": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 3.0,
        "output_cost_per_token": 15.0,
        "cache_read_input_token_cost": 0.5,
        "cache_creation_input_token_cost": 4.0,
        "input_cost_per_token_above_200k_tokens": 6.0,
        "input_cost_per_token_batches": 99.0,
    },
    "deepseek/chat": {"litellm_provider": "deepseek", "input_cost_per_token": 1.0, "output_cost_per_token": 2.0},
    "odd": {"litellm_provider": "anthropic", "input_cost_per_token": 1.0},
}


def tokens(dialect: Dialect, *pieces: dict[str, Any]) -> Tokens:
    counted = Tokens()
    for piece in pieces:
        counted.take(dialect, piece)
    return counted


def test_both_apis_come_to_the_same_tokens():
    chat = tokens(Dialect.OPENAI, {"usage": CHAT_USAGE})
    whole = tokens(Dialect.ANTHROPIC, {"type": "message", "usage": {**MESSAGE_USAGE, "output_tokens": 2, "cost": 0.95}})
    assert chat == whole == Tokens(input=194, output=2, cache_read=50, cache_stored=100, cost_usd=0.95)


def test_the_output_of_a_stream_is_unknown_until_it_is_told_for_good():
    counted = Tokens()
    counted.take(
        Dialect.ANTHROPIC, {"type": "message_start", "message": {"usage": {**MESSAGE_USAGE, "output_tokens": 1}}}
    )
    assert (counted.input, counted.output) == (194, None)
    counted.take(Dialect.ANTHROPIC, {"type": "message_delta", "usage": {"output_tokens": 2}})
    assert (counted.input, counted.output, counted.cache_read) == (194, 2, 50)


@pytest.mark.parametrize("usage", [None, [], "many", {"prompt_tokens": "x", "completion_tokens": -1, "cost": "free"}])
def test_nonsense_is_unknown(usage: Any):
    assert tokens(Dialect.OPENAI, {"usage": usage}) == Tokens()
    assert tokens(Dialect.ANTHROPIC, {"usage": usage}, {"type": "message_start", "message": usage}) == Tokens()


@pytest.mark.parametrize(
    ("model", "vendors", "counted", "usd"),
    [
        ("claude", ["anthropic"], Tokens(input=10, output=1), 10 * 3 + 15),
        ("claude", ["anthropic"], Tokens(input=10, output=1, cache_read=4, cache_stored=5), 3 + 4 * 0.5 + 5 * 4 + 15),
        ("claude", ["anthropic"], Tokens(input=200_001, output=0), 200_001 * 6),
        ("chat", ["mine", "deepseek"], Tokens(input=2, output=1, cache_read=1), 2 + 2),
        ("claude", ["openrouter"], Tokens(input=1, output=1), None),
        ("nobody", ["anthropic"], Tokens(input=1, output=1), None),
        ("odd", ["anthropic"], Tokens(input=1, output=1), None),
        ("claude", ["anthropic"], Tokens(input=1), None),
    ],
)
def test_a_price_is_the_vendors_own_or_unknown(model: str, vendors: list[str], counted: Tokens, usd: float | None):
    assert cost_usd(TABLE, model, vendors, counted) == usd

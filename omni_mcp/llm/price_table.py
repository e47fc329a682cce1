"""LiteLLM's price list read as a file: who calls a provider directly must not need LiteLLM to load for a price."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omni_mcp.llm.usage import Tokens

FILE = "model_prices_and_context_window_backup.json"
"""In the folder of the package: https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"""

Table = Mapping[str, Mapping[str, Any]]

_TIER = re.compile(r"_above_(\d+)k_tokens")


@cache
def price_table() -> Table:
    """Return the list, read once; empty where there is none. Slow (a file of megabytes): call it in a thread."""
    found = find_spec("litellm")
    folders = found.submodule_search_locations if found else None
    try:
        return json.loads((Path(next(iter(folders or ()))) / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, StopIteration):
        return {}


def cost_usd(table: Table, model: str, vendors: Iterable[str], tokens: Tokens) -> float | None:
    """Return what a call of a model of one of these vendors cost; None: nobody knows."""
    found = next((row for vendor in vendors if (row := _row(table, model, vendor))), None)
    return None if found is None else cost_by(found, tokens)


def cost_by(row: Mapping[str, Any], tokens: Tokens) -> float | None:
    """Return what a call cost by a row of such a list; None: it has no price, or the tokens are unknown."""
    if tokens.input is None or tokens.output is None or not _has_price(row):
        return None
    fresh = tokens.input - tokens.cache_read - tokens.cache_stored
    paid = _rate(row, "input_cost_per_token", tokens.input)
    return (
        fresh * paid
        + tokens.cache_read * _rate(row, "cache_read_input_token_cost", tokens.input, otherwise=paid)
        + tokens.cache_stored * _rate(row, "cache_creation_input_token_cost", tokens.input, otherwise=paid)
        + tokens.output * _rate(row, "output_cost_per_token", tokens.input)
    )


def _has_price(row: Mapping[str, Any]) -> bool:
    return all(isinstance(row.get(key), int | float) for key in ("input_cost_per_token", "output_cost_per_token"))


def _row(table: Table, model: str, vendor: str) -> Mapping[str, Any] | None:
    """Return the row of a model of this vendor: the same name of another one has another price."""
    for name in (f"{vendor}/{model}", model):
        row = table.get(name, {})
        if row.get("litellm_provider") == vendor and _has_price(row):
            return row
    return None


def _rate(row: Mapping[str, Any], key: str, prompt: int, *, otherwise: float = 0) -> float:
    """Return USD per token; some models cost more where the prompt is longer than so many thousand tokens."""
    over = [
        (int(found[1]), name) for name in row if name.startswith(key) and (found := _TIER.fullmatch(name, len(key)))
    ]
    names = [name for limit, name in sorted(over, reverse=True) if prompt > limit * 1000]
    return next((float(row[name]) for name in (*names, key) if row.get(name) is not None), otherwise)

"""What a model call used and cost, from what litellm knows once it is loaded.

The row of `model_list` that answered may name its prices; else litellm's list has them; else the cost is unknown,
never zero.
"""

from collections.abc import Mapping
from typing import Any

from omni_mcp.llm.base import Spent
from omni_mcp.llm.routes import named

ENDPOINT = "litellm-router"
"""What a usage row says of who served."""

PRICE = "input_cost_per_token"
"""Who has this, in litellm's list or in a row of `model_list`, has a price."""


def spent(litellm: Any, row: Any, model: str, usage: Any) -> Spent:
    """Return what a call of `model` used: `row` is the route that answered, `usage` its token counts; None: unknown."""
    if row is None:
        return Spent(model=model, endpoint=ENDPOINT)
    _, provider, _, _ = litellm.get_llm_provider(row.litellm_params.model)
    route = named(row.litellm_params.model_dump())
    if usage is None:
        return Spent(model=model, endpoint=ENDPOINT, provider=provider, route=route)
    cost, source = _cost(litellm, row, usage, provider=provider)
    return Spent(
        model=model,
        endpoint=ENDPOINT,
        provider=provider,
        route=route,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cost_usd=cost,
        price_source=source,
    )


def anthropic_usage(litellm: Any, told: Mapping[str, int]) -> Any:
    """Return Anthropic's token counts as litellm's, whose input includes what a cache read or stored."""
    read, stored = told.get("cache_read_input_tokens") or 0, told.get("cache_creation_input_tokens") or 0
    return litellm.Usage(
        prompt_tokens=told.get("input_tokens", 0) + read + stored,
        completion_tokens=told.get("output_tokens", 0),
        cache_read_input_tokens=read,
        cache_creation_input_tokens=stored,
    )


def _cost(litellm: Any, row: Any, usage: Any, *, provider: str) -> tuple[float | None, str | None]:
    """Return USD and who says so: `config`, `litellm`, or nobody."""
    for name, source in ((row.model_info.id, "config"), (_listed(litellm, row.litellm_params.model), "litellm")):
        if PRICE in litellm.model_cost.get(name, {}):
            cost = litellm.cost_per_token(model=name, usage_object=usage, custom_llm_provider=provider)
            return float(sum(cost)), source
    return None, None


def _listed(litellm: Any, model: str) -> str:
    """Return the name under which litellm's list has a model; the Router adds unpriced entries of its own to it."""
    try:
        return str(litellm.get_model_info(model)["key"])
    except Exception:  # noqa: BLE001  # pylint: disable=broad-exception-caught  # it raises just that for an unknown model
        return model

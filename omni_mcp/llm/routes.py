"""A row of LiteLLM's `model_list`, as the books name it and as LiteLLM ranks it. Pure."""

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def named(params: Mapping[str, Any]) -> str:
    """Return the name of a row by its `litellm_params`: `openai/gpt-5 at api.example:3000`; nothing of its keys."""
    model, place = str(params.get("model")), _host(str(params.get("api_base") or ""))
    return f"{model} at {place}" if place else model


def order_of(params: Mapping[str, Any]) -> float:
    """Return the place of a row among those of its name; those without `order` are shuffled, after the others."""
    order = params.get("order")
    return float(order) if isinstance(order, int | float) else math.inf


def _host(url: str) -> str:
    """Return host and port; a user or password before them is left out."""
    return urlsplit(url).netloc.rpartition("@")[2]

"""From what was found to the tree of a servers.yaml. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from omni_mcp.setup.clouds import CLOUDS, MASTER_KEY, Cloud
from omni_mcp.setup.look import Found, Proxy
from omni_mcp.translate.executor_rows import ALWAYS
from omni_mcp.translate.model_rows import models_for


def tree_for(found: Found) -> Mapping[str, Any]:
    """Return executors and models for this machine: what is not there is left out."""
    executors = {name: row for name, row in ALWAYS.items() if name != "claude_code" or found.has("claude")}
    models = _models(found)
    return {"executors": executors, **({"models": models} if models else {})}


def _models(found: Found) -> Mapping[str, Any]:
    if found.proxy is not None:
        return {"gateway": _gateway(found.proxy, has_key=MASTER_KEY in found.keys)}
    clouds = [cloud for cloud in CLOUDS if cloud.key in found.keys]
    if not clouds:
        return {}
    return {
        "model_list": [*_layers("strong", clouds), *_layers("quick", clouds)],
        "for": {"coding": "strong", "general": "quick", "default": "quick"},
    }


def _gateway(proxy: Proxy, *, has_key: bool) -> Mapping[str, Any]:
    chosen = models_for(proxy.models)
    key = {"api_key": f"${{{MASTER_KEY}}}"} if has_key else {}
    return {"base_url": proxy.base_url, **key, **({"for": chosen} if chosen else {})}


def _layers(name: str, clouds: Sequence[Cloud]) -> Sequence[Mapping[str, Any]]:
    """Return the rows of one model: the next cloud serves when the one before fails."""
    models = [(cloud.strong if name == "strong" else cloud.quick, cloud.key) for cloud in clouds]
    several = len(models) > 1
    return [
        {
            "model_name": name,
            "litellm_params": {"model": model, "api_key": f"${{{key}}}", **({"order": order} if several else {})},
        }
        for order, (model, key) in enumerate(models, 1)
    ]

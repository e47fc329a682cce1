"""What is wrong with a LiteLLM that serves: it keeps still about it, and nothing of it is for us to mend."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

import httpx
import psutil

from omni_mcp.repair_setup import LadderSetup
from omni_mcp.this_machine import leads_here

LIMIT = 3.0
"""Seconds for each look."""
REDIS_PORT = 6379


def notices(setup: LadderSetup, tree: Mapping[str, Any], own: psutil.Process | None) -> Iterator[str]:
    """Yield what a person should know; `tree` is LiteLLM's file, `own` its process, where that is known. Blocks."""
    yield from _dropped(setup, tree)
    yield from _unset(tree, own)
    yield from _without_redis(tree)


def _dropped(setup: LadderSetup, tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the routes that LiteLLM has left out, as it does with those of an unknown provider."""
    served = _served(setup)
    for row in _rows(tree.get("model_list")):
        model = _table(row.get("litellm_params")).get("model")
        if served is not None and model not in served:
            yield f"{row.get('model_name')}: its route {model} is in the file, and LiteLLM has left it out"


def _served(setup: LadderSetup) -> set[str] | None:
    headers = {"authorization": f"Bearer {setup.key}"} if setup.key else {}
    url = f"{setup.base_url}/v1/model/info"
    with suppress(httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        with httpx.Client(timeout=LIMIT, trust_env=not leads_here(url)) as client:
            rows = client.get(url, headers=headers).raise_for_status().json()["data"]
        return {str(row["litellm_params"]["model"]) for row in rows}
    return None


def _unset(tree: Mapping[str, Any], own: psutil.Process | None) -> Iterator[str]:
    """Yield the variables that the file takes keys from, and LiteLLM does not have."""
    if own is None:
        return
    has: Mapping[str, Any] = {}
    with suppress(psutil.Error, OSError):
        has = {**own.environ(), **_table(tree.get("environment_variables"))}
    wanted = re.findall(r"os\.environ/(\w+)", str(tree))
    for name in dict.fromkeys(name for name in wanted if has and name not in has):
        yield f"the file takes {name} from LiteLLM's environment, where it is not set: its routes fail"


def _without_redis(tree: Mapping[str, Any]) -> Iterator[str]:
    router, settings = _table(tree.get("router_settings")), _table(tree.get("litellm_settings"))
    cache = _table(settings.get("cache_params"))
    for host, port in {(each.get("redis_host") or each.get("host"), _port(each)) for each in (router, cache)}:
        if isinstance(host, str) and not host.startswith("os.environ/"):
            try:
                socket.create_connection((host, port), timeout=LIMIT).close()
            except OSError as error:
                yield f"Redis at {host}:{port} cannot be reached ({error}): LiteLLM serves without it"


def _port(table: Mapping[str, Any]) -> int:
    with suppress(ValueError, TypeError):
        return int(table.get("redis_port") or table.get("port") or REDIS_PORT)
    return REDIS_PORT


def _rows(value: Any) -> Iterator[Mapping[str, Any]]:
    for row in cast("list[Any]", value) if isinstance(value, list) else ():
        if isinstance(row, Mapping):
            yield cast("Mapping[str, Any]", row)


def _table(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

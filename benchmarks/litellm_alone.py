"""A model call through a real LiteLLM proxy alone, through our relay before that proxy, and through our relay alone.

A stub on loopback answers at once, so what is timed is what stands between: the proxy as `pip install litellm[proxy]`
gives it, in one process and without a database; the relay with a ledger on disk, where each call is on the books before
it goes out. The ways take turns; then twenty callers at once go each way.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx

from benchmarks.first_task import stub_cloud
from benchmarks.relay import LIMIT, Way, started
from benchmarks.rows import pair
from omni_mcp.demo.cloud import CHAT
from tests.integration.real_proxy import BINARY, MASTER_KEY, real_proxy

CALLS, WARM = 150, 20
CALLERS, EACH = 20, 10
"""Callers at once, and calls of each."""
BODY: Mapping[str, Any] = {"model": "stub", "max_tokens": 99, "messages": [{"role": "user", "content": "Plan it"}]}
STUB, ALONE, BEFORE, RELAY = "the stub itself", "LiteLLM alone", "our relay before LiteLLM", "our relay alone"


async def timed(client: httpx.AsyncClient, way: Way) -> float:
    """Make one call; returns its milliseconds."""
    began = time.perf_counter()
    answer = await client.post(way.url + CHAT, json=BODY, headers={"authorization": f"Bearer {way.token or 'nobody'}"})
    took = time.perf_counter() - began
    assert answer.is_success, answer.text
    return took * 1000


async def together(client: httpx.AsyncClient, way: Way) -> float:
    """Return how many calls a second all callers get through."""

    async def caller() -> None:
        for _ in range(EACH):
            await timed(client, way)

    began = time.perf_counter()
    async with anyio.create_task_group() as callers:
        for _ in range(CALLERS):
            callers.start_soon(caller)
    return CALLERS * EACH / (time.perf_counter() - began)


async def measured() -> list[dict[str, Any]]:
    """Measure every way; returns the lines of the table."""
    async with AsyncExitStack() as stack:
        cloud = stack.enter_context(stub_cloud())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omni-litellm-")))
        stub = {"model": "openai/stub", "api_key": "none", "api_base": f"{cloud}/v1"}
        proxy = await stack.enter_async_context(real_proxy(folder, [{"model_name": "stub", "litellm_params": stub}]))
        ways = {
            STUB: Way(cloud),
            ALONE: Way(proxy.url, MASTER_KEY),
            BEFORE: stack.enter_context(started("--relay", proxy.url, "--key", MASTER_KEY))[0],
            RELAY: stack.enter_context(started("--relay", cloud))[0],
        }
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=LIMIT, trust_env=False))
        turns = [{name: await timed(client, way) for name, way in ways.items()} for _ in range(WARM + CALLS)]
        rates = {name: await together(client, way) for name, way in ways.items()}
    return list(rows(turns[WARM:], rates))


def rows(turns: Sequence[Mapping[str, float]], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the lines of the table: each way against LiteLLM alone."""
    middle = {name: statistics.median(turn[name] for turn in turns) for name in rates}
    others = [STUB, BEFORE, RELAY]
    calls = [_row(f"a model call, {name} against {ALONE}", "ms", middle[name], middle[ALONE]) for name in others]
    many = [_row(f"{CALLERS} callers, {name} against {ALONE}", "calls/s", rates[name], rates[ALONE]) for name in others]
    return [*calls, *many]


def _row(name: str, unit: str, ours: float, other: float) -> dict[str, Any]:
    return {"name": name, "unit": unit, **pair(ours, other)}


def main() -> list[dict[str, Any]]:
    """Return the lines of the table; none without the proxy."""
    return anyio.run(measured) if BINARY.exists() else []


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))

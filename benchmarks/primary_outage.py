"""An outage of the first layer in real time: how often it is asked, and what it costs the calls of the second.

Two stub clouds; the second takes two seconds over each answer. For 60 s the first one fails, while 15 calls come, four
seconds apart, once through LiteLLM's Router in process and once through a real proxy with the settings that
`omni-mcp layers` writes. The fallback's own latency is that of a plain HTTP call at the same time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx

from omni_mcp.demo.cloud import CHAT, Cloud, running_cloud
from omni_mcp.llm.base import Dialect, ModelGateway
from omni_mcp.llm.layers import WithLayers
from omni_mcp.llm.proxy import ProxyGateway
from omni_mcp.llm.router import RouterGateway
from omni_mcp.servers_file.models import Gateway, Models
from omni_mcp.translate.in_order import ROUTER
from tests.integration.real_proxy import MASTER_KEY, real_proxy

CALLS, EVERY = 15, 4.0
"""How many, and seconds from one to the next."""
LATENCY = 2.0
"""Seconds that the fallback takes."""
FAULTS = ("500", "drop", "429")
BODY: Mapping[str, Any] = {"model": "auto", "max_tokens": 99, "messages": [{"role": "user", "content": "Plan it"}]}
MOST_ASKED, MOST_RATIO = 4, 1.2
"""What it may cost: calls of the first layer, and latency as a multiple of the fallback's own."""


def rows(first: Cloud, second: Cloud, name: str = "auto") -> Sequence[Mapping[str, Any]]:
    """Return the two layers of a model."""
    params = {"model": "openai/stub", "api_key": "none"}
    return [
        {"model_name": name, "litellm_params": {**params, "api_base": f"{cloud.url}/v1", "order": order}}
        for order, cloud in enumerate((first, second), 1)
    ]


@asynccontextmanager
async def served(way: str, first: Cloud, second: Cloud) -> AsyncGenerator[ModelGateway]:
    """Have both layers behind LiteLLM; a model of its own for each fault, so that none rests for another one's."""
    layers = [row for fault in FAULTS for row in rows(first, second, fault)]
    async with AsyncExitStack() as stack:
        if way == "router":
            inner: Any = RouterGateway(Models.model_validate({"model_list": layers}))
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            proxy = await stack.enter_async_context(real_proxy(folder, layers, router_settings=dict(ROUTER)))
            inner = ProxyGateway(Gateway.model_validate({"base_url": proxy.url, "api_key": MASTER_KEY}))
        gateway = WithLayers(inner)
        stack.push_async_callback(gateway.aclose)
        yield gateway


async def timed(call: Callable[[], Awaitable[object]], times: dict[str, float], name: str) -> None:
    """Write down how many seconds a call took."""
    began = time.perf_counter()
    await call()
    times[name] = time.perf_counter() - began


async def outage(gateway: ModelGateway, fault: str, first: Cloud, second: Cloud) -> tuple[int, Sequence[float]]:
    """Have the first layer fail for a minute of calls; returns how often it was asked, and the ratio of each call."""
    await gateway.call(Dialect.OPENAI, {**BODY, "model": fault})  # what loads and connects is no part of an outage
    first.fail(fault)
    asked, ratios = len(first.requests), list[float]()
    began = anyio.current_time()
    async with httpx.AsyncClient(base_url=second.url, trust_env=False, timeout=30) as client:
        for number in range(CALLS):
            await anyio.sleep_until(began + number * EVERY)
            times: dict[str, float] = {}
            async with anyio.create_task_group() as group:
                group.start_soon(timed, partial(client.post, CHAT, json=BODY), times, "alone")
                group.start_soon(
                    timed, partial(gateway.call, Dialect.OPENAI, {**BODY, "model": fault}), times, "through"
                )
            ratios.append(times["through"] / times["alone"])
    first.fail("ok")
    return len(first.requests) - asked, ratios


async def run(ways: Sequence[str]) -> bool:
    """Measure all; returns whether it cost no more than it may."""
    good = True
    print("| way | the first layer | asked, of 15 calls | latency, times the fallback's own: median, mean, longest |")
    print("|---|---|---|---|")
    for way in ways:
        async with (
            running_cloud() as first,
            running_cloud(delay=LATENCY) as second,
            served(way, first, second) as gateway,
        ):
            for fault in FAULTS:
                asked, ratios = await outage(gateway, fault, first, second)
                middle, mean = statistics.median(ratios), statistics.mean(ratios)
                print(f"| {way} | {fault} | {asked} | {middle:.2f}, {mean:.2f}, {max(ratios):.2f} |", flush=True)
                good = good and asked <= MOST_ASKED and middle <= MOST_RATIO and mean <= MOST_RATIO
    return good


def main() -> None:
    """Measure; ends with 1 if it cost more than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--way", choices=("router", "proxy"), action="append")
    good = anyio.run(run, parser.parse_args().way or ["router", "proxy"])
    raise SystemExit(not good)


if __name__ == "__main__":
    main()

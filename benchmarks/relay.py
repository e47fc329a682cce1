"""What the relay adds to a model call: against a client that asks the same place itself, and 200 streams at once.

Three processes, as in life: who asks, the relay on a ledger on disk, and the place that answers, at once or piece by
piece. The relay is in its usual mode, before a LiteLLM proxy, whose part the stub plays. Calls with and without it take
turns. Each call is two commits on disk (it is on the books before it goes out, and its cost before its end is told):
that is what most of the figure is.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.empty import ROOT
from benchmarks.rows import pair
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.llm.loopback import serving
from omni_mcp.llm.proxy import ProxyGateway
from omni_mcp.llm.relay import Relay
from omni_mcp.llm.sse import event, message_events
from omni_mcp.servers_file.models import Gateway
from omni_mcp.switch import Switch
from omni_mcp.task import SystemClock, new_id
from omni_mcp.testing import FakeModes, a_spec

CALLS = 300
"""Calls of each kind on each way, after some that are not counted."""
WARM = 20
PIECES = 40
"""Of a streamed answer."""
AT_ONCE = 200
PAUSE = 0.1
"""Seconds between two pieces of each of the streams at once: as a model speaks."""
OVERHEAD_GOAL = 20.0
"""Milliseconds that the relay may add to a call, in the middle: a model takes a hundred times as long."""
LIMIT = 60.0
"""Seconds that one call may take."""
MESSAGES = "/v1/messages"
ANSWER: Mapping[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "stub",
    "content": [{"type": "text", "text": "word " * 100}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1000, "output_tokens": 100},
}
PROMPT: Mapping[str, Any] = {"model": "stub", "max_tokens": 1000, "messages": [{"role": "user", "content": "x" * 4000}]}


@dataclass(frozen=True, slots=True)
class Way:
    """Where calls go, and by what right."""

    url: str
    token: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        """What a call says of itself."""
        return {"x-api-key": self.token}


# the place that answers


def pieces() -> Sequence[bytes]:
    """Return the events of a streamed answer."""
    said = list(message_events(ANSWER))
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    return [*said[:2], *[event("content_block_delta", delta)] * PIECES, *said[-3:]]


async def _spoken(pause: float) -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece
        await anyio.sleep(pause)


async def _answer(request: Request) -> Response:
    asked = await request.json()
    if not asked.get("stream"):
        return JSONResponse(ANSWER)
    return StreamingResponse(_spoken(float(asked["messages"][0].get("name") or 0)), media_type="text/event-stream")


async def stand_in() -> None:
    """Answer until ended; says where."""
    async with serving(Starlette(routes=[Route(MESSAGES, _answer, methods=["POST"])])) as port:
        print(f"http://127.0.0.1:{port}", flush=True)
        await anyio.sleep_forever()


# the relay


async def relay(cloud: str, key: str | None) -> None:
    """Relay calls of one attempt to that place until ended; says where, and the attempt's token."""
    with tempfile.TemporaryDirectory(prefix="omni-relay-") as folder:
        async with SqliteLedger(Path(folder, "ledger.db")) as ledger:
            task_id = new_id()
            await ledger.submit(a_spec(), task_id=task_id, choice=None)
            await ledger.begin(task_id, owner="bench")
            proxy, clock = ProxyGateway(Gateway.model_validate({"base_url": cloud, "api_key": key})), SystemClock()
            async with Relay(Switch(proxy, None, FakeModes(clock), clock), ledger) as here:
                end = here.endpoint(task_id, attempt=1, model="stub")
                print(end.base_url, end.token.get_secret_value(), flush=True)
                await anyio.sleep_forever()


@contextmanager
def started(*arguments: str) -> Generator[tuple[Way, psutil.Process]]:
    """Run this file as another process; gives where it is."""
    argv = [sys.executable, "-m", "benchmarks.relay", *arguments]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Way(*process.stdout.readline().split()), psutil.Process(process.pid)
        finally:
            process.terminate()


# who asks


async def whole(client: httpx.AsyncClient, way: Way) -> Sequence[float]:
    """Make a call that is answered whole; returns its milliseconds."""
    began = time.perf_counter()
    answer = await client.post(way.url + MESSAGES, json=PROMPT, headers=way.headers)
    took = time.perf_counter() - began
    assert answer.json() == ANSWER, answer.text
    return [took * 1000]


async def streamed(client: httpx.AsyncClient, way: Way, *, pause: float = 0) -> Sequence[float]:
    """Make a call that is streamed; returns the milliseconds until its first piece, and until its end."""
    prompt = {**PROMPT, "stream": True, "messages": [{**PROMPT["messages"][0], "name": str(pause)}]}
    began, first, said = time.perf_counter(), 0.0, bytearray()
    async with client.stream("POST", way.url + MESSAGES, json=prompt, headers=way.headers) as answer:
        async for piece in answer.aiter_raw():
            first = first or time.perf_counter() - began
            said += piece
    took = time.perf_counter() - began
    assert said == b"".join(pieces()), said
    return [first * 1000, took * 1000]


async def compared(raw: Way, relayed: Way) -> AsyncGenerator[dict[str, Any]]:
    """Compare calls with and without the relay, one after the other."""
    kinds: Mapping[str, tuple[Callable[..., Any], Sequence[str]]] = {
        "a call": (whole, ("to its answer",)),
        "a stream": (streamed, ("to its first piece", "to its end")),
    }
    async with httpx.AsyncClient(timeout=LIMIT) as one, httpx.AsyncClient(timeout=LIMIT) as other:
        for kind, (call, figures) in kinds.items():
            taken = [(await call(one, relayed), await call(other, raw)) for _ in range(WARM + CALLS)][WARM:]
            for number, figure in enumerate(figures):
                with_it, without = ([pair[side][number] for pair in taken] for side in (0, 1))
                for row in rows(f"{kind}, {figure}", with_it, without):
                    yield row


def rows(name: str, with_it: Sequence[float], without: Sequence[float]) -> Sequence[dict[str, Any]]:
    """Return the lines of one figure: its middle, its 99th percentile, and what the relay adds in the middle."""
    middle = {"ours": statistics.median(with_it), "other": statistics.median(without)}
    tail = {"ours": _p99(with_it), "other": _p99(without)}
    added = statistics.median(ours - other for ours, other in zip(with_it, without, strict=True))
    return [
        {"name": f"relay: {name}, p50", "unit": "ms", **middle, "ratio": middle["ours"] / middle["other"]},
        {"name": f"  {name}, p99", "unit": "ms", **tail, "ratio": tail["ours"] / tail["other"]},
        {"name": f"  {name}: added, p50", "unit": "ms", "ours": added, "goal": OVERHEAD_GOAL},
    ]


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


async def together(way: Way) -> tuple[float, int]:
    """Make many streamed calls at once; returns the seconds until the last has ended, and how many went wrong."""
    wrong = 0

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal wrong
        try:
            await streamed(client, way, pause=PAUSE)
        except (httpx.HTTPError, AssertionError):
            wrong += 1

    limits = httpx.Limits(max_connections=None)
    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=LIMIT, limits=limits) as client, anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(one, client)
    return time.perf_counter() - began, wrong


async def measured(raw: Way, relayed: Way, process: psutil.Process) -> list[dict[str, Any]]:
    """Measure everything; returns the lines of the table."""
    found = [row async for row in compared(raw, relayed)]
    alone, _ = await together(raw)
    before = process.memory_info().rss
    peak = [before]
    async with anyio.create_task_group() as watching:
        watching.start_soon(_watch, process, peak)
        took, wrong = await together(relayed)
        watching.cancel_scope.cancel()
        many, until = f"{AT_ONCE} streams at once", pair(took, alone)
        found += [
            {"name": f"relay: {many}, until all have ended", "unit": "s", **until},
            {"name": f"  {many}: that went wrong", "unit": "", "ours": wrong, "goal": 0},
            {"name": f"  {many}: memory that they take there", "unit": "MB", "ours": (max(peak) - before) / 1e6},
        ]
    return found


async def _watch(process: psutil.Process, peak: list[int]) -> None:
    while True:
        peak.append(process.memory_info().rss)
        await anyio.sleep(0.05)


def main() -> list[dict[str, Any]]:
    """Return the lines of the table."""
    with started("--stand-in") as (raw, _), started("--relay", raw.url) as (relayed, process):
        return anyio.run(measured, raw, relayed, process)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stand-in", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--relay", help=argparse.SUPPRESS)
    parser.add_argument("--key", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stand_in:
        anyio.run(stand_in)
    elif given.relay:
        anyio.run(partial(relay, given.relay, given.key))
    else:
        print(json.dumps(main(), indent=2))

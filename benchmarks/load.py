"""`make load`: many clients at once against `omni-mcp serve`, then against a bare FastMCP server, in one run.

Each client has a connection of its own and calls without a pause: so what it waits is what all the others take. Half of
them speak the protocol of 2025-11-25, each in its session, half that of 2026-07-28. Ours writes tasks down, runs them
on a stand-in, and asks every caller for a token; the bare one echoes. All share the cores: server, clients, and for
ours the engine with what it runs.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.face import INITIALIZE
from benchmarks.rows import pair
from benchmarks.servers import free_port, listens
from omni_mcp.home import Home

ROOT = Path(__file__).parents[1]
STARTS = 120.0
"""Seconds for a server to come up."""
DRAINS = 300.0
"""Seconds for the tasks to be over that are open at the end."""
CALL_LIMIT = 120.0
"""Seconds that a call may take: longer is an error."""
PRINCIPALS = 10
MIX = (("submit_task", 1), ("task_status", 6), ("list_tasks", 3))
"""Of ten calls: a team submits little and looks often."""
LOOKS = 6
"""How often the memory is looked at: every 10 s of 60."""
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
MODERN = "2026-07-28"
Call = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Session:
    """What a client says with each request, once it has shaken hands."""

    headers: Mapping[str, str]
    meta: Mapping[str, Any] | None = None
    """What the newer protocol has in each request instead of a session."""


@dataclass
class Seen:
    """What the clients saw."""

    took: list[float] = field(default_factory=list[float])
    """Seconds of each call."""
    errors: list[str] = field(default_factory=list[str])
    cpu: float = 0.0
    """Seconds of the server."""
    client_cpu: float = 0.0
    """Seconds of all clients, which share the cores with it."""
    memory: list[float] = field(default_factory=list[float])
    """MB resident, at each sixth of the time: in the first one the clients come."""
    tasks: list[str] = field(default_factory=list[str])


class Server:
    """What is called: where it is, how a client says who it is, and what it asks next."""

    tools = ("echo",)

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"

    def headers(self, number: int) -> Mapping[str, str]:
        """Return what a client sends with each request."""
        return ACCEPT

    def next(self, chance: random.Random, mine: Sequence[str]) -> Call:
        """Return the next call of a client that has submitted these tasks."""
        return "echo", {"description": "say hello to whoever reads this"}


class Ours(Server):
    """`omni-mcp serve`, with tokens."""

    def headers(self, number: int) -> Mapping[str, str]:
        """Return those of one of the principals."""
        return {**ACCEPT, "authorization": f"Bearer {token_of(number % PRINCIPALS)}"}

    def next(self, chance: random.Random, mine: Sequence[str]) -> Call:
        """Return a call of the mix; who has no task yet submits one."""
        [tool] = chance.choices([tool for tool, _ in MIX], [weight for _, weight in MIX])
        if tool == "submit_task" or not mine:
            return "submit_task", {"description": "say hello to whoever reads this", "type": "bench"}
        return (tool, {"task_id": chance.choice(mine)}) if tool == "task_status" else (tool, {"limit": 20})


def token_of(principal: int) -> str:
    """Return the token of a principal of this benchmark."""
    return f"a-token-for-this-benchmark-{principal:02}"


async def client(server: Server, number: int, until: float, seen: Seen) -> None:
    """Open a session and call until the time is up."""
    chance = random.Random(number)
    mine: list[str] = []
    connector = aiohttp.TCPConnector(limit=1)
    timeout = aiohttp.ClientTimeout(total=CALL_LIMIT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=server.headers(number)) as web:
        try:
            session = await opened(web, server, modern=number % 2 == 1)
            while time.monotonic() < until:
                tool, arguments = server.next(chance, mine)
                began = time.monotonic()
                answer = await asked(web, server, "tools/call", {"name": tool, "arguments": arguments}, session)
                seen.took.append(time.monotonic() - began)
                if answer.get("isError") or "content" not in answer:
                    seen.errors.append(json.dumps(answer)[:300])
                elif tool == "submit_task":
                    mine.append(answer["structuredContent"]["task_id"])
        except (aiohttp.ClientError, TimeoutError, RuntimeError) as error:
            seen.errors.append(f"{type(error).__name__}: {error!s:.300}")
    seen.tasks += mine


async def opened(web: aiohttp.ClientSession, server: Server, *, modern: bool) -> Session:
    """Shake hands, in one era or the other."""
    if modern:
        about = {"protocolVersion": MODERN, "clientInfo": INITIALIZE["clientInfo"], "clientCapabilities": {}}
        meta = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
        session = Session({"mcp-protocol-version": MODERN}, meta)
        await asked(web, server, "server/discover", {}, session)
        return session
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
    async with web.post(server.url, json=body) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"initialize: HTTP {answer.status}")
        version = str(INITIALIZE["protocolVersion"])
        session = Session({"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": version})
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    async with web.post(server.url, json=told, headers=session.headers) as answer:
        await answer.read()
    return session


async def asked(
    web: aiohttp.ClientSession, server: Server, method: str, params: Mapping[str, Any], session: Session
) -> Mapping[str, Any]:
    """Send a request; returns its result, which comes as JSON or as the one event of a stream."""
    headers = dict(session.headers)
    if session.meta is not None:
        params = {**params, "_meta": session.meta}
        headers |= {"mcp-method": method, **({"mcp-name": params["name"]} if "name" in params else {})}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with web.post(server.url, json=body, headers=headers) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}: {text[:200]}")
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")] or [json.loads(text)]
    return next((event["result"] for event in events if "result" in event), events[-1])


async def loaded(server: Server, process: psutil.Process, *, clients: int, seconds: float) -> Seen:
    """Have so many clients call for so long."""
    seen = Seen()
    before, began, own = process.cpu_times(), time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(client(server, number, began + seconds, seen))
        for look in range(1, LOOKS + 1):
            await asyncio.sleep(max(0.0, began + seconds * look / LOOKS - time.monotonic()))
            seen.memory.append(process.memory_info().rss / 1e6)
    after = process.cpu_times()
    seen.cpu = after.user + after.system - before.user - before.system
    seen.client_cpu = time.process_time() - own
    return seen


@asynccontextmanager
async def a_session(server: Server, number: int) -> AsyncGenerator[Any]:
    """Open one more client; gives what calls a tool."""
    async with aiohttp.ClientSession(headers=server.headers(number)) as web:
        session = await opened(web, server, modern=True)

        async def call(tool: str, **arguments: Any) -> Mapping[str, Any]:
            answer = await asked(web, server, "tools/call", {"name": tool, "arguments": arguments}, session)
            structured: Mapping[str, Any] = answer["structuredContent"]
            return structured

        yield call


async def drained(server: Server, tasks: Sequence[str]) -> int:
    """Wait until nothing is open; returns how many of the tasks that were answered have completed."""
    limit = time.monotonic() + DRAINS
    done = 0
    for principal in range(PRINCIPALS):
        async with a_session(server, principal) as call:
            while (await call("system_mode"))["open_tasks"] and time.monotonic() < limit:  # noqa: ASYNC110
                await asyncio.sleep(1)
            cursor: Mapping[str, Any] = {}
            while True:
                page = await call("list_tasks", state="completed", limit=200, **cursor)
                done += len(page["tasks"])
                if "cursor" not in page:
                    break
                cursor = {"cursor": page["cursor"]}
    return min(done, len(tasks))


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str], port: int) -> Generator[psutil.Process]:
    """Run a server until the body ends."""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + STARTS
            while not listens(port):
                assert time.monotonic() < limit, "the server does not come up"
                time.sleep(0.1)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def settings() -> str:
    """Return servers.yaml: a stand-in that takes tasks, and tokens."""
    stand_in = {
        "command": sys.executable, "args": ["-m", "benchmarks.stand_in"], "cwd": str(ROOT), "tool": "echo",
        "arguments": {"description": "{description}"}, "handles": ["bench"], "recovery": "retry", "parallel": 8,
    }  # fmt: skip
    tokens = {f"client-{n}": {"token": f"${{TOKEN_{n}}}"} for n in range(PRINCIPALS)}
    http = {"tokens": tokens, "rate": {"per_second": 100_000, "burst": 1_000_000}}
    return json.dumps(
        {"executors": {"stand-in": stand_in}, "routing": {"rules": [], "default": "stand-in"}, "http": http}
    )


def measured(clients: int, seconds: float) -> Sequence[Mapping[str, Any]]:
    """Load ours, then the bare server; returns a line for each."""
    import resource  # Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, clients * 4)), hard))
    with tempfile.TemporaryDirectory(prefix="omni-load-") as folder:
        home = Home(Path(folder))
        home.servers.write_text(settings(), encoding="utf-8")
        home.dotenv.write_text("".join(f"TOKEN_{n}={token_of(n)}\n" for n in range(PRINCIPALS)), encoding="utf-8")
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "OMNI_HOME": folder}
        port = free_port()
        ours = Ours(port)
        with serving([sys.executable, "-m", "omni_mcp", "serve", "--port", str(port)], environment, port) as process:
            seen = asyncio.run(loaded(ours, process, clients=clients, seconds=seconds))
            submitted = len(seen.tasks)
            completed = asyncio.run(drained(ours, seen.tasks))
        port = free_port()
        with serving([sys.executable, "-m", "benchmarks.bare_http", str(port)], environment, port) as process:
            bare = asyncio.run(loaded(Server(port), process, clients=clients, seconds=seconds))
    return [
        {**line("omni-mcp serve", seen, seconds), "tasks": submitted, "completed": completed},
        line("bare FastMCP", bare, seconds),
    ]


def line(name: str, seen: Seen, seconds: float) -> dict[str, Any]:
    """Return what a server did, times in ms, memory in MB."""
    percentiles = statistics.quantiles(seen.took, n=100) if len(seen.took) > 1 else [0.0] * 99
    return {
        "server": name,
        "calls": len(seen.took),
        "per_second": round(len(seen.took) / seconds, 1),
        "p50_ms": round(percentiles[49] * 1000),
        "p99_ms": round(percentiles[98] * 1000),
        "cpu_ms_a_call": round(seen.cpu / max(1, len(seen.took)) * 1000, 1),
        "clients_cpu_ms_a_call": round(seen.client_cpu / max(1, len(seen.took)) * 1000, 1),
        "errors": len(seen.errors),
        "first_error": seen.errors[0] if seen.errors else None,
        "memory_mb": [round(each) for each in seen.memory],
    }


def main(clients: int = 500, seconds: float = 15) -> list[dict[str, Any]]:
    """Load both; returns the lines of the table."""
    ours, bare = measured(clients, seconds)
    names = {
        "per_second": ("calls a second", "calls/s"),
        "p50_ms": ("a call, p50", "ms"),
        "p99_ms": ("a call, p99", "ms"),
    }
    told = [
        {"name": f"{clients} HTTP clients: {name}", "unit": unit, **pair(ours[key], bare[key])}
        for key, (name, unit) in names.items()
    ]
    lost = {"name": "  errors, and tasks that are not over", "unit": "", "goal": 0}
    return [*told, {**lost, "ours": ours["errors"] + ours["tasks"] - ours["completed"]}]


def by_hand() -> None:
    """Print a line of JSON for each server; ends with 1 for an error, or a task that was answered and is not over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    lines = measured(given.clients, given.seconds)
    for each in lines:
        print(json.dumps(each))
    ours = lines[0]
    sys.exit(any(each["errors"] for each in lines) or ours["completed"] < ours["tasks"])


if __name__ == "__main__":
    by_hand()

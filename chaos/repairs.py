"""Every way in which a LiteLLM proxy was seen to break, done to a real one, and what the scripted ladder makes of it.

Each row has a proxy of its own, which the ladder itself has started and whose file it has kept. Then the fault comes,
and the ladder runs once more, as the engine would run it: over MCP, in a process of its own. What is claimed is what is
seen afterwards: who answers, with which file, and that nothing was touched which is not LiteLLM's.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil
from anyio.abc import Process
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from chaos.stage import say
from omni_mcp.adapters.ladder_look import START_MARK, listen, look
from omni_mcp.adapters.ladder_steps import Door
from omni_mcp.contract import RUN_TASK, RunRequest, RunResult
from omni_mcp.llm.router import OFFLINE
from omni_mcp.processes import sweep
from omni_mcp.repair_setup import VARIABLE, LadderSetup

KEY = "sk-master"
GRACE = 120.0
"""Seconds that a proxy has to come up: it takes 6 to 35 on two cores."""
GOOD: Mapping[str, Any] = {
    "model_list": [
        {
            "model_name": "usual",
            "litellm_params": {"model": "openai/stub", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"},
        }
    ],
    "general_settings": {"master_key": KEY},
}
LIES = """
import http.server, sys
class Liar(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"It works! I'm alive!"[:int(sys.argv[2])])
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Liar).serve_forever()
"""
"""Another program at LiteLLM's port, which answers everything with 200."""


@dataclass(kw_only=True)
class World:
    """One proxy, its file, and what is done to them."""

    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict[str, str])
    others: list[Process] = field(default_factory=list[Process])
    """Programs that are not LiteLLM's."""

    @property
    def config(self) -> Path:
        """The proxy's file."""
        return self.folder / "litellm.yaml"

    @property
    def setup(self) -> LadderSetup:
        """What the ladder is told."""
        argv = ["litellm", "--config", str(self.config), "--host", "127.0.0.1", "--port", str(self.port)]
        return LadderSetup(
            base_url=f"http://127.0.0.1:{self.port}",
            key=KEY,
            start=shlex.join([*argv, "--telemetry", "False"]),
            config=self.config,
            cwd=self.folder,
            env={**OFFLINE, "PATH": os.environ["PATH"], "HOME": str(self.folder), **self.env},
            grace=GRACE,
            folder=self.folder / "repair",
        )

    def write(self, **changes: Any) -> None:
        """Write the proxy's file."""
        self.config.write_text(json.dumps({**GOOD, **changes}))

    def own(self) -> Sequence[psutil.Process]:
        """Return the proxy's processes."""
        return look(self.setup).own

    def signal(self, number: int) -> None:
        """Send a signal to all of them, and wait until that shows."""
        processes = self.own()
        for process in processes:
            process.send_signal(number)
        if number == signal.SIGKILL:
            psutil.wait_procs(processes, timeout=30)

    async def occupy(self, *, says: int) -> None:
        """Have another program listen at the proxy's port."""
        argv = [sys.executable, "-c", LIES, str(self.port), str(says)]
        self.others.append(await anyio.open_process(argv, stdout=None, stderr=None))
        with anyio.fail_after(30):
            while (await listen(self.setup)).door is Door.SHUT:
                await anyio.sleep(0.05)


Break = Callable[[World], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault, and what has to come of it."""

    name: str
    comes: Break
    ends: str
    """`repaired`, `refused`, or `reported` (it serves, and is left alone)."""
    says: str
    """What its result has to say, in part."""


def killed(then: Break) -> Break:
    """Return a fault of a file: it shows once the proxy is started with it."""

    def come(world: World) -> Any:
        world.signal(signal.SIGKILL)
        return then(world)

    return come


def live(**changes: Any) -> Break:
    """Return a fault with which the proxy starts and serves."""

    async def come(world: World) -> None:
        world.signal(signal.SIGKILL)
        world.write(**changes)
        await ladder(world)

    return come


async def occupied(world: World) -> None:
    """Another program was quicker at the port."""
    world.signal(signal.SIGKILL)
    await world.occupy(says=0)


async def lied_about(world: World) -> None:
    """Another program at the port says that it is alive."""
    world.signal(signal.SIGKILL)
    await world.occupy(says=20)


def _route(**params: Any) -> dict[str, Any]:
    return {"model_name": "usual", "litellm_params": {"api_key": "none", **params}}


ROWS = (
    Row(name="process dead (kill -9)", comes=killed(lambda _: None), ends="repaired", says="it serves"),
    Row(name="wedged (SIGSTOP)", comes=lambda world: world.signal(signal.SIGSTOP), ends="repaired", says="it is gone"),
    Row(
        name="YAML syntax error",
        comes=killed(lambda world: world.config.write_text("model_list: [\n")),
        ends="repaired",
        says="cannot be read as YAML",
    ),
    Row(name="file deleted", comes=killed(lambda world: world.config.unlink()), ends="repaired", says="is not there"),
    Row(name="file empty", comes=killed(lambda world: world.config.write_text("")), ends="repaired", says="is empty"),
    Row(
        name="bad routing_strategy",
        comes=killed(lambda world: world.write(router_settings={"routing_strategy": "nope"})),
        ends="repaired",
        says="does not serve",
    ),
    Row(
        name="deployment without a model",
        comes=killed(lambda world: world.write(model_list=[{"model_name": "x", "litellm_params": {}}])),
        ends="repaired",
        says="row 1 of model_list has no",
    ),
    Row(
        name="callback missing",
        comes=killed(lambda world: world.write(litellm_settings={"callbacks": ["nope_x.y"]})),
        ends="repaired",
        says="Could not import",
    ),
    Row(name="port taken by another program", comes=occupied, ends="refused", says="left alone"),
    Row(name="another program says that it is alive", comes=lied_about, ends="refused", says="left alone"),
    Row(
        name="DATABASE_URL without prisma",
        comes=killed(lambda world: world.env.update(DATABASE_URL="postgresql://x@127.0.0.1:9/x")),
        ends="refused",
        says="a database URL is set but",
    ),
    Row(
        name="Redis unreachable",
        comes=live(router_settings={"redis_host": "127.0.0.1", "redis_port": 9}),
        ends="reported",
        says="Redis at 127.0.0.1:9 cannot be reached",
    ),
    Row(
        name="unknown provider prefix",
        comes=live(model_list=[*GOOD["model_list"], _route(model="nope/x")]),
        ends="reported",
        says="its route nope/x is in the file",
    ),
    Row(
        name="api_key not set",
        comes=live(model_list=[_route(model="openai/stub", api_key="os.environ/NOT_SET")]),
        ends="reported",
        says="takes NOT_SET from",
    ),
    Row(name="upstream down", comes=lambda _: None, ends="reported", says="answers and lists its models"),
)


async def ladder(world: World) -> RunResult:
    """Run the ladder once, as the engine does."""
    env = {"PATH": os.environ["PATH"], "HOME": str(world.folder), VARIABLE: world.setup.model_dump_json()}
    with (world.folder / "ladder.log").open("a") as log:
        argv = ["-P", "-m", "omni_mcp.adapters.repair_ladder"]
        transport = StdioTransport(sys.executable, argv, env=env, keep_alive=False, log_file=log)
        async with Client(transport, init_timeout=60, timeout=GRACE * 5) as client:
            request = RunRequest(task_id="repair", attempt=1, run_id="repair", description="", cwd=str(world.folder))
            answer = await client.call_tool_mcp(RUN_TASK, request.wire())
            return RunResult.model_validate(answer.structured_content)


@asynccontextmanager
async def world_in(folder: Path) -> AsyncGenerator[World]:
    """Have a proxy that the ladder has started; nothing of it is left at the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    world = World(folder=folder, port=port)
    world.write()
    try:
        yield world
    finally:
        for process in world.others:
            process.kill()
            await process.aclose()
        sweep(START_MARK, world.setup.base_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of a row."""

    row: Row
    seconds: float
    trouble: str | None
    """What is not as claimed."""


async def play(row: Row, folder: Path) -> Seen:
    """Have the fault come, run the ladder, and look."""
    async with world_in(folder) as world:
        begun = await ladder(world)
        assert begun.status == "completed", begun
        came = row.comes(world)
        if came is not None and hasattr(came, "__await__"):
            await came
        (folder / "repair" / "journal.json").unlink()  # the starts until here are ours, not those of an outage
        before, start = {process.pid for process in world.own()}, time.monotonic()
        result = await ladder(world)
        seconds = time.monotonic() - start
        trouble = await _trouble(row, world, result, before)
    return Seen(row=row, seconds=seconds, trouble=trouble)


async def _trouble(row: Row, world: World, result: RunResult, before: set[int]) -> str | None:
    """Return the first claim that does not hold."""
    said, serves = f"{result.text}\n{result.message}", (await listen(world.setup)).door is Door.WELL
    claims = {
        f"it says {row.says!r}": row.says in said,
        "it ends as it should": (result.status == "completed") is (row.ends != "refused"),
        "LiteLLM serves unless it was refused": serves is (row.ends != "refused"),
        "what serves already is left alone": row.ends != "reported" or before == {p.pid for p in world.own()},
        "no other program was touched": all(process.returncode is None for process in world.others),
    }
    return next((f"{claim}: {said}" for claim, holds in claims.items() if not holds), None)


async def run(rows: Sequence[Row], rounds: int) -> Sequence[Seen]:
    """Play every row so many times, one after the other."""
    seen: list[Seen] = []
    for row in [row for row in rows for _ in range(rounds)]:
        folder = Path(tempfile.mkdtemp(prefix="omni-repairs-"))
        seen.append(await play(row, folder))
        last = seen[-1]
        say(
            f"{row.name}: {row.ends} in {last.seconds:.1f} s" if last.trouble is None else f"{row.name}: {last.trouble}"
        )
        shutil.rmtree(folder)
    return seen


def table(seen: Sequence[Seen]) -> str:
    """Return the figures as docs/faults.md has them."""
    lines = ["| fault | as claimed | seconds, each time |", "|---|---|---|"]
    for row in dict.fromkeys(each.row for each in seen):
        mine = [each for each in seen if each.row is row]
        good = sum(each.trouble is None for each in mine)
        times = ", ".join(f"{each.seconds:.1f}" for each in mine)
        lines.append(f"| {row.name} | {row.ends} {good} of {len(mine)} | {times} |")
    good = sum(each.trouble is None for each in seen)
    return "\n".join([*lines, "", f"{good} of {len(seen)} as claimed"])


def main() -> None:
    """Play all rows; ends with 1 if one does not come out as claimed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is played")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    given = parser.parse_args()
    if shutil.which("litellm") is None:
        sys.exit("no litellm on PATH: make repairs brings one")
    seen = anyio.run(run, [row for row in ROWS if given.only in row.name], given.rounds)
    print(table(seen))
    sys.exit(any(each.trouble for each in seen))


if __name__ == "__main__":
    main()

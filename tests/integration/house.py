"""A home for a test: its servers.yaml, clients of its face, and the end of its engine."""

import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import yaml
from anyio.abc import Process
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from omni_mcp import background
from omni_mcp.home import Home
from tests.forkserver import command

STUBS = Path(__file__).parent.parent / "stubs"
LIMIT = 60.0
"""Seconds that anything may take here."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """An `omni-mcp serve` that runs."""

    process: Process
    port: int

    @property
    def base(self) -> str:
        """Where it is, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it speaks MCP."""
        return f"{self.base}/mcp"


@dataclass(frozen=True)
class House:
    """A home and what happens around it."""

    home: Home

    @property
    def work_log(self) -> Path:
        """What the stub executors wrote."""
        return self.home.root / "work.log"

    def logged(self) -> Sequence[Mapping[str, Any]]:
        """Return the lines of the work log."""
        if not self.work_log.exists():
            return []
        return [json.loads(line) for line in self.work_log.read_text().splitlines()]

    def configure(self, **sections: Any) -> None:
        """Write servers.yaml."""
        self.home.servers.write_text(yaml.safe_dump(sections, allow_unicode=True))

    def workshop(self, tool: str = "echo", *, argument: str = "text", **row: Any) -> dict[str, Any]:
        """Return a row of servers.yaml: one tool of the workshop stub."""
        return {
            "command": sys.executable,
            "args": [str(STUBS / "workshop.py"), str(self.work_log)],
            "tool": tool,
            "arguments": {argument: "{description}"},
            "handles": [tool],
            **row,
        }

    @property
    def env(self) -> dict[str, str]:
        """The environment of a client's child: clean."""
        kept = {name: value for name, value in os.environ.items() if name == "TZ" or name.startswith("COVERAGE_")}
        place = str(self.home.root)
        return {"PATH": os.environ["PATH"], "HOME": place, "OMNI_HOME": place, **kept}

    @asynccontextmanager
    async def client(self, *arguments: str) -> AsyncGenerator[Client[Any]]:
        """Open a client of a new stdio face."""
        program, *argv = command(*arguments)
        with (self.home.root / "face.log").open("a") as log:
            transport = StdioTransport(program, argv, env=self.env, keep_alive=False, log_file=log)
            async with Client(transport, init_timeout=LIMIT, timeout=LIMIT * 2) as client:
                yield client

    @asynccontextmanager
    async def served(self, *arguments: str, limit: float = LIMIT, forked: bool = True) -> AsyncGenerator[Served]:
        """Run `omni-mcp serve` on loopback; in the end it is asked to go, gives back its work and ends well.

        A body that kills it with SIGKILL is taken as meant; such a one is not `forked`, nor one whose pid matters.
        """
        port = free_port()
        serve = ("serve", "--port", str(port), *arguments)
        argv = command(*serve) if forked else [sys.executable, "-m", "omni_mcp", *serve]
        with (self.home.root / "serve.log").open("a") as log:
            async with await anyio.open_process(argv, env=self.env, stdout=log, stderr=log) as process:
                try:
                    await connected(port, limit=limit)
                    yield Served(process=process, port=port)
                finally:
                    if process.returncode is None:
                        process.terminate()
                    with anyio.CancelScope(shield=True), anyio.fail_after(LIMIT):
                        assert await process.wait() in (0, -signal.SIGKILL), self.home.root / "serve.log"

    async def engine_pid(self) -> int:
        """Return the pid of the engine, when there is one."""
        await until(lambda: background.view(self.home).pid)
        return background.view(self.home).pid or 0

    async def cli(self, *arguments: str, path: str | None = None) -> tuple[int, str]:
        """Run `omni-mcp …`; returns its exit code and what it printed."""
        env = self.env if path is None else {**self.env, "PATH": path}
        done = await anyio.run_process(command(*arguments), env=env, check=False)
        return done.returncode, done.stdout.decode() + done.stderr.decode()


@asynccontextmanager
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    """Open a home; at the end its engine is stopped, whatever happened."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    try:
        yield House(home)
    finally:
        with anyio.CancelScope(shield=True):
            while await anyio.to_thread.run_sync(background.stop, home):  # the next one may be just coming up
                pass


async def until(condition: Callable[[], object | Awaitable[object]], *, limit: float = LIMIT) -> Any:
    """Wait until something holds that no event tells of (another process does it); returns what it then is."""
    with anyio.fail_after(limit):
        while True:
            holds = condition()
            if isawaitable(holds):
                holds = await holds
            if holds:
                return holds
            await anyio.sleep(0.02)


def until_then(condition: Callable[[], object], *, limit: float = LIMIT) -> Any:
    """Wait as `until` does, where no event loop runs. Blocks."""
    return anyio.run(partial(until, condition, limit=limit))


async def call(client: Client[Any], tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that must not refuse; returns its structured answer."""
    answer = await client.call_tool_mcp(tool, arguments)
    assert not answer.is_error, answer.structured_content
    assert answer.structured_content is not None
    return answer.structured_content


async def refused(client: Client[Any], tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that must refuse; returns the error."""
    answer = await client.call_tool_mcp(tool, arguments)
    assert answer.is_error, answer.structured_content
    assert answer.structured_content is not None
    return answer.structured_content


async def ended(client: Client[Any], task_id: str, *, limit: float = LIMIT) -> dict[str, Any]:
    """Wait until a task is over, or waits for somebody."""
    with anyio.fail_after(limit):
        status = await call(client, "task_status", task_id=task_id)
        while status["state"] not in ("completed", "failed", "cancelled", "waiting"):
            status = await call(client, "task_status", task_id=task_id, wait_seconds=20)
        return status


async def listed(client: Client[Any]) -> list[dict[str, Any]]:
    """Return the tasks that are on the list."""
    return (await call(client, "list_tasks"))["tasks"]


async def progressed(client: Client[Any], task_id: str, line: str) -> None:
    """Wait until a task says this of its progress."""

    async def said() -> bool:
        return (await call(client, "task_status", task_id=task_id)).get("progress") == line

    await until(said)


async def connected(port: int, *, limit: float = LIMIT) -> None:
    """Wait until something listens on a port of loopback."""

    async def listens() -> bool:
        try:
            async with await anyio.connect_tcp("127.0.0.1", port):
                return True
        except OSError:
            return False

    await until(listens, limit=limit)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

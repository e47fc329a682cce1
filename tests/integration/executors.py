"""Executors for tests: real child processes and servers of `tests/stubs`."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
from anyio.abc import Process
from mcp.types import CallToolResult

from omni_mcp.contract import RunRequest
from omni_mcp.executors.session import Session
from omni_mcp.home import Home
from omni_mcp.presets import ExecutorSpec, resolve
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings
from omni_mcp.task import Failed, new_id
from tests.integration.house import LIMIT, STUBS, connected, until


def bad(*flags: str, **more: Any) -> ExecutorRow:
    """Return the row of a server that misbehaves; no flag: only when asked to."""
    args = (str(STUBS / "bad_server.py"), *flags)
    return ExecutorRow.model_validate({"command": sys.executable, "args": args, "tool": "echo", **more})


def stub_adapter(**more: Any) -> ExecutorRow:
    """Return the row of a server that speaks the adapter contract."""
    args = (str(STUBS / "adapter_server.py"),)
    return ExecutorRow.model_validate({"command": sys.executable, "args": args, "handles": ("x",), **more})


def remote_adapter(port: int, **more: Any) -> ExecutorRow:
    """Return the row of the same server over HTTP; see `http_adapter`."""
    return ExecutorRow.model_validate({"url": f"http://127.0.0.1:{port}/mcp", "handles": ("x",), **more})


def settings_of(home: Path, **rows: ExecutorRow) -> Settings:
    """Return settings with these executors."""
    return Settings(home=Home(home), servers=ServersFile(executors=rows))


def spec_of(home: Path, row: ExecutorRow) -> ExecutorSpec:
    """Return the spec of a row, called `it`."""
    return resolve(settings_of(home, it=row))["it"]


@asynccontextmanager
async def session_of(home: Path, row: ExecutorRow, *, owner: str | None = None) -> AsyncGenerator[Session]:
    """Yield a session to the server of a row; it is closed at the end."""
    session = Session(spec_of(home, row), owner=owner or new_id(), home=Home(home))
    try:
        yield session
    finally:
        await session.close()


def a_request(description: str = "hello", *, timeout: float = LIMIT, **more: Any) -> RunRequest:
    """Return one attempt at a task."""
    named = {"task_id": new_id(), "attempt": 1, "run_id": new_id(), "cwd": "/", **more}
    return RunRequest.model_validate({"description": description, "timeout": timeout, **named})


class Heard:
    """Takes progress."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._began = anyio.Event()

    def __call__(self, line: str) -> None:
        """Take a line."""
        self.lines.append(line)
        self._began.set()

    async def first(self) -> None:
        """Wait for the first line."""
        with anyio.fail_after(LIMIT):
            await self._began.wait()


def said(answer: CallToolResult | Failed) -> str:
    """Return the text of an answer that has to be one."""
    assert isinstance(answer, CallToolResult), answer
    return getattr(answer.content[0], "text", "")


def pid_of(answer: CallToolResult | Failed) -> int:
    """Return the process that answered an `echo`."""
    assert isinstance(answer, CallToolResult), answer
    assert answer.structured_content is not None
    return int(answer.structured_content["pid"])


def lives(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def ends(pid: int) -> None:
    """Wait until a process is over."""
    await until(lambda: not lives(pid))


@asynccontextmanager
async def http_adapter(port: int) -> AsyncGenerator[Process]:
    """Run the stub adapter over HTTP until the end of the block; it listens when this is entered."""
    argv = [sys.executable, str(STUBS / "adapter_server.py"), str(port)]
    async with await anyio.open_process(argv, stdin=None, stdout=None, stderr=None) as process:
        try:
            await connected(port)
            assert process.returncode is None, f"the stub ended with {process.returncode}"
            yield process
        finally:
            if process.returncode is None:
                process.kill()

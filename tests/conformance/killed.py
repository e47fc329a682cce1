"""Between suite and server: kills the server with SIGKILL after every task that it creates, before anybody hears of it.

The answer with the task's id goes on to the suite only when a new server on the same home listens. So whatever the
suite asks next, `tasks/get` first of all, is answered from what was on disk.
"""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import uvicorn
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.integration.house import connected, free_port

TASK = b'"resultType":"task"'
NOT_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})
LIMIT = 120.0


class Server:
    """Serves MCP at a port of its own, in one process after the other (`forked.py`)."""

    def __init__(self, argv: Sequence[str], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.kills = 0
        self._port = port
        with log.open("ab") as lines:
            self._parent = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=lines)
        self._pid = 0

    async def start(self) -> None:
        """Wait until the next process listens."""
        assert self._parent.stdout is not None
        self._pid = int(await run_sync(self._parent.stdout.readline))
        await connected(self._port, limit=LIMIT)

    def end(self) -> None:
        """End all of it."""
        self._parent.kill()
        self._parent.wait()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)

    async def restart(self) -> None:
        """Kill the process that serves, as a power cut would; the next one begins with what is on disk."""
        os.kill(self._pid, signal.SIGKILL)
        self.kills += 1
        await self.start()


@asynccontextmanager
async def killed_after_each_task(server: Server) -> AsyncGenerator[str]:
    """Yield the URL at which the server is reached that dies with every task."""

    async def forward(request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in NOT_OURS}
        async with httpx2.AsyncClient(timeout=LIMIT) as client:  # a connection of its own: none outlives the server
            answer = await client.request(request.method, server.url, headers=headers, content=await request.body())
        if TASK in answer.content:
            await server.restart()
        back = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_OURS}
        return Response(answer.content, status_code=answer.status_code, headers=back)

    app = Starlette(routes=[Route("/mcp", forward, methods=["GET", "POST", "DELETE"])])
    port = free_port()
    between = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(between.serve)
        await connected(port, limit=LIMIT)
        yield f"http://127.0.0.1:{port}/mcp"
        between.should_exit = True

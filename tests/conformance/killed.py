"""Between suite and server: kills the server with SIGKILL after every task that it creates, before anybody hears of it.

The answer with the task's id goes on to the suite only when a new server on the same home listens. So whatever the
suite asks next, `tasks/get` first of all, is answered from what was on disk.
"""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.integration.house import connected, free_port

TASK = b'"resultType":"task"'
NOT_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})
LIMIT = 120.0


class Server:
    """A process that serves MCP at a port of its own."""

    def __init__(self, argv: Sequence[str], port: int, log: str) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.kills = 0
        self._argv = argv
        self._port = port
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with open(self._log, "ab") as log:  # noqa: ASYNC230, PTH123 - a file of the child
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: ASYNC220
        await connected(self._port, limit=LIMIT)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    async def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.kills += 1
        await self.start()


@asynccontextmanager
async def killed_after_each_task(server: Server) -> AsyncGenerator[str]:
    """Yield the URL at which the server is reached that dies with every task."""
    async with httpx2.AsyncClient(timeout=LIMIT) as client:

        async def forward(request: Request) -> Response:
            headers = {name: value for name, value in request.headers.items() if name not in NOT_OURS}
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

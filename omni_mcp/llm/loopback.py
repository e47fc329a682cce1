"""Serve an ASGI app on loopback inside a running event loop: no signal handlers, no access log, a bounded end."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"

GRACE = 1
"""Seconds that open answers get at the end; then they are cut."""


class _Guest(uvicorn.Server):
    """A server in somebody else's process: signals are not its business."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, *, port: int = 0) -> AsyncGenerator[int]:
    """Serve `app` on 127.0.0.1 until the body ends; gives the port (0 chooses a free one). Raises OSError if taken."""
    listener = socket.create_server((HOST, port))
    # Handed to every connection. asyncio sets it only where a socket names its protocol, and without it a piece that
    # follows a piece waits for the other side's delayed acknowledgement: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=GRACE
    )
    server = _Guest(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.shield(task)

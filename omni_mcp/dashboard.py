"""The web page in a process of its own, for whoever runs no `omni-mcp serve`: on loopback, until it is interrupted."""

import socket
from collections.abc import Callable
from contextlib import ExitStack

import anyio
import uvicorn
from anyio.to_thread import run_sync

from omni_mcp.app.face import running_face
from omni_mcp.errors import BadRequest
from omni_mcp.faces.web.keys import Keys
from omni_mcp.faces.web.site import Site
from omni_mcp.faces.web.where import address, announced, found
from omni_mcp.home import Home

HOST = "127.0.0.1"
PORT = 8766
"""Where it listens unless told otherwise; if somebody else does, anywhere that is free."""
GRACE = 1
"""Seconds that open connections have at the end."""


def show_page(home: Home, *, port: int | None, on_up: Callable[[str], None]) -> None:
    """Call `on_up` with the address of the page; where none is up, serve it until a signal. Raises BadRequest."""
    if (there := found(home)) is not None:
        on_up(there)
    else:
        anyio.run(_serve, home, _socket(port), on_up)


def _socket(port: int | None) -> socket.socket:
    trouble: str | None = None
    for wanted in (port,) if port is not None else (PORT, 0):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, wanted))
        except OSError as error:
            listening.close()
            trouble = error.strerror
        else:
            return listening
    raise BadRequest(f"cannot listen on {HOST} port {port}: {trouble}", next_step="omni-mcp dashboard without --port")


async def _serve(home: Home, listening: socket.socket, on_up: Callable[[str], None]) -> None:
    async with running_face(home) as service:
        site = Site(lambda: service, Keys(home.page_keys))
        config = uvicorn.Config(
            site, lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE
        )
        at = address(HOST, listening.getsockname()[1])
        with ExitStack() as stack:
            listening.listen()
            await run_sync(stack.enter_context, announced(home, at))
            await run_sync(on_up, at)
            await uvicorn.Server(config).serve(sockets=[listening])

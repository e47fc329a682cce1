"""The face over Streamable HTTP, with the engine in the same process."""

import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse

from omni_mcp.app import running_all
from omni_mcp.errors import BadRequest
from omni_mcp.faces import hooks
from omni_mcp.faces.mcp import create_face
from omni_mcp.hidden import hide_environment, hide_memory
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder
from omni_mcp.service import Service
from omni_mcp.this_machine import is_loopback


def serve_http(home: Home, *, host: str, port: int) -> None:
    """Serve until a signal. Raises BadRequest for a port in use, and beyond loopback: this version has no tokens."""
    if not is_loopback(host):
        raise BadRequest(
            f"refusing to listen on {host}: without tokens anybody who reaches it could run tasks",
            next_step="omni-mcp serve --host 127.0.0.1, and a tunnel (ssh -L) from elsewhere",
        )
    _must_be_free(host, port)
    hide_environment()
    hide_memory()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    house = _House(home, f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp")
    face = create_face(house.opened)
    face.custom_route("/health", methods=["GET"])(partial(_health, home))
    face.custom_route(hooks.PATH, methods=["POST"])(hooks.Door(house.service).take)
    face.run("http", host=host, port=port, show_banner=False, host_origin_protection=True)


class _House:
    """What is open while this process serves: webhooks use the service of the face."""

    def __init__(self, home: Home, url: str) -> None:
        self._home = home
        self._url = url
        self._service: Service | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Service]:
        """Open face and engine, and write down where they answer, for `omni-mcp install`."""
        note = anyio.Path(self._home.served_at)
        async with running_all(self._home) as self._service:
            await note.write_text(self._url, encoding="utf-8")
            try:
                yield self._service
            finally:
                await note.unlink(missing_ok=True)

    def service(self) -> Service:
        """Return what was opened; nothing is served before that."""
        assert self._service is not None  # noqa: S101
        return self._service


async def _health(home: Home, _request: Request) -> JSONResponse:
    """Answer 200 while this process answers and an engine is up, else 503: for whoever restarts what is ill."""
    up = holder(home.engine_lock) is not None
    return JSONResponse({"engine": up}, status_code=200 if up else 503)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: uvicorn repeats a signal after its shutdown, when the engine has still to give back its work."""


def _must_be_free(host: str, port: int) -> None:
    """Raise BadRequest when somebody else listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadRequest(
                f"cannot listen on {host} port {port}: {error.strerror}", next_step="omni-mcp serve --port with another"
            ) from error

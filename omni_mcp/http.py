"""The face over Streamable HTTP and the web page, with the engine in the same process."""

import logging
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import anyio
import httpx2
from anyio.to_thread import run_sync
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from omni_mcp.app.face import running_face
from omni_mcp.app.inside import running_all
from omni_mcp.errors import BadRequest, OmniError, SettingsError
from omni_mcp.faces import hooks, metrics
from omni_mcp.faces.auth import Bearers, discoverable
from omni_mcp.faces.caller import NOBODY
from omni_mcp.faces.crowd import Crowd
from omni_mcp.faces.gate import Gate
from omni_mcp.faces.mcp import create_face
from omni_mcp.faces.state import kept_state
from omni_mcp.faces.web import door
from omni_mcp.faces.web.keys import Keys
from omni_mcp.faces.web.site import Site, mounted
from omni_mcp.faces.web.where import address, announced
from omni_mcp.hidden import hide_environment, hide_memory
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder
from omni_mcp.live_settings import LiveSettings
from omni_mcp.logs import Style, style_of, write_logs
from omni_mcp.service.service import Service
from omni_mcp.settings import Settings
from omni_mcp.telemetry import exporting
from omni_mcp.this_machine import is_loopback

READY_LIMIT = 5.0
"""Seconds that the ledger may take to answer before `/readyz` says that it does not."""
KEYS_LIMIT = 10.0
"""Seconds that an identity provider may take to send its keys."""
MOST_FILES = 65_536
"""Descriptors that are enough: each connection is one, also of those who are told to come again."""


def serve_http(home: Home, *, host: str, port: int, engine: bool = True) -> None:
    """Serve until a signal; without `engine` others do the work.

    Raises BadRequest for a port in use and beyond loopback without tokens, and SettingsError when those that
    servers.yaml names cannot be used.
    """
    settings = LiveSettings(home).now
    http = settings().servers.http
    _must_be_guarded(settings(), host)
    _must_be_free(host, port)
    hide_environment()
    hide_memory()
    style = style_of(settings().servers.log_format)
    if style == "json":
        write_logs(style, level=logging.INFO)
    _allow_files()
    signals = _Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signals.noted)
    house = _House(home, address(host, port), guarded=http.guarded, engine=engine)
    bearers = Bearers(settings, httpx2.AsyncClient(timeout=KEYS_LIMIT)) if http.guarded else None
    face = create_face(
        house.opened,
        state=kept_state(home),
        auth=None if bearers is None else discoverable(bearers, http, address(host, port)),
        gate=[Gate(lambda: settings().servers.http, guarded=http.guarded)],
    )
    face.custom_route("/healthz", methods=["GET"])(_alive)
    face.custom_route("/readyz", methods=["GET"])(house.ready)
    face.custom_route(hooks.PATH, methods=["POST"])(hooks.Door(house.service).take)
    face.custom_route(metrics.PATH, methods=["GET"])(metrics.Meter(house.operator, bearers).take)
    for path in (door.ROOT, f"{door.ROOT}/{{page:path}}"):
        face.custom_route(path, methods=["GET", "POST"])(mounted(Site(house.operator, Keys(home.page_keys))))
    with exporting():
        face.run(
            "http",
            host=host,
            port=port,
            show_banner=False,
            host_origin_protection=True,
            allowed_hosts=list(http.hosts),
            allowed_origins=list(http.origins),
            middleware=[Middleware(signals.watching), Middleware(Crowd, most=http.connections)],
            uvicorn_config={"server_header": False, "access_log": False, **_uvicorn_logs(style)},
        )


def _uvicorn_logs(style: Style) -> dict[str, Any]:
    """Return what has uvicorn leave its lines to our handler, which writes them as JSON."""
    return {"log_config": None, "access_log": True} if style == "json" else {}


def _must_be_guarded(settings: Settings, host: str) -> None:
    """Refuse to serve everybody where tokens are wanted, and beyond this machine."""
    if settings.servers.http.guarded:
        return
    for problem in settings.problems:
        if problem.section == "http" or (problem.section is None and problem.disables_all):
            raise SettingsError(f"refusing to serve without the tokens that may be wanted: {problem}")
    if not is_loopback(host):
        raise BadRequest(
            f"refusing to listen on {host}: without tokens anybody who reaches it could run tasks",
            next_step="name who may call in servers.yaml (http.tokens or http.jwt, docs/http.md), "
            "or omni-mcp serve --host 127.0.0.1, and a tunnel (ssh -L) from elsewhere",
        )


class _House:
    """What is open while this process serves: webhooks use the service of the face."""

    def __init__(self, home: Home, at: str, *, guarded: bool, engine: bool) -> None:
        self._home = home
        self._engine = engine
        self._at = at
        self._guarded = guarded
        self._operator: Service | None = None
        self._service: Service | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Service]:
        """Open face and engine, and write down where they answer, for `omni-mcp install`.

        Where tokens are wanted, what is asked without one is asked by nobody.
        """
        note = anyio.Path(self._home.served_at)
        opened = running_all(self._home) if self._engine else running_face(self._home, engine="elsewhere")
        async with opened as service:
            self._operator = replace(service, admin=True)
            self._service = replace(service, principal=NOBODY) if self._guarded else service
            await note.write_text(f"{self._at}/mcp", encoding="utf-8")
            with ExitStack() as stack:
                await run_sync(stack.enter_context, announced(self._home, self._at))
                try:
                    yield self._service
                finally:
                    await note.unlink(missing_ok=True)

    def service(self) -> Service:
        """Return what was opened; nothing is served before that."""
        assert self._service is not None  # noqa: S101
        return self._service

    def operator(self) -> Service:
        """Return what the web page works with: who has its link owns the home, and sees the tasks of everybody."""
        assert self._operator is not None  # noqa: S101
        return self._operator

    async def ready(self, _request: Request) -> JSONResponse:
        """Answer 200 while the ledger can be read and an engine is up, else 503: for whoever sends requests here."""
        found = {"ledger": await self._readable(), "engine": self._has_engine}
        return _said(found, 200 if all(found.values()) else 503)

    @property
    def _has_engine(self) -> bool:
        return not self._engine or holder(self._home.engine_lock) is not None

    async def _readable(self) -> bool:
        try:
            with anyio.fail_after(READY_LIMIT):
                await self.service().ledger.engine()
        except (OmniError, TimeoutError):
            return False
        return True


async def _alive(_request: Request) -> JSONResponse:
    """Answer 200 while this process answers at all: for whoever restarts what does not."""
    return _said({"alive": True}, 200)


def _said(found: dict[str, bool], status: int) -> JSONResponse:
    return JSONResponse(found, status, {"cache-control": "no-store"})


class _Signals:
    """What SIGTERM and SIGINT mean while uvicorn does not hear them: before it serves, and after its shutdown."""

    def __init__(self) -> None:
        self._served = False

    def noted(self, number: int, _frame: FrameType | None) -> None:
        """End while we start; later nothing: uvicorn repeats a signal when the engine has still to give back work."""
        if not self._served:
            raise SystemExit(128 + number)

    def watching(self, app: ASGIApp) -> ASGIApp:
        """Return the application, seen to be opened: uvicorn does that first of all once it hears signals."""

        async def opened(scope: Scope, receive: Receive, send: Send) -> None:
            self._served = True
            await app(scope, receive, send)

        return opened


def _allow_files() -> None:
    """Have as many descriptors as the system lets us: many begin with 256, and without one left nothing can be read."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


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

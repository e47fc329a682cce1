"""Clouds that come and go: a LiteLLM proxy and providers on loopback, which tests shut and open again."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastmcp import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from omni_mcp.demo.cloud import Cloud
from omni_mcp.llm.loopback import serving
from tests.integration.house import LIMIT, call, free_port, until


@dataclass
class Place:
    """A server on a port of its own: `shut` and nobody listens, `open` and it is back."""

    port: int = field(default_factory=free_port)
    cloud: Cloud = field(default_factory=Cloud)
    probes: list[str] = field(default_factory=list[str])
    """The paths of what was asked without a model call."""
    says: str = "I'm alive!"
    """What it says of itself."""
    status: int = 200
    """What its list of models is answered with."""
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def models(self) -> list[str]:
        """The models of the calls that it served."""
        return [seen.model for seen in self.cloud.requests if seen.mode == "ok"]

    async def open(self) -> None:
        await self._open.enter_async_context(serving(self._app(), port=self.port))

    async def shut(self) -> None:
        await self._open.aclose()
        self._open = AsyncExitStack()

    def _app(self) -> ASGIApp:
        doors = {"/health/liveliness": self._live, "/v1/models": self._list}
        own, cloud = Starlette(routes=[Route(path, door) for path, door in doors.items()]), self.cloud.app()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await (own if scope["path"] in doors else cloud)(scope, receive, send)

        return app

    async def _live(self, request: Request) -> Response:
        self.probes.append(request.url.path)
        return JSONResponse(self.says)

    async def _list(self, request: Request) -> Response:
        self.probes.append(request.url.path)
        return JSONResponse({"data": []}, self.status)


@asynccontextmanager
async def place() -> AsyncGenerator[Place]:
    """Open a place; it is shut at the end."""
    it = Place()
    await it.open()
    try:
        yield it
    finally:
        await it.shut()


async def in_mode(client: Client[Any], mode: str, *, limit: float = LIMIT) -> dict[str, Any]:
    """Wait until a mode holds; returns what `system_mode` then says."""

    async def holds() -> dict[str, Any] | None:
        seen = await call(client, "system_mode")
        return seen if seen["mode"] == mode else None

    return await until(holds, limit=limit)


async def the_repair(client: Client[Any]) -> dict[str, Any] | None:
    """Return the one repair of an outage, when it is over."""
    rows = (await call(client, "list_tasks"))["tasks"]
    found = [row for row in rows if row.get("type") == "system_repair"]
    if not found or found[0]["state"] not in ("completed", "failed", "cancelled"):
        return None
    assert len(found) == 1, found
    return found[0]

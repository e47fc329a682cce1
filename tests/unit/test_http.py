"""What an HTTP request meets before a tool does: how many at once, and nothing that costs more than the call."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from starlette.types import Receive, Scope, Send

from omni_mcp.dispatch.local import LocalDispatch
from omni_mcp.faces.crowd import Crowd
from omni_mcp.faces.mcp import create_face
from omni_mcp.home import Home
from omni_mcp.keeper import EngineInside
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.service.service import Service
from omni_mcp.settings import Settings
from omni_mcp.testing import ToldClock, ledger_for_tests

AT = "http://127.0.0.1"


@asynccontextmanager
async def asking(app: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=AT) as client:
        yield client


async def test_above_the_limit_a_request_is_told_to_come_again_and_served_when_it_does() -> None:
    arrived, leave = anyio.Event(), anyio.Event()

    async def slow(scope: Scope, _receive: Receive, send: Send) -> None:
        arrived.set()
        if scope["path"] == "/stays":
            await leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with asking(Crowd(slow, most=1)) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "/stays")
            await arrived.wait()
            refusal = await client.post("/mcp")
            assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "1")
            assert refusal.json()["code"] == "overloaded"
            assert (await client.get("/healthz")).status_code == 200
            leave.set()
        assert (await client.post("/mcp")).status_code == 200


@asynccontextmanager
async def a_service(folder: Path) -> AsyncGenerator[Service]:
    settings = Settings(home=Home(folder), servers=ServersFile())
    async with ledger_for_tests(folder, ToldClock()) as ledger:
        yield Service(ledger=ledger, settings=lambda: settings, dispatch=LocalDispatch(), engines=EngineInside())


class Heard(Middleware):
    """Notes what is asked of the face."""

    def __init__(self) -> None:
        self.methods: list[str | None] = []

    async def on_request(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Note it."""
        self.methods.append(context.method)
        return await call_next(context)


async def test_a_call_of_the_newer_era_lists_no_tools(tmp_path: Path) -> None:
    heard = Heard()
    face = create_face(partial(a_service, tmp_path), gate=[heard])
    app = face.http_app()
    about = {"protocolVersion": "2026-07-28", "clientInfo": {"name": "t", "version": "1"}, "clientCapabilities": {}}
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
    params = {"name": "list_tasks", "arguments": {"limit": 1}, "_meta": meta}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "list_tasks",
    }
    async with app.router.lifespan_context(app), asking(app) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = await client.post("/mcp", json=body, headers=headers)
    assert (answer.status_code, '"tasks"' in answer.text) == (200, True), answer.text
    assert heard.methods == ["tools/call"]

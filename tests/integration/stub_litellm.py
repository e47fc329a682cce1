"""A stub of a LiteLLM proxy for what a real one says only now and then: one canned answer, the requests kept."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from omni_mcp.llm.loopback import serving

COOLDOWN = {
    "error": {
        "message": "No deployments available for selected model, Try again in 5 seconds. Passed model=auto-chat.",
        "type": "all_deployments_in_cooldown",
        "param": "None",
        "code": "429",
    }
}
"""A total outage as litellm 1.106 words it for chat; of messages it says the same as a `rate_limit_error`."""

NO_DB = {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}
"""A wrong key, where the proxy has no database."""

NO_MODEL = {
    "error": {
        "message": "/chat/completions: Invalid model name passed in model=auto-chat. Call `/v1/models` to view them.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "400",
    }
}


def chat_error(kind: str | None, message: str, **more: Any) -> dict[str, Any]:
    """Return an error in the words of OpenAI's API."""
    return {"error": {"type": kind, "message": message, **more}}


def message_error(kind: str, message: str) -> dict[str, Any]:
    """Return an error in the words of Anthropic's API."""
    return {"type": "error", **chat_error(kind, message)}


Asked = tuple[str, Mapping[str, str], dict[str, Any]]


@dataclass(kw_only=True)
class StubLiteLLM:
    """What answers, and what was asked."""

    status: int = 200
    content: bytes = b"{}"
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    asked: list[Asked] = field(default_factory=list[Asked])
    """Path, headers and body of each request."""
    prices: Any = None
    """What it says of its routes: the `model_info` of each."""
    port: int = 0

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, body: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.status, self.content, self.kind = status, json.dumps(body).encode(), "application/json"
        self.headers = headers or {}

    def stream(self, *events: Any, end: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer with events."""
        self.answer(None, headers=headers)
        told = [event if isinstance(event, bytes) else f"data: {json.dumps(event)}\n\n".encode() for event in events]
        self.content, self.kind = b"".join([*told, end]), "text/event-stream"

    async def list_prices(self, request: Request) -> Response:
        """Answer `/v1/model/info`."""
        rows = [{"model_name": "x", "model_info": info} for info in self.prices or ()]
        return JSONResponse({"data": rows} if request.headers.get("authorization") else NO_DB)

    async def be_alive(self, _request: Request) -> Response:
        """Answer a probe: a proxy is alive whatever becomes of its calls."""
        return JSONResponse("I'm alive!")

    async def handle(self, request: Request) -> Response:
        """Answer a request."""
        self.asked.append((request.url.path, dict(request.headers), await request.json()))
        return Response(self.content, self.status, self.headers, media_type=self.kind)


@asynccontextmanager
async def stub_litellm() -> AsyncGenerator[StubLiteLLM]:
    """Run one in this event loop until the body ends."""
    stub = StubLiteLLM()
    routes = [
        Route("/v1/model/info", stub.list_prices),
        Route("/health/liveliness", stub.be_alive),
        Route("/v1/models", stub.be_alive),
        Route("/{path:path}", stub.handle, methods=["POST"]),
    ]
    async with serving(Starlette(routes=routes)) as stub.port:
        yield stub

"""A receiver of webhooks on loopback, which answers as told and keeps what it got."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from omni_mcp.llm.loopback import serving

KEY = bytes(range(32))
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

HANGS = 0


@dataclass(frozen=True)
class Sent:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> Any:
        """What it says; raises unless its signature and its time are right."""
        return Webhook(SECRET).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Takes what is sent, and answers as told."""

    answers: list[int] = field(default_factory=list[int])
    """Statuses; then 204. One that is `HANGS` never comes."""
    port: int = 0
    got: list[Sent] = field(default_factory=list[Sent])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/"

    @property
    def messages(self) -> Sequence[Any]:
        """What was said, each message once: by its id, as the specification has receivers do it."""
        return list({sent.id: sent.said["data"] for sent in self.got}.values())

    async def take(self, request: Request) -> Response:
        self.got.append(Sent(request.url.path, dict(request.headers), await request.body()))
        status = self.answers.pop(0) if self.answers else 204
        if status == HANGS:
            await anyio.sleep_forever()
        return Response(status_code=status, headers={"location": "/elsewhere"})


@asynccontextmanager
async def receiver(**told: Any) -> AsyncGenerator[Receiver]:
    """Open a receiver; its fields are `told`."""
    it = Receiver(**told)
    app = Starlette(routes=[Route("/{path:path}", it.take, methods=["GET", "POST"])])
    async with serving(app) as it.port:
        yield it

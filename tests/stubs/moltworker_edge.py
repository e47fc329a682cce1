"""Cloudflare before a Moltworker: asks for a service token, holds calls while the gateway is cold, rewrites messages.

What it does was read from the Moltworker's source (`src/index.ts`) and measured.
"""

import argparse
import asyncio
import json
from http import HTTPStatus

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

LOGIN = "https://team.cloudflareaccess.com/cdn-cgi/access/login"
LARGEST = 32 << 20


class Edge:
    """The edge; its gateway is cold until somebody calls."""

    def __init__(self, *, gateway: str, cold: float, fails: bool) -> None:
        self._gateway = gateway
        self._cold = cold
        self._fails = fails
        self._warm: asyncio.Task[None] | None = None

    async def door(self, connection: ServerConnection, request: Request) -> Response | None:
        """Send strangers to the login page; hold the others until the gateway is up."""
        headers = request.headers
        if (headers.get("CF-Access-Client-Id"), headers.get("CF-Access-Client-Secret")) != ("svc.access", "s3cret"):
            return _answer(HTTPStatus.FOUND, Location=LOGIN)
        if self._warm is None:
            self._warm = asyncio.create_task(asyncio.sleep(self._cold))
        await asyncio.shield(self._warm)
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE) if self._fails else None

    async def relay(self, socket: ServerConnection) -> None:
        """Pass frames on, both ways, until one side ends."""
        async with connect(self._gateway, max_size=LARGEST, compression=None) as gateway:
            ways = [_pass_on(socket, gateway), _pass_on(gateway, socket, rewrite=True)]
            await asyncio.wait(map(asyncio.create_task, ways), return_when=asyncio.FIRST_COMPLETED)


async def _pass_on(
    source: ServerConnection | ClientConnection, to: ServerConnection | ClientConnection, *, rewrite: bool = False
) -> None:
    try:
        async for text in source:
            await to.send(_rewritten(str(text)) if rewrite else text)
    except ConnectionClosed:
        pass
    await to.close(source.close_code if source.close_code in (1008, 1012) else 1000)


def _rewritten(text: str) -> str:
    frame = json.loads(text)
    error: dict[str, str] = frame.get("error") or {}
    if "pairing required" in error.get("message", ""):
        error["message"] = "Pairing required. Visit https://host/_admin/"
    return json.dumps(frame)


def _answer(status: HTTPStatus, **headers: str) -> Response:
    return Response(status.value, status.phrase, Headers({"content-length": "0", **headers}))


async def run(arguments: argparse.Namespace) -> None:
    """Serve until it is killed."""
    edge = Edge(gateway=arguments.gateway, cold=arguments.cold, fails=arguments.fails)
    door = edge.door
    async with serve(
        edge.relay,
        "127.0.0.1",
        arguments.port,
        process_request=door,
        open_timeout=None,
        max_size=LARGEST,
        compression=None,
    ):
        print("listening", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.Future[None]()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for Cloudflare before a Moltworker.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--cold", type=float, default=0, help="seconds of a cold start")
    parser.add_argument("--fails", action="store_true", help="the gateway does not start")
    asyncio.run(run(parser.parse_args()))

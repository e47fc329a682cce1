"""A stub cloud on loopback: both model APIs, canned or scripted answers, token counts, and faults on demand.

`python -m omni_mcp.demo.cloud --port 0 --log FILE` prints `listening PORT`; in process use `running_cloud()`.
`POST /_ctl {"mode": "500", "times": 2, "retry_after": 7}` sets a fault: a status (401 403 404 429 500 503 529),
`hang` (never answers), `drop` (hangs up before the answer), `empty` or `garbage` (200 with nothing or a sign-in page),
`error` (200 with an error in it), `context` or `policy` (400: too long for this model, or against its rules), `cut`
(hangs up in the middle of the answer) or `stall` (falls silent there); `ok` ends it. A step of a script may have a
fault of its own.
`drop` without an end is darkness: whoever still waits for an answer is cut off too. `GET /v1/models` is a door to
knock at: no model call, logged like one, and under the same fault.
"""

import argparse
import json
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from omni_mcp.demo import wire
from omni_mcp.demo.answers import next_step
from omni_mcp.llm.loopback import serving

OK, HANG, DROP, EMPTY, GARBAGE = "ok", "hang", "drop", "empty", "garbage"
CUT, STALL = "cut", "stall"

TOLD: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "error": (200, wire.error(500, "the stub cloud says error")),
    "context": (400, wire.error(400, "maximum context length is 9 tokens", code="context_length_exceeded")),
    "policy": (400, wire.error(400, "rejected by the safety system", code="content_policy_violation")),
}
"""Faults that are told in words: status and body, as OpenAI's API says it (https://platform.openai.com/docs/guides/error-codes)."""

HEARD = 0.25
"""Seconds between the last event and the end of a `cut`: clients drop what they have not read when it comes."""

SIGN_IN = "<html><title>Sign in</title></html>"

MESSAGES, CHAT, MODELS = "/v1/messages", "/v1/chat/completions", "/v1/models"

CHARS_PER_TOKEN = 4

PROMPT = frozenset({"model", "messages", "system", "tools"})
"""Fields of a body that are not kept with a request."""

BEGINNING = 60
"""Characters of an answer that are logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, and how often."""

    mode: str = OK
    times: int | None = None
    """None: until the next order."""
    retry_after: float | None = None
    """Seconds, said in the header of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One model call, as it is logged."""

    at: float
    """Seconds since 1970."""
    path: str
    model: str
    stream: bool
    step: int
    """Which step of the script answered, from 0."""
    text: str
    """How the answer begins that it was to get."""
    mode: str
    input_tokens: int
    output_tokens: int
    key: str
    """The last four characters of the caller's key."""
    said: Mapping[str, Any]
    """What else the body says: `temperature` and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """Somebody looked whether we are there, as it is logged."""

    at: float
    path: str
    mode: str


class Cloud:
    """The stub: one fault at a time, all model calls kept in `requests`, all looks in `knocks`."""

    def __init__(self, *, log: Path | None = None, delay: float = 0) -> None:
        """Log each request as a JSON line to `log`; take `delay` seconds over each answer."""
        self.port = 0
        self.requests: list[Seen] = []
        self.knocks: list[Knock] = []
        self._log = log
        self._delay = delay
        self._fault = Fault()
        self._dark = anyio.Event()

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, mode: str, *, times: int | None = None, retry_after: float | None = None) -> None:
        """Answer the next `times` requests with a fault (see the top of the file); `ok` ends it."""
        self._order(Fault(mode=mode, times=times, retry_after=retry_after))

    def _order(self, fault: Fault) -> None:
        self._fault = fault
        if fault.mode == DROP and fault.times is None:
            self._dark.set()
        elif self._dark.is_set():
            self._dark = anyio.Event()

    def app(self) -> ASGIApp:
        """Return the ASGI app."""
        routes = [
            Route(MESSAGES, self._answer, methods=["POST"]),
            Route(CHAT, self._answer, methods=["POST"]),
            Route(f"{MESSAGES}/count_tokens", self._count, methods=["POST"]),
            Route(MODELS, self._knocked),
            Route("/_ctl", self._control, methods=["POST"]),
        ]
        return _HangUp(Starlette(routes=routes))

    async def _control(self, request: Request) -> Response:
        self._order(Fault(**await request.json()))
        return JSONResponse(asdict(self._fault))

    async def _knocked(self, request: Request) -> Response:
        knock = Knock(at=time.time(), path=request.url.path, mode=self._fault.mode)
        self.knocks.append(knock)
        await self._write(knock)
        return await _refuse(request, self._fault) or JSONResponse({"data": []})

    async def _count(self, request: Request) -> Response:
        return JSONResponse({"input_tokens": _tokens(await request.body())})

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        try:
            step, number = next_step(body)
        except (TypeError, ValueError) as error:
            return JSONResponse(wire.error(400, f"not a script: {error}"), 400)
        fault = Fault(mode=step.fault, retry_after=step.retry_after) if step.fault else self._take_fault()
        reply = wire.Reply(
            id=uuid.uuid4().hex,
            model=str(body.get("model")),
            step=step,
            input_tokens=_tokens(json.dumps(body.get("messages"), ensure_ascii=False).encode()),
            output_tokens=_tokens(json.dumps(asdict(step), ensure_ascii=False).encode()),
        )
        said = {key: value for key, value in body.items() if key not in PROMPT}
        await self._record(request, reply, number=number, mode=fault.mode, said=said)
        if refused := await _refuse(request, fault):
            return refused
        with anyio.move_on_after(step.sleep):
            await self._dark.wait()
            return await _refuse(request, self._fault) or Response()
        return await self._speak(request, reply, stream=bool(body.get("stream")), fault=fault.mode)

    def _take_fault(self) -> Fault:
        fault = self._fault
        if fault.times is not None:
            left = fault.times - 1
            self._fault = Fault(mode=fault.mode, times=left, retry_after=fault.retry_after) if left > 0 else Fault()
        return fault

    async def _record(
        self, request: Request, reply: wire.Reply, *, number: int, mode: str, said: Mapping[str, Any]
    ) -> None:
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "")
        seen = Seen(
            at=time.time(),
            path=request.url.path,
            model=reply.model,
            stream=bool(said.get("stream")),
            step=number,
            text=reply.step.text[:BEGINNING],
            mode=mode,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            key=key[-4:],
            said=said,
        )
        self.requests.append(seen)
        await self._write(seen)

    async def _write(self, line: Seen | Knock) -> None:
        if self._log is not None:
            async with await anyio.open_file(self._log, "a", encoding="utf-8") as file:
                await file.write(json.dumps(asdict(line)) + "\n")

    async def _speak(self, request: Request, reply: wire.Reply, *, stream: bool, fault: str) -> Response:
        anthropic = request.url.path == MESSAGES
        if not stream:
            await anyio.sleep(self._delay)
            return JSONResponse(wire.anthropic_body(reply) if anthropic else wire.openai_body(reply))
        events = wire.anthropic_events(reply) if anthropic else wire.openai_events(reply)
        pause = self._delay / max(1, len(reply.pieces))
        return StreamingResponse(_paced(events, pause, request, fault), media_type="text/event-stream")


@asynccontextmanager
async def running_cloud(*, port: int = 0, log: Path | None = None, delay: float = 0) -> AsyncGenerator[Cloud]:
    """Run a stub cloud in this event loop until the body ends."""
    cloud = Cloud(log=log, delay=delay)
    async with serving(cloud.app(), port=port) as cloud.port:
        yield cloud


class _HangUp:
    """Gives handlers `scope["hang_up"]`: ASGI has no word for closing the connection, the transport has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["hang_up"] = cast("Any", send).__self__.transport.abort
        await self._app(scope, receive, send)


async def _refuse(request: Request, fault: Fault) -> Response | None:
    """Carry out a fault that comes before the answer; None for the others."""
    if fault.mode == HANG:
        await request.receive()  # the body has been read: what comes next is the disconnect
        return Response()
    if fault.mode == DROP:
        request.scope["hang_up"]()
        return Response()
    if fault.mode in (EMPTY, GARBAGE):
        return Response(SIGN_IN if fault.mode == GARBAGE else "")
    if fault.mode in TOLD:
        status, body = TOLD[fault.mode]
        return JSONResponse(body, status)
    if not fault.mode.isdigit():
        return None
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    return JSONResponse(wire.error(int(fault.mode), f"the stub cloud says {fault.mode}"), int(fault.mode), headers)


async def _paced(events: Iterator[bytes], pause: float, request: Request, fault: str) -> AsyncIterator[bytes]:
    """Yield the events with a pause after each; `cut` hangs up after the fifth, `stall` says nothing more."""
    for number, event in enumerate(events):
        if number == 5 and fault == STALL:
            await anyio.sleep_forever()  # until the caller hangs up
        if number == 5 and fault == CUT:
            await anyio.sleep(HEARD)
            request.scope["hang_up"]()
            return
        yield event
        await anyio.sleep(pause)


def _tokens(text: bytes) -> int:
    return len(text) // CHARS_PER_TOKEN + 1


async def _serve(arguments: Mapping[str, Any]) -> None:
    async with running_cloud(**arguments) as cloud:
        sys.stdout.write(f"listening {cloud.port}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


def main() -> None:
    """Run the stub cloud as a process of its own until it is ended."""
    parser = argparse.ArgumentParser(description="A stub cloud on loopback for the demo and the tests.")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--log", type=Path, help="append each request as a JSON line")
    parser.add_argument("--delay", type=float, default=0, help="seconds that each answer takes")
    anyio.run(_serve, vars(parser.parse_args()))


if __name__ == "__main__":
    main()

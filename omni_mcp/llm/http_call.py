"""One model call over HTTP: sent, streamed through and counted, under one deadline.

What LiteLLM's proxy and a provider's own API have in common. Every way in which it can go wrong is a ModelError: nobody
there, silence, an error under HTTP 200, an answer that no model API gives, a stream that breaks off.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import httpx

from omni_mcp.llm.base import Answer, Dialect, ModelError, Spent
from omni_mcp.llm.failures import BAD_GATEWAY, answer_error, error_in, parsed, transport_error
from omni_mcp.llm.sse import DONE
from omni_mcp.llm.substance import is_answer, says_something
from omni_mcp.llm.usage import Tokens
from omni_mcp.task import FailureClass
from omni_mcp.this_machine import leads_here

CONNECT_LIMIT = 10.0
"""Seconds to reach the other side."""

SILENCE_LIMIT = 180.0
"""Seconds until the first piece of a streamed answer and between two pieces, where the settings do not say."""

WHOLE_LIMIT = 300.0
"""Seconds that an answer which is not streamed may take at least: of it nothing is heard before its end."""

MAX_ANSWER = 64 << 20
"""Bytes of a whole answer, or of one event of a stream; who sends more sends no answer."""

OK = 200

_T = TypeVar("_T")

Price = Callable[[Tokens, Mapping[str, str]], Spent]
"""What turns the tokens of an answer and its headers into what was spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A call as it goes out."""

    who: str
    """Who is asked, in words for an error."""
    url: str
    headers: Mapping[str, str]
    dialect: Dialect
    body: Mapping[str, Any]
    price: Price
    silence: float
    """Seconds: who streams and says nothing for so long gives no answer any more."""
    begins_by: float
    """Until then a whole answer is there, or the first piece of a stream; on the monotonic clock, as `ends_at`."""
    ends_at: float
    layer: str = ""
    """The header of an answer that says which layer gave it; empty: there are none."""


def http_client(base_url: str) -> httpx.AsyncClient:
    """Return a client for calls of one place. Proxies of the environment are for places that are not this machine."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(limits=limits, trust_env=not leads_here(base_url))


async def send(client: httpx.AsyncClient, call: HttpCall) -> Answer:
    """Make the call; a stream has brought its first piece when this returns. Raises ModelError."""
    stream = bool(call.body.get("stream"))
    body = _counted(call.body) if stream and call.dialect is Dialect.OPENAI else call.body
    response = await _by(call.begins_by, _sent(client, call, body), who=call.who)
    try:
        if stream and _is_stream(response):
            return await _Stream(call, response).begun()
        whole = _whole(call, response, await _by(call.begins_by, _read(response), who=call.who), stream=stream)
    except ModelError as error:
        _blame(error, call, response)
        await response.aclose()
        raise
    except BaseException:
        await response.aclose()
        raise
    await response.aclose()
    return whole


async def _sent(client: httpx.AsyncClient, call: HttpCall, body: Mapping[str, Any]) -> httpx.Response:
    silence = call.silence if body.get("stream") else max(call.silence, WHOLE_LIMIT)
    timeout = httpx.Timeout(silence, connect=CONNECT_LIMIT)
    request = client.build_request("POST", call.url, json=body, headers=call.headers, timeout=timeout)
    return await client.send(request, stream=True)


def _blame(error: ModelError, call: HttpCall, response: httpx.Response) -> None:
    """Name the layer that failed within an answer; a refusal is LiteLLM's own, after it has asked them all."""
    if response.status_code == OK:
        error.layer = response.headers.get(call.layer) if call.layer else None


def _counted(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask a stream of chat completions to say at its end what it used."""
    return {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}


def _is_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return response.status_code == OK and kind.startswith("text/event-stream")


async def _read(response: httpx.Response) -> bytes:
    raw = bytearray()
    async for chunk in response.aiter_bytes():
        raw += chunk
        if len(raw) > MAX_ANSWER:
            break
    return bytes(raw)


def _whole(call: HttpCall, response: httpx.Response, raw: bytes, *, stream: bool) -> Answer:
    """Return a whole answer. Raises ModelError for what is none."""
    body = parsed(raw)
    answered = response.status_code == OK and body is not None and is_answer(call.dialect, body)
    if body is None or not answered or stream:
        raise answer_error(response.status_code, raw, response.headers, who=call.who)
    tokens = Tokens()
    tokens.take(call.dialect, body)
    return _Whole(body, call.price(tokens, response.headers))


class _Whole:
    """An answer that is complete."""

    def __init__(self, body: Mapping[str, Any], spent: Spent) -> None:
        self.body = body
        self._spent = spent

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield nothing: it does not stream."""
        for nothing in ():
            yield nothing

    def spent(self) -> Spent:
        """Return what it used."""
        return self._spent


class _Stream:
    """An answer in events, each passed on as it came."""

    body = None

    def __init__(self, call: HttpCall, response: httpx.Response) -> None:
        self._call = call
        self._response = response
        self._events = _events(response)
        self._event: bytes | None = None
        self._held: list[bytes] = []
        """What came before the first word."""
        self._said = False
        self._tokens = Tokens()
        self._finished = False
        """The model has said its last word."""
        self._closed = False
        """The end of the stream was announced."""

    async def begun(self) -> "_Stream":
        """Wait for the first word, so that a refusal has its status, or another may be asked. Raises ModelError."""
        await self._advance(self._call.begins_by)
        while self._event is not None and not self._said:
            self._held.append(self._event)
            await self._advance(self._call.begins_by)
        if not (self._said or self._tokens.output):
            raise _broken(f"{self._call.who} answered with nothing")
        return self

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the events. Raises ModelError."""
        try:
            for event in self._held:
                yield event
            while self._event is not None:
                yield self._event
                await self._advance(self._call.ends_at)
        except ModelError as error:
            _blame(error, self._call, self._response)
            raise
        else:
            if self._call.dialect is Dialect.OPENAI and not self._closed:
                yield DONE
        finally:
            await self._response.aclose()

    def spent(self) -> Spent:
        """Return what it used; tokens that it has not told yet are unknown."""
        return self._call.price(self._tokens, self._response.headers)

    async def _advance(self, ends_at: float) -> None:
        self._event = await _by(ends_at, anext(self._events, None), who=self._call.who)
        if self._event is not None:
            self._take(_payload(self._event))
        elif not self._finished:
            raise _broken(f"{self._call.who} broke off in the middle of its answer")

    def _take(self, payload: bytes | None) -> None:
        if payload is None:
            return
        if payload == b"[DONE]":
            self._finished = self._closed = True
            return
        piece = parsed(payload)
        if piece is None or error_in(piece) is not None:
            raise answer_error(OK, payload, self._response.headers, who=self._call.who)
        self._tokens.take(self._call.dialect, piece)
        self._said = self._said or says_something(self._call.dialect, piece)
        self._finished = self._finished or _is_last(piece)


def _broken(said: str) -> ModelError:
    return ModelError(said, status=BAD_GATEWAY, kind=FailureClass.PROVIDER)


def _is_last(piece: Mapping[str, Any]) -> bool:
    """Whether the model ends with this piece; of a chat the usage may follow."""
    return piece.get("type") == "message_stop" or any(
        choice.get("finish_reason") for choice in piece.get("choices") or ()
    )


async def _events(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Yield the server-sent events, whole and with their end (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    event = b""
    async for line in _lines(response):
        event += line + b"\n"
        if not line and event.strip():
            yield event
        if not line:
            event = b""
    if event.strip():
        yield event + b"\n"


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Yield the lines; those of httpx also end at characters that JSON may hold (U+2028)."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > MAX_ANSWER:
            raise httpx.DecodingError("a line without end")
    if rest:
        yield rest.removesuffix(b"\r")


def _payload(event: bytes) -> bytes | None:
    """Return the data of an event; None: it has none."""
    lines = [line.removeprefix(b"data:").strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


async def _by(ends_at: float, work: Awaitable[_T], *, who: str) -> _T:
    """Await a part of a call until the deadline. Raises ModelError for all that goes wrong on the way."""
    try:
        with anyio.fail_after(max(0.0, ends_at - time.monotonic())):
            return await work
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise transport_error(error, who=who) from error

"""The relay: model calls of executors over loopback, metered, with a token for each attempt and no key in sight.

Both dialects are streamed through as they come. Every call is a usage row, opened before and closed after it; what a
caller that hangs up has used so far is written down too.
"""

import json
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import anyio
from anyio import AsyncContextManagerMixin
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from omni_mcp import telemetry
from omni_mcp.budget import Allowance, BudgetReached
from omni_mcp.contract import Endpoint
from omni_mcp.llm.base import Answer, Dialect, ModelError, ModelGateway, Spent
from omni_mcp.llm.failures import NO_ANSWER
from omni_mcp.llm.loopback import HOST, serving
from omni_mcp.llm.sse import error_body, error_event
from omni_mcp.task import FailureClass, Usage

logger = logging.getLogger(__name__)

CHARS_PER_TOKEN = 4
"""For the estimate of `count_tokens`; an exact count would load a tokenizer."""

RETRY = "x-should-retry"
"""Response header; Anthropic's clients and Claude Code heed a `false`."""

FINAL = frozenset({401, 402, 403, NO_ANSWER})
"""What a caller must not try again: it is refused again, or takes as long again; waiting is the engine's business."""

SERVED_MODEL = "x-omni-model"
"""Response header: the model that was really asked, when the attempt is bound to one."""

PAYMENT_REQUIRED = 402
"""What a call gets that a budget has no room for; https://docs.anthropic.com/en/api/errors"""

LONGEST_LIMIT = 31 * 86_400.0
"""Seconds: no rate limit is believed to last longer."""

CLOSING_LIMIT = 5.0
"""Seconds that closing a usage row may take while everything ends."""


class UsageBook(Protocol):
    """What the relay needs of the ledger."""

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:
        """Record that a model call begins; returns its row id. Raises BudgetReached."""
        ...

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        """Record what it used and cost."""
        ...


@dataclass(slots=True, kw_only=True)
class _Pass:
    """What a token is good for."""

    task_id: str
    attempt: int
    model: str | None
    task_type: str | None
    allowance: Allowance | None
    trace: str | None
    """The span of the attempt, as `traceparent`."""
    limited_until: datetime | None = None
    """When the rate limit ends that the last call ran into, if that was said."""
    fell_silent: bool = False
    """Whether an answer stopped coming in the middle: who asks on is told to leave it to the engine, once."""


class Relay(AsyncContextManagerMixin):
    """Serves `/v1/messages` and `/v1/chat/completions` on 127.0.0.1 while its body runs."""

    def __init__(self, gateway: ModelGateway, ledger: UsageBook) -> None:
        """Take what serves the calls and what keeps the books."""
        self._gateway = gateway
        self._ledger = ledger
        self._passes: dict[str, _Pass] = {}
        self._port = 0

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:  # pylint: disable=invalid-overridden-method
        try:
            async with serving(self._app()) as self._port:
                yield self
        finally:
            await self._gateway.aclose()

    @property
    def name(self) -> str:
        """Who serves now."""
        return self._gateway.name

    def endpoint(
        self,
        task_id: str,
        *,
        attempt: int,
        model: str | None,
        task_type: str | None = None,
        allowance: Allowance | None = None,
    ) -> Endpoint:
        """Return where an attempt sends its calls; `model` replaces whatever it asks for (None: it chooses)."""
        token = secrets.token_urlsafe(24)
        self._passes[token] = _Pass(
            task_id=task_id,
            attempt=attempt,
            model=model,
            task_type=task_type,
            allowance=allowance,
            trace=telemetry.traceparent(),
        )
        return Endpoint(base_url=f"http://{HOST}:{self._port}", token=SecretStr(token))

    def revoke(self, task_id: str, *, attempt: int) -> datetime | None:
        """Take the tokens of an attempt back; calls that run go on to their end.

        Returns when the limit ends that its last call ran into: Claude Code does not pass that on.
        """
        over = [token for token, held in self._passes.items() if (held.task_id, held.attempt) == (task_id, attempt)]
        limits = [self._passes.pop(token).limited_until for token in over]
        return next((limit for limit in limits if limit is not None), None)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    async def _messages(self, request: Request) -> Response:
        return await self._serve(request, Dialect.ANTHROPIC)

    async def _chat(self, request: Request) -> Response:
        return await self._serve(request, Dialect.OPENAI)

    async def _count(self, request: Request) -> Response:
        if self._pass_of(request) is None:
            return _refused(Dialect.ANTHROPIC, 401, "this token is not good for any running attempt")
        return JSONResponse({"input_tokens": len(await request.body()) // CHARS_PER_TOKEN + 1})

    async def _models(self, request: Request) -> Response:
        held = self._pass_of(request)
        if held is None:
            return _refused(Dialect.OPENAI, 401, "this token is not good for any running attempt")
        models = [{"id": held.model, "object": "model", "owned_by": self.name}] if held.model else []
        return JSONResponse({"object": "list", "data": models})

    async def _serve(self, request: Request, dialect: Dialect) -> Response:
        held = self._pass_of(request)
        if held is None:
            return _refused(dialect, 401, "this token is not good for any running attempt")
        body = _json_object(await request.body())
        if body is None:
            return _refused(dialect, 400, "the body is not a JSON object")
        if held.fell_silent:
            held.fell_silent = False
            return _refused(dialect, NO_ANSWER, "the answer before this one stopped coming in the middle")
        held.limited_until = None
        body["model"] = held.model or str(body.get("model"))
        call = _Call(self._ledger, held, model=body["model"], dialect=dialect, endpoint=self.name)
        try:
            await call.open()
        except BudgetReached as reached:
            return _refused(dialect, PAYMENT_REQUIRED, f"{reached.message}. {reached.next_step}")
        try:
            answer = await self._gateway.call(
                dialect, body, task_type=held.task_type, beta=request.headers.get("anthropic-beta")
            )
        except ModelError as error:
            logger.warning("task %s: %s", held.task_id, error, extra={"action": "model_call_failed"})
            call.span.failed(error.kind)
            await call.close(None)
            if error.kind is FailureClass.RATE_LIMIT and error.retry_after is not None:
                held.limited_until = datetime.now(UTC) + timedelta(seconds=min(error.retry_after, LONGEST_LIMIT))
            return _refused(dialect, error.status, error.message, retry_after=error.retry_after)
        except BaseException as error:  # cancelled at the end of the engine, or a fault of ours: no row must stay open
            call.span.failed(type(error).__name__)
            await call.close(None)
            raise
        return await call.respond(answer)

    def _pass_of(self, request: Request) -> _Pass | None:
        token = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._passes.get(token)


class _Call:
    """One model call, from the opened usage row to the closed one."""

    def __init__(self, ledger: UsageBook, held: _Pass, *, model: str, dialect: Dialect, endpoint: str) -> None:
        self._ledger = ledger
        self._held = held
        self._usage = Usage(task_id=held.task_id, attempt=held.attempt, model=model, endpoint=endpoint)
        self._allowance = held.allowance
        self._dialect = dialect
        self.span = telemetry.model_call(self._usage, parent=held.trace)
        self._id = 0
        self._closed = False

    async def open(self) -> None:
        """Open the row: from now on the call is on the books. Raises BudgetReached, which the attempt hears of."""
        try:
            self._id = await self._ledger.open_usage(self._usage, self._allowance)
        except BudgetReached as reached:
            if self._allowance is not None:
                self._allowance.reached(reached)
            self.span.failed(reached.code)
            self.span.over(self._usage)
            raise

    async def close(self, spent: Spent | None) -> None:
        """Close the row, once, also while the call is being cancelled; without `spent` its cost stays unknown."""
        if self._closed:
            return
        known = {} if spent is None else {name: value for name, value in asdict(spent).items() if value is not None}
        usage = Usage(**{**asdict(self._usage), **known})
        with anyio.move_on_after(CLOSING_LIMIT):
            await self._ledger.close_usage(self._id, usage)
            self._closed = True
        self.span.over(usage)

    async def respond(self, answer: Answer) -> Response:
        """Pass the answer on, whole or as it comes; the row closes with it."""
        headers = {SERVED_MODEL: self._usage.model}
        if answer.body is None:
            return _Streamed(self, answer, headers)
        await self.close(answer.spent())
        return JSONResponse(answer.body, headers=headers)

    async def chunks(self, answer: Answer) -> AsyncGenerator[bytes]:
        """Pass the stream through; what breaks it is its last event.

        The row is closed before the caller sees the end, so that its next call finds this one's cost on the books.
        """
        try:
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
            await self.close(answer.spent())
        except ModelError as error:
            logger.warning("task %s: %s", self._usage.task_id, error, extra={"action": "model_stream_broken"})
            self.span.failed(error.kind)
            self._held.fell_silent = error.status == NO_ANSWER
            yield error_event(self._dialect, error.status, error.message)


class _Streamed(StreamingResponse):
    """Closes the usage row however the stream ends: at its end, by a caller who hangs up, or with the engine."""

    def __init__(self, call: _Call, answer: Answer, headers: Mapping[str, str]) -> None:
        self._chunks = call.chunks(answer)
        super().__init__(self._chunks, headers=headers, media_type="text/event-stream")
        self._call = call
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.move_on_after(CLOSING_LIMIT):
                await self._chunks.aclose()
            await self._call.close(self._answer.spent())


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):  # the latter: nested too deeply
        return None
    return body if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _refused(dialect: Dialect, status: int, message: str, *, retry_after: float | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    if status in FINAL:
        headers[RETRY] = "false"
    return JSONResponse(error_body(dialect, status, message), status, headers)

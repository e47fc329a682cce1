"""Model calls through `litellm.Router` in this process, loaded at the first call and never before.

Importing litellm takes 5 s and 150 MB, so it happens in a thread. Retries are off (four routes with three retries each
are sixteen calls): routes are tried by their `litellm_params.order`, waiting is the engine's business, and one deadline
holds over all.

Anthropic messages are asked for whole and told as events: litellm's own streaming of them imports its whole proxy
server (fastapi, polars, soundfile, ...), and its translation to chat would lose thinking and caching. A cloud that has
chat completions only serves such callers as `hosted_vllm/...`: for `openai/...` litellm takes a thinking caller to
`/responses`.
"""

import importlib
import json
import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync

from omni_mcp.llm import prices
from omni_mcp.llm.base import Answer, Dialect, ModelError, Spent
from omni_mcp.llm.deadline import DEADLINE
from omni_mcp.llm.failures import BAD_GATEWAY, UNAVAILABLE, answer_error, model_error
from omni_mcp.llm.fields import FIELDS
from omni_mcp.llm.http_call import SILENCE_LIMIT
from omni_mcp.llm.routes import order_of
from omni_mcp.llm.sse import DONE, message_events
from omni_mcp.llm.substance import is_answer, says_something
from omni_mcp.servers_file.models import LitellmSettings, Models
from omni_mcp.task import FailureClass

logger = logging.getLogger(__name__)

DEFAULTS: Mapping[str, Any] = {"timeout": 300, "allowed_fails": 1, "cooldown_time": 30}
"""Of the Router, unless `router_settings` says otherwise; the timeout is that of one route."""

NO_DOTENV: Mapping[str, str] = {"LITELLM_MODE": "PRODUCTION"}
"""Keeps LiteLLM from loading a `.env` by itself: that of a folder above its package, of the current one in a shell."""

OFFLINE: Mapping[str, str] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOG": "ERROR",
    **NO_DOTENV,
}
"""Keeps `import litellm` from calling home and from reading strange files; it looks once, at its import."""

_T = TypeVar("_T")

STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class RouterGateway:
    """Serves model calls with the models of servers.yaml. One a process: litellm's callbacks are global."""

    name = prices.ENDPOINT

    def __init__(self, models: Models, *, deadline: float = DEADLINE, silence: float = SILENCE_LIMIT) -> None:
        """Take the models, and the seconds that a call may take and a stream may be silent; nothing is imported yet."""
        self._models = models
        self._deadline = deadline
        self._silence = silence
        self._loading = anyio.Lock()
        self._litellm: Any = None
        self._router: Any = None

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call; a stream has brought its first piece when this returns. Raises ModelError."""
        fields = {key: value for key, value in body.items() if key in FIELDS[dialect]}
        fields["model"] = self._known(body.get("model"))
        await self._load()
        ends_at, stream = time.monotonic() + self._deadline, bool(body.get("stream"))
        if dialect is Dialect.ANTHROPIC:
            return self._message(await _by(ends_at, self._router.aanthropic_messages(**fields)), fields, stream=stream)
        if stream:
            answer = await _by(ends_at, self._router.acompletion(**fields, **STREAMED))
            pieces = _Stream(answer, ends_at=ends_at, silence=self._silence, price=self._price(fields, answer))
            return await pieces.begun()
        return self._completion(await _by(ends_at, self._router.acompletion(**fields)), fields)

    async def aclose(self) -> None:
        """Do nothing: the connections are litellm's, which keeps them for the process."""

    async def layers(self, model: str) -> Sequence[str]:
        """Return the ids of the rows of this name, in the order in which the Router tries them. Raises ModelError."""
        await self._load()
        rows = self._router.get_model_list(model_name=model) or ()
        return [row["model_info"]["id"] for row in sorted(rows, key=lambda row: order_of(row["litellm_params"]))]

    def _known(self, model: Any) -> str:
        """Return the name if `model_list` has it, or the id of a row; litellm would also try what it can guess."""
        names = sorted({str(row["model_name"]) for row in self._models.model_list})
        if model in names or (self._router is not None and self._router.has_model_id(model)):
            return str(model)
        raise ModelError(
            f"no model is called {str(model)[:64]!r}; models.model_list has: {', '.join(names) or 'none'}",
            status=404,  # what both APIs say of it
            kind=FailureClass.CONFIG,
        )

    async def _load(self) -> None:
        async with self._loading:
            if self._router is None:
                began = time.monotonic()
                self._litellm, self._router = await run_sync(partial(_loaded, self._models))
                logger.info("litellm loaded in %.1f s", time.monotonic() - began, extra={"action": "litellm_loaded"})

    def _message(self, message: dict[str, Any], fields: Mapping[str, Any], *, stream: bool) -> Answer:
        hidden = message.pop("_hidden_params", {})
        row = self._row(hidden)
        if not is_answer(Dialect.ANTHROPIC, message):
            error = answer_error(200, json.dumps(message, default=str).encode(), {}, who="LiteLLM")
            error.layer = hidden.get("model_id")
            raise error
        usage = prices.anthropic_usage(self._litellm, message.get("usage") or {})
        return _Whole(message, prices.spent(self._litellm, row, fields["model"], usage), stream=stream)

    def _completion(self, completion: Any, fields: Mapping[str, Any]) -> Answer:
        price = self._price(fields, completion)
        return _Whole(completion.model_dump(mode="json", exclude_none=True), price(completion.usage))

    def _price(self, fields: Mapping[str, Any], answer: Any) -> Callable[[Any], Spent]:
        """Return what turns the usage of an answer, once it is known, into what was spent."""
        row = self._row(getattr(answer, "_hidden_params", {}))
        return partial(prices.spent, self._litellm, row, fields["model"])

    def _row(self, hidden: Mapping[str, Any]) -> Any:
        """Return the row of `model_list` that answered."""
        return self._router.get_deployment(hidden["model_id"]) if "model_id" in hidden else None


class _Whole:
    """An answer that is complete; `stream` tells it as events."""

    def __init__(self, body: Mapping[str, Any], spent: Spent, *, stream: bool = False) -> None:
        self._body = body
        self._spent = spent
        self._stream = stream

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The JSON body; None when it was asked for as a stream."""
        return None if self._stream else self._body

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield an Anthropic message as events."""
        for event in message_events(self._body):
            yield event

    def spent(self) -> Spent:
        """Return what it used."""
        return self._spent


class _Stream:
    """A chat completion in pieces; the last one carries the usage."""

    body = None

    def __init__(self, answer: Any, *, ends_at: float, silence: float, price: Callable[[Any], Spent]) -> None:
        self._answer = answer
        self._ends_at = ends_at
        self._silence = silence
        self._price = price
        self._usage: Any = None
        self._piece: Any = None
        self._held: list[Any] = []
        """What came before the first word."""
        self._said = False

    async def begun(self) -> "_Stream":
        """Wait for the first word, so that a refusal has its status, or another may be asked. Raises ModelError."""
        await self._advance()
        while self._piece is not None and not self._said:
            self._held.append(self._piece)
            await self._advance()
        if not (self._said or getattr(self._usage, "completion_tokens", 0)):
            said = f"{self.spent().route or 'LiteLLM'} answered with nothing"
            raise ModelError(said, status=BAD_GATEWAY, kind=FailureClass.PROVIDER, layer=self._layer)
        return self

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the pieces as events. Raises ModelError."""
        try:
            for piece in self._held:
                yield _event(piece)
            while self._piece is not None:
                yield _event(self._piece)
                await self._advance()
            yield DONE
        finally:
            await self._answer.aclose()

    def spent(self) -> Spent:
        """Return what it used; tokens are unknown until the last piece."""
        return self._price(self._usage)

    @property
    def _layer(self) -> str | None:
        return getattr(self._answer, "_hidden_params", {}).get("model_id")

    async def _advance(self) -> None:
        try:
            self._piece = await _by(min(self._ends_at, time.monotonic() + self._silence), anext(self._answer, None))
        except ModelError as error:
            error.layer = self._layer
            raise
        self._usage = getattr(self._piece, "usage", None) or self._usage
        self._said = self._said or (
            self._piece is not None and says_something(Dialect.OPENAI, self._piece.model_dump())
        )


def _event(piece: Any) -> bytes:
    return b"data: " + piece.model_dump_json(exclude_none=True).encode() + b"\n\n"


def _loaded(models: Models) -> tuple[Any, Any]:
    """Return litellm and its Router. Raises ModelError: a litellm that cannot be loaded is a fault like others."""
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)
    os.environ.update(NO_DOTENV)  # whatever the shell says: keys and places of calls are those of servers.yaml
    try:
        litellm: Any = importlib.import_module("litellm")
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        _apply(litellm, models.litellm_settings)
        litellm.use_chat_completions_url_for_anthropic_messages = True  # few clouds have OpenAI's /responses
        settings = {**_defaults(models.litellm_settings), **models.router_settings, "num_retries": 0}
        return litellm, litellm.Router(model_list=[dict(row) for row in models.model_list], **settings)
    except Exception as error:
        message = f"LiteLLM cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(message, status=UNAVAILABLE, kind=FailureClass.CONFIG, broken=True) from error


def _apply(litellm: Any, settings: LitellmSettings) -> None:
    """Set what the file says of the module, and the rest back: the settings before may have been others."""
    for name, value in settings.model_dump(exclude={"request_timeout"}).items():
        setattr(litellm, name, value)


def _defaults(settings: LitellmSettings) -> Mapping[str, Any]:
    """Return the Router's settings; a `request_timeout` is the timeout of one route."""
    return {**DEFAULTS, "timeout": settings.request_timeout or DEFAULTS["timeout"]}


async def _by(ends_at: float, work: Awaitable[_T]) -> _T:
    """Await a part of a call until the deadline on the monotonic clock. Raises ModelError for all that goes wrong."""
    try:
        with anyio.fail_after(max(0.0, ends_at - time.monotonic())):
            return await work
    except Exception as error:
        raise model_error(error) from error

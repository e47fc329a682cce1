"""Model calls through the user's own LiteLLM proxy: both dialects as they are, priced by its headers.

What it fails with is told with what to do: the proxy is a program of the user's that may be down, hold another key, or
not have the model.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import httpx

from omni_mcp.llm.base import Answer, Dialect, ModelError, Spent
from omni_mcp.llm.deadline import DEADLINE
from omni_mcp.llm.fields import FIELDS
from omni_mcp.llm.http_call import SILENCE_LIMIT, HttpCall, http_client, send
from omni_mcp.llm.price_table import cost_by
from omni_mcp.llm.routes import named, order_of
from omni_mcp.llm.usage import Tokens
from omni_mcp.servers_file.models import Gateway
from omni_mcp.task import FailureClass

PATHS: Mapping[Dialect, str] = {Dialect.ANTHROPIC: "/v1/messages", Dialect.OPENAI: "/v1/chat/completions"}

COST, ROUTE, SERVED = "x-litellm-response-cost", "x-litellm-model-id", "x-litellm-model-name"
"""Headers of its answers: https://docs.litellm.ai/docs/proxy/response_headers"""

KEPT = frozenset({"model", "stream", "stream_options"})

ROUTES = "/v1/model/info"
"""Which routes it has and what they cost, its own prices included: no call of a model, 30 to 85 ms."""

ROUTES_KEPT = 300.0
"""Seconds until it is asked for its routes again."""

ROUTES_PAUSE = 30.0
"""Seconds until then where it gave no answer."""

ROUTES_LIMIT = 5.0
"""Seconds that the routes may take; a call does not fail for want of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """A row of the proxy's `model_list`."""

    model: str
    """By which name it is called."""
    order: float
    name: str
    """As it stands on the books."""
    prices: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return a row of the proxy's list."""
        params: Mapping[str, Any] = row.get("litellm_params") or {}
        return cls(model=row["model_name"], order=order_of(params), name=named(params), prices=row["model_info"])


class ProxyGateway:
    """Serves model calls with a LiteLLM proxy."""

    name = "litellm-proxy"

    def __init__(self, gateway: Gateway, *, deadline: float = DEADLINE, silence: float = SILENCE_LIMIT) -> None:
        """Take where it is, and the seconds that a call may take and a stream may be silent."""
        self._gateway = gateway
        self._deadline = deadline
        self._silence = silence
        self._client = http_client(gateway.base_url)
        self._routes: Mapping[str, _Route] = {}
        self._routes_until = 0.0

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call; a stream has brought its first piece when this returns. Raises ModelError."""
        ends_at = time.monotonic() + self._deadline
        call = HttpCall(
            who=f"LiteLLM at {self._gateway.base_url}",
            url=self._gateway.base_url + PATHS[dialect],
            headers=self._headers(beta),
            dialect=dialect,
            body={key: value for key, value in body.items() if key in FIELDS[dialect] | KEPT},
            price=partial(self._spent, str(body.get("model"))),
            silence=self._silence,
            begins_by=ends_at,
            ends_at=ends_at,
            layer=ROUTE,
        )
        await self._learn_routes()
        try:
            return await send(self._client, call)
        except ModelError as error:
            if (fix := _fix(error, self._gateway)) is not None:
                error.add(fix)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def layers(self, model: str) -> Sequence[str]:
        """Return the ids of the proxy's routes of this name, in the order in which it tries them."""
        await self._learn_routes()
        mine = [(route.order, key) for key, route in self._routes.items() if route.model == model]
        return [key for _, key in sorted(mine, key=lambda each: each[0])]

    async def _learn_routes(self) -> None:
        """Ask which there are and what they cost: a stream's headers cannot say that, those of a free route do not."""
        if time.monotonic() < self._routes_until:
            return
        url, headers = self._gateway.base_url + ROUTES, self._headers(None)
        try:
            self._routes = _rows(await self._client.get(url, headers=headers, timeout=ROUTES_LIMIT))
        except (httpx.HTTPError, httpx.InvalidURL):
            self._routes_until = time.monotonic() + ROUTES_PAUSE
        else:
            self._routes_until = time.monotonic() + ROUTES_KEPT

    def _spent(self, model: str, tokens: Tokens, headers: Mapping[str, str]) -> Spent:
        """Return what a call used, priced by the proxy: by its header, else by the answer, else by its list."""
        route = self._routes.get(headers.get(ROUTE, ""))
        said = [_number(headers.get(COST)), tokens.cost_usd, cost_by(route.prices, tokens) if route else None]
        cost = next((cost for cost in said if cost is not None), None)
        provider, slash, _ = headers.get(SERVED, "").partition("/")
        return Spent(
            model=model,
            endpoint=self.name,
            provider=provider if slash else None,
            route=route.name if route else None,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cost_usd=cost,
            price_source=None if cost is None else "gateway",
        )

    def _headers(self, beta: str | None) -> Mapping[str, str]:
        key = self._gateway.api_key
        return {
            **({"authorization": f"Bearer {key.get_secret_value()}"} if key else {}),
            **({"anthropic-beta": beta} if beta else {}),
        }


def _rows(answer: httpx.Response) -> Mapping[str, _Route]:
    """Return the routes by their ids; none where the answer is another one."""
    try:
        return {row["model_info"]["id"]: _Route.of(row) for row in answer.raise_for_status().json()["data"]}
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


_FIXES: Mapping[FailureClass, str] = {
    FailureClass.AUTH: "check models.gateway.api_key, and the keys in the configuration of the proxy",
    FailureClass.CONFIG: "name models of the proxy under models.gateway.for",
}


def _fix(error: ModelError, gateway: Gateway) -> str | None:
    """Return what to do about it, where we know."""
    if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.InvalidURL):
        return f"start the proxy, or correct models.gateway.base_url ({gateway.base_url})"
    if error.status == 500 and gateway.api_key is None:  # what it says to a call without a key
        return "set models.gateway.api_key, if the proxy has a master key"
    return _FIXES.get(error.kind)

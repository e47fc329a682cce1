"""Model calls through the user's own LiteLLM proxy: both dialects as they are, priced by its headers.

What it fails with is told with what to do: the proxy is a program of the user's that may be down, hold another key, or
not have the model.
"""

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx

from omni_mcp.llm.base import Answer, Dialect, ModelError, Spent
from omni_mcp.llm.deadline import DEADLINE
from omni_mcp.llm.fields import FIELDS
from omni_mcp.llm.http_call import HttpCall, http_client, send
from omni_mcp.llm.usage import Tokens
from omni_mcp.servers_file import Gateway
from omni_mcp.task import FailureClass

logger = logging.getLogger(__name__)

PATHS: Mapping[Dialect, str] = {Dialect.ANTHROPIC: "/v1/messages", Dialect.OPENAI: "/v1/chat/completions"}

COST, API_BASE = "x-litellm-response-cost", "x-litellm-model-api-base"
ROUTE, FALLBACKS = "x-litellm-model-id", "x-litellm-attempted-fallbacks"
"""Headers of its answers: https://docs.litellm.ai/docs/proxy/response_headers"""

KEPT = frozenset({"stream", "stream_options"})


class ProxyGateway:
    """Serves model calls with a LiteLLM proxy."""

    name = "litellm-proxy"

    def __init__(self, gateway: Gateway, *, deadline: float = DEADLINE) -> None:
        """Take where it is, and the seconds that a call may take."""
        self._gateway = gateway
        self._deadline = deadline
        self._client = http_client(gateway.base_url)

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call; a stream has brought its first piece when this returns. Raises ModelError."""
        ends_at = time.monotonic() + self._deadline
        try:
            return await send(
                self._client,
                HttpCall(
                    who=f"LiteLLM at {self._gateway.base_url}",
                    url=self._gateway.base_url + PATHS[dialect],
                    headers=self._headers(beta),
                    dialect=dialect,
                    body={key: value for key, value in body.items() if key in FIELDS[dialect] | KEPT | {"model"}},
                    price=partial(_spent, str(body.get("model"))),
                    begins_by=ends_at,
                    ends_at=ends_at,
                ),
            )
        except ModelError as error:
            raise _with_fix(error, self._gateway) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _headers(self, beta: str | None) -> Mapping[str, str]:
        key = self._gateway.api_key
        return {
            **({"authorization": f"Bearer {key.get_secret_value()}"} if key else {}),
            **({"anthropic-beta": beta} if beta else {}),
        }


def _spent(model: str, tokens: Tokens, headers: Mapping[str, str]) -> Spent:
    """Return what a call used: the price is the proxy's, from the header or from the usage of a stream."""
    cost = _number(headers.get(COST)) if tokens.cost_usd is None else tokens.cost_usd
    return Spent(
        model=model,
        provider=_host(headers.get(API_BASE)),
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cost_usd=cost,
        price_source=None if cost is None else "gateway",
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _host(url: str | None) -> str | None:
    """Return the host of the route that answered: what it is called in the proxy is a random id."""
    try:
        return httpx.URL(url).netloc.decode() or None if url else None
    except httpx.InvalidURL:
        return None


_FIXES: Mapping[FailureClass, str] = {
    FailureClass.AUTH: "check models.gateway.api_key, and the keys in the configuration of the proxy",
    FailureClass.CONFIG: "name models of the proxy under models.gateway.for",
}


def _with_fix(error: ModelError, gateway: Gateway) -> ModelError:
    """Return the error with what to do about it."""
    fix = _FIXES.get(error.kind)
    if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
        fix = f"start the proxy, or correct models.gateway.base_url ({gateway.base_url})"
    said = f"{error.message}; {fix}" if fix else error.message
    return ModelError(said, status=error.status, kind=error.kind, retry_after=error.retry_after)

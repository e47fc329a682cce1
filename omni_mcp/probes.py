"""Looks at LiteLLM and at providers that spend no tokens: is the front door open, is our key good there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio
import httpx
from pydantic import SecretStr

from omni_mcp.decide.health import Look, Verdict
from omni_mcp.llm.direct import ANTHROPIC_VERSION
from omni_mcp.servers_file.direct import DirectRow, dialect_of
from omni_mcp.servers_file.models import Gateway
from omni_mcp.this_machine import leads_here

ALIVE = b"alive"
"""What LiteLLM says of itself at `/health/liveliness` ("I'm alive!"); another program on its port does not."""
OK, SERVER_ERROR = 200, 500
REFUSALS = frozenset({401, 402, 403})


class Probes(Protocol):
    """How the monitor looks; whatever happens is a look, within `limit` seconds a request."""

    async def litellm(self, *, limit: float, deep: bool) -> Look:
        """Look at LiteLLM; `deep` also asks for its models, with the key."""
        ...

    async def provider(self, name: str, *, limit: float) -> Look:
        """Look at a provider of `direct`."""
        ...


class HttpProbes:
    """Looks by HTTP, each time by a new connection: a kept one would not notice that the door is shut."""

    def __init__(self, gateway: Gateway | None, direct: Mapping[str, DirectRow], keys: Mapping[str, SecretStr]) -> None:
        self._gateway = gateway
        self._direct = direct
        self._keys = keys

    async def litellm(self, *, limit: float, deep: bool) -> Look:
        """Look at the proxy."""
        if self._gateway is None:
            return Look(verdict=Verdict.BROKEN, said="no gateway is configured")
        base, key = self._gateway.base_url, self._gateway.api_key
        look = _alive(await _get(f"{base}/health/liveliness", {}, limit=limit))
        if look.verdict is not Verdict.OK or not deep:
            return look
        headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
        return _open(await _get(f"{base}/v1/models", headers, limit=limit))

    async def provider(self, name: str, *, limit: float) -> Look:
        """Look at the provider's list of models."""
        row, key = self._direct[name], self._keys[name].get_secret_value()
        anthropic = {"x-api-key": key, "anthropic-version": ANTHROPIC_VERSION}
        headers = anthropic if dialect_of(name, row) == "anthropic" else {"authorization": f"Bearer {key}"}
        return _open(await _get(_models_of(row.base_url), headers, limit=limit))


def _models_of(base_url: str) -> str:
    return f"{base_url}/models" if base_url.endswith("/v1") else f"{base_url}/v1/models"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    begin: bytes = b""


async def _get(url: str, headers: Mapping[str, str], *, limit: float) -> _Answer | Look:
    """Ask for a page as a model call would, of which only the beginning is read."""
    try:
        with anyio.fail_after(limit):
            async with (
                httpx.AsyncClient(timeout=None, trust_env=not leads_here(url)) as client,  # noqa: S113 - the limit is around all
                client.stream("GET", url, headers=dict(headers)) as response,
            ):
                begin = await anext(response.aiter_bytes(), b"")
                return _Answer(response.status_code, begin)
    except TimeoutError:
        return Look(verdict=Verdict.BROKEN, said=f"no answer in {limit:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Look(verdict=Verdict.BROKEN, said=f"no connection: {str(error)[:200] or type(error).__name__}")


def _alive(answer: _Answer | Look) -> Look:
    if isinstance(answer, Look):
        return answer
    if answer.status == OK and ALIVE in answer.begin.lower():
        return Look(verdict=Verdict.OK, said="answers")
    return Look(verdict=Verdict.BROKEN, said=f"what answers there is not LiteLLM (HTTP {answer.status})")


def _open(answer: _Answer | Look) -> Look:
    """Any answer proves the front door, but for 5xx: that is the door of a house in which nobody is."""
    if isinstance(answer, Look):
        return answer
    if answer.status in REFUSALS:
        return Look(verdict=Verdict.REFUSED, said=f"answers, and refuses our key or credit (HTTP {answer.status})")
    if answer.status >= SERVER_ERROR:
        return Look(verdict=Verdict.UPSTREAM, said=f"HTTP {answer.status}")
    return Look(verdict=Verdict.OK, said="answers")

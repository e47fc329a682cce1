"""Model calls to the providers themselves, with the backup keys, while LiteLLM is broken. Never imports litellm.

Both dialects have a home with both kinds of provider:

- Anthropic: `/v1/messages` (https://docs.anthropic.com/en/api/messages) and, compatible with OpenAI's,
  `/v1/chat/completions` (https://docs.anthropic.com/en/api/openai-sdk).
- OpenRouter, and whoever is compatible with OpenAI: `/chat/completions` below the base URL, which ends in `/v1`
  (https://openrouter.ai/docs/api-reference/chat-completion) and, compatible with Anthropic's, `/messages`
  (https://openrouter.ai/docs/api/api-reference/anthropic-messages/create-messages).

Who speaks the caller's dialect by birth is asked first. One that fails is left for the next, also where it refuses the
call itself (400, too long, against its rules): another model may take it, as LiteLLM has it too. How each took it is
told of each (`Doors`), and one that has failed several times is not asked at all for a while. Nor is one for a model
that it does not have (404), or that is over its limit (429), until that ends (`ModelRests`). One whose stream broke in
its middle is asked last for a while: its caller's next call goes elsewhere.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx
from anyio.to_thread import run_sync
from pydantic import SecretStr

from omni_mcp.llm.base import Answer, Dialect, Doors, ModelError, Spent
from omni_mcp.llm.deadline import DEADLINE
from omni_mcp.llm.failures import UNAVAILABLE
from omni_mcp.llm.heard import Heard
from omni_mcp.llm.http_call import SILENCE_LIMIT, HttpCall, http_client, send
from omni_mcp.llm.layers import Now, Rests
from omni_mcp.llm.model_rests import ModelRests
from omni_mcp.llm.price_table import Table, cost_usd, price_table
from omni_mcp.llm.routes import named
from omni_mcp.llm.usage import Tokens
from omni_mcp.servers_file.direct import DirectRow, dialect_of
from omni_mcp.task import FailureClass

logger = logging.getLogger(__name__)

ANTHROPIC_VERSION = "2023-06-01"
"""https://docs.anthropic.com/en/api/versioning"""

SOON = 1.0
"""Seconds after which a call that nobody was asked for may come again."""

_TELLING = (
    *(FailureClass.RATE_LIMIT, FailureClass.PROVIDER, FailureClass.AUTH, FailureClass.CONFIG),
    FailureClass.TASK,  # each of them refuses it
)
"""When all have failed: which failure says best what to wait for."""


class DirectGateway:
    """Serves model calls with the providers of `direct` that have a key."""

    name = "direct"

    def __init__(
        self,
        rows: Mapping[str, tuple[DirectRow, SecretStr]],
        doors: Doors,
        *,
        deadline: float = DEADLINE,
        silence: float = SILENCE_LIMIT,
        now: Now = time.monotonic,
    ) -> None:
        """Take the providers with their keys, and the clock by which one of them is left alone.

        And seconds: those that a call may take, all of them included, and those that a stream may be silent.
        """
        self._doors = doors
        self._providers = [_Provider(name, row, key, silence) for name, (row, key) in rows.items()]
        self._deadline = deadline
        self._broken = Rests(now)
        self._resting = ModelRests(now)

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call of the model that a provider has for this task type. Raises ModelError."""
        ends_at = time.monotonic() + self._deadline
        left, errors = self._to_ask(dialect, task_type)
        while left:
            share = (ends_at - time.monotonic()) / len(left)
            provider, *left = left
            call = await provider.prepared(
                dialect, body, task_type=task_type, beta=beta, begins_by=time.monotonic() + share, ends_at=ends_at
            )
            if not self._doors.opens(provider.name):  # another call has begun to try it meanwhile
                continue
            try:
                with self._doors.through(provider.name):
                    return Heard(await send(provider.client, call), partial(self._ended, provider.name))
            except ModelError as error:
                logger.warning("%s", error, extra={"action": "direct_provider_failed"})
                self._resting.begin(provider.name, provider.model_for(task_type), error)
                errors.append(error)
        raise _all_of(errors) if errors else self._all_rest()

    def _to_ask(self, dialect: Dialect, task_type: str | None) -> tuple[list["_Provider"], list[ModelError]]:
        """Return who may be asked now, the best first; and what those have said whose models rest."""
        open_now = [provider for provider in self._providers if self._doors.opens(provider.name)]
        open_now.sort(key=lambda provider: (self._broken.rests(provider.name), provider.dialect is not dialect))
        said = {each: self._resting.said(each.name, each.model_for(task_type)) for each in open_now}
        asked = [provider for provider, error in said.items() if error is None]
        return asked, [error for error in said.values() if error is not None]

    def _ended(self, provider: str, error: ModelError | None) -> None:
        """Have a provider whose stream breaks be asked last for a while."""
        if error is None:
            self._broken.end(provider)
        else:
            self._broken.begin(provider)

    def _all_rest(self) -> ModelError:
        names = ", ".join(provider.name for provider in self._providers)
        said = (
            f"no call went out: none of {names} may be asked now. "
            "Each is left alone for a while after it failed, is tried by another call, or is configured no more"
        )
        return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER, retry_after=SOON)

    async def aclose(self) -> None:
        """Close the connections."""
        for provider in self._providers:
            await provider.client.aclose()


class _Provider:
    """A provider's own API."""

    def __init__(self, name: str, row: DirectRow, key: SecretStr, silence: float) -> None:
        self.dialect = Dialect(dialect_of(name, row))
        self.client = http_client(row.base_url)
        self.name = name
        self._row = row
        self._key = key
        self._silence = silence

    def model_for(self, task_type: str | None) -> str:
        """Return the model that it has for a task type."""
        return self._row.model_for(task_type)

    async def prepared(
        self,
        dialect: Dialect,
        body: Mapping[str, Any],
        *,
        task_type: str | None,
        beta: str | None,
        begins_by: float,
        ends_at: float,
    ) -> HttpCall:
        """Return the call as this provider wants it."""
        model = self.model_for(task_type)
        return HttpCall(
            who=self.name,
            url=self._url(dialect),
            headers=self._headers(dialect, beta),
            dialect=dialect,
            body={**body, "model": model},
            price=partial(self._spent, model, await run_sync(price_table)),
            silence=self._silence,
            begins_by=begins_by,
            ends_at=ends_at,
        )

    def _url(self, dialect: Dialect) -> str:
        base = (
            self._row.base_url.removesuffix("/v1") + "/v1" if self.dialect is Dialect.ANTHROPIC else self._row.base_url
        )
        return base + ("/messages" if dialect is Dialect.ANTHROPIC else "/chat/completions")

    def _headers(self, dialect: Dialect, beta: str | None) -> Mapping[str, str]:
        key = self._key.get_secret_value()
        native = dialect is Dialect.ANTHROPIC and self.dialect is Dialect.ANTHROPIC
        return {
            **({"x-api-key": key} if native else {"authorization": f"Bearer {key}"}),
            **({"anthropic-version": ANTHROPIC_VERSION} if dialect is Dialect.ANTHROPIC else {}),
            **({"anthropic-beta": beta} if beta else {}),
        }

    def _spent(self, model: str, table: Table, tokens: Tokens, _headers: Mapping[str, str]) -> Spent:
        """Return what a call used: priced by the answer itself, else by LiteLLM's list."""
        cost, source = tokens.cost_usd, "provider"
        if cost is None:
            cost, source = cost_usd(table, model, self._vendors(), tokens), "litellm"
        return Spent(
            model=model,
            endpoint=DirectGateway.name,
            provider=self.name,
            route=named({"model": model, "api_base": self._row.base_url}),
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cost_usd=cost,
            price_source=None if cost is None else source,
        )

    def _vendors(self) -> Sequence[str]:
        """Return what LiteLLM's list may call it: as its row is named, else as its host is."""
        return [self.name, *httpx.URL(self._row.base_url).host.split(".")[-2:-1]]


def _all_of(errors: Sequence[ModelError]) -> ModelError:
    """Return one error for all: the class that says best what to wait for, and what each of them said."""
    first = min(errors, key=lambda error: _TELLING.index(error.kind))
    said = "; ".join(error.message for error in errors)
    return ModelError(said, status=first.status, kind=first.kind, retry_after=first.retry_after)

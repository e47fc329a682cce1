"""The model gateway port: what the relay needs from whatever serves the calls."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from omni_mcp.errors import OmniError
from omni_mcp.task import FailureClass


class Dialect(StrEnum):
    """The wire format that the caller speaks."""

    ANTHROPIC = "anthropic"
    """`POST /v1/messages`, https://docs.anthropic.com/en/api/messages"""
    OPENAI = "openai"
    """`POST /v1/chat/completions`, https://platform.openai.com/docs/api-reference/chat"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a call used; filled in by the gateway when the answer is complete."""

    model: str
    endpoint: str | None = None
    """The name of the gateway that served."""
    provider: str | None = None
    route: str | None = None
    """Which layer served, where a model has several: its model and where that is."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    price_source: str | None = None


class Refusal(StrEnum):
    """Why a model does not take a call that another one may take."""

    POLICY = "policy"
    """It is against its rules."""
    CONTEXT = "context"
    """It is too long for it."""


class ModelError(OmniError):
    """The call failed; `status` is the HTTP status to pass on, `kind` what it means."""

    code = "model"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        kind: FailureClass,
        retry_after: float | None = None,
        broken: bool = False,
        layer: str | None = None,
        refuses: Refusal | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
        """Seconds until it may go again, if the other side said so."""
        self.broken = broken
        """True: whom we asked is not there at all, so that a look at its door says whether it still is so."""
        self.layer = layer
        """The id of the layer that failed in the middle of an answer, so that LiteLLM has asked no other one."""
        self.refuses = refuses
        """Why the model that was asked does not take this call, where another one may."""
        self.elsewhere = False
        """True: the next call goes to another layer, so this one says nothing of whom we asked."""

    def add(self, fix: str) -> None:
        """Say what to do about it, too."""
        self.message = f"{self.message}; {fix}"
        self.args = (self.message,)


class Answer(Protocol):
    """One answer: either a whole body or a stream of server-sent events, then what it used."""

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The whole JSON body; None when it streams."""
        ...

    def chunks(self) -> AsyncGenerator[bytes]:
        """The raw server-sent events of a streamed answer. Raises ModelError."""
        ...

    def spent(self) -> Spent:
        """What it used; valid after the body or the last chunk."""
        ...


class Doors(Protocol):
    """Who says which providers a call may ask, and hears how each of them took it."""

    def opens(self, provider: str) -> bool:
        """Whether it may be asked now."""
        ...

    def through(self, provider: str) -> AbstractContextManager[None]:
        """Be heard: the body asks this provider, and its end, a ModelError or none, is that provider's alone."""
        ...


class ModelGateway(Protocol):
    """Serves model calls in either dialect."""

    @property
    def name(self) -> str:
        """What `endpoint` shows: `litellm-proxy`, `litellm-router`, `direct`."""
        ...

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call; a stream has brought its first piece when this returns. Raises ModelError.

        `body` is the caller's JSON. Its `model` is already chosen for LiteLLM; `direct` knows other models, and takes
        the one that each provider has for `task_type`. `beta` is the caller's `anthropic-beta` header: without it
        Anthropic refuses the fields that go with it.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the connections; called once, at the end of the relay."""
        ...

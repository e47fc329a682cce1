"""Who serves each model call, by mode; and what became of it, told to the monitor.

It stands between the relay and the gateways, so that a change of mode moves a running attempt with its next call.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any

from omni_mcp.decide.health import Verdict
from omni_mcp.decide.mode_state import LITELLM, Called
from omni_mcp.decide.permit import Modes, Permit, Serves
from omni_mcp.llm.base import Answer, Dialect, ModelError, ModelGateway, Spent
from omni_mcp.task import Clock, FailureClass

UNAVAILABLE = 503
SOON = 1.0
"""Seconds after which a caller that was turned away may ask again, when nobody knows better."""


class Switch:
    """A model gateway that is LiteLLM, the providers themselves, or nobody, as the mode says."""

    def __init__(
        self,
        primary: ModelGateway,
        direct: ModelGateway | None,
        providers: tuple[str, ...],
        modes: Modes,
        clock: Clock,
    ) -> None:
        self._primary = primary
        self._direct = direct
        self._providers = providers
        self._modes = modes
        self._clock = clock
        self._trying = False

    @property
    def name(self) -> str:
        """Who serves now, as `endpoint` shows it."""
        direct = self._modes.permit().serves is Serves.DIRECT
        return self._direct.name if direct and self._direct is not None else self._primary.name

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call where the mode says. Raises ModelError, at once where nobody serves."""
        allowed = self._modes.permit()
        if allowed.serves is Serves.LITELLM:
            return await self._asked(self._primary, dialect, body, task_type, beta)
        if allowed.trial and not self._trying:
            return await self._tried(allowed, dialect, body, task_type, beta)
        return await self._instead(allowed, dialect, body, task_type, beta)

    async def aclose(self) -> None:
        """Let go of the connections of both."""
        await self._primary.aclose()
        if self._direct is not None:
            await self._direct.aclose()

    async def _tried(
        self, allowed: Permit, dialect: Dialect, body: Mapping[str, Any], task_type: str | None, beta: str | None
    ) -> Answer:
        """Try LiteLLM with this one call, while all others stay away; if that fails it goes where they go."""
        self._trying = True
        try:
            return await self._asked(self._primary, dialect, body, task_type, beta, trial=True)
        except ModelError as error:
            if allowed.serves is Serves.NOBODY or _verdict(error) is None:
                raise
        finally:
            self._trying = False
        return await self._instead(allowed, dialect, body, task_type, beta)

    async def _instead(
        self, allowed: Permit, dialect: Dialect, body: Mapping[str, Any], task_type: str | None, beta: str | None
    ) -> Answer:
        if allowed.serves is Serves.DIRECT and self._direct is not None:
            return await self._asked(self._direct, dialect, body, task_type, beta)
        raise ModelError(
            allowed.held or "nobody serves model calls now",
            status=UNAVAILABLE,
            kind=FailureClass.PROVIDER,
            retry_after=_seconds_until(allowed.next_at, self._clock.now()),
        )

    async def _asked(
        self,
        gateway: ModelGateway,
        dialect: Dialect,
        body: Mapping[str, Any],
        task_type: str | None,
        beta: str | None,
        *,
        trial: bool = False,
    ) -> Answer:
        direct = gateway is self._direct
        try:
            answer = await gateway.call(dialect, body, task_type=task_type, beta=beta)
        except ModelError as error:
            self._failed(error, direct=direct, trial=trial)
            raise
        self._modes.saw(
            Called(target=self._served(answer, direct=direct), verdict=Verdict.OK, said="served a call", trial=trial)
        )
        return answer if answer.body is not None else _Watched(answer, lambda error: self._failed(error, direct=direct))

    def _served(self, answer: Answer, *, direct: bool) -> str:
        """Return who served: LiteLLM, or the provider that says so."""
        provider = answer.spent().provider if direct else None
        return provider if provider in self._providers else self._providers[0] if direct else LITELLM

    def _failed(self, error: ModelError, *, direct: bool, trial: bool = False) -> None:
        """Tell of a failure that is not the caller's own; the direct gateway has then tried every provider."""
        verdict = _verdict(error)
        if verdict is None:
            return
        for target in self._providers if direct else (LITELLM,):
            self._modes.saw(Called(target=target, verdict=verdict, said=error.message, trial=trial))


def _verdict(error: ModelError) -> Verdict | None:
    """Return what a failed call says of who was asked; None: nothing, it is the caller's own."""
    match error.kind:
        case FailureClass.PROVIDER:
            return Verdict.BROKEN if error.broken else Verdict.UPSTREAM
        case FailureClass.CONFIG if error.broken:
            return Verdict.BROKEN
        case FailureClass.AUTH:
            return Verdict.REFUSED
        case _:
            return None


def _seconds_until(at: datetime | None, now: datetime) -> float:
    return SOON if at is None else max(SOON, (at - now).total_seconds())


class _Watched:
    """A streamed answer whose break is heard of."""

    body = None

    def __init__(self, answer: Answer, on_break: Callable[[ModelError], None]) -> None:
        self._answer = answer
        self._on_break = on_break

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Pass the pieces on. Raises ModelError."""
        try:
            async with aclosing(self._answer.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ModelError as error:
            self._on_break(error)
            raise

    def spent(self) -> Spent:
        """Return what it used."""
        return self._answer.spent()

"""Who serves each model call, by mode; and what became of it, told to the monitor.

It stands between the relay and the gateways, so that a change of mode moves a running attempt with its next call.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from datetime import datetime
from typing import Any

from omni_mcp.decide.health import Verdict
from omni_mcp.decide.modes.state import LITELLM, Called
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
        modes: Modes,
        clock: Clock,
    ) -> None:
        self._primary = primary
        self._direct = direct
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
            return await self._asked(dialect, body, task_type, beta)
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
            return await self._asked(dialect, body, task_type, beta, trial=True)
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
            answer = await self._direct.call(dialect, body, task_type=task_type, beta=beta)
            return _watched(answer, lambda error: _hear(self._modes, answer.spent().provider, error))
        raise ModelError(
            allowed.held or "nobody serves model calls now",
            status=UNAVAILABLE,
            kind=FailureClass.PROVIDER,
            retry_after=_seconds_until(allowed.next_at, self._clock.now()),
        )

    async def _asked(
        self,
        dialect: Dialect,
        body: Mapping[str, Any],
        task_type: str | None,
        beta: str | None,
        *,
        trial: bool = False,
    ) -> Answer:
        """Ask LiteLLM, and tell how it took that."""
        with _heard(self._modes, LITELLM, trial=trial):
            answer = await self._primary.call(dialect, body, task_type=task_type, beta=beta)
        return _watched(answer, lambda error: _hear(self._modes, LITELLM, error))


class ProviderDoors:
    """The providers' breakers: one that fails call after call is left alone, then tried by one call at a time."""

    def __init__(self, modes: Modes) -> None:
        self._modes = modes
        self._tried: set[str] = set()
        """Who is being tried by a call."""

    def opens(self, provider: str) -> bool:
        """Whether a call may ask it now."""
        allowed = self._modes.permit()
        if allowed.serves is not Serves.DIRECT:  # a call that was sent here when they served is brought to its end
            return True
        return provider in allowed.providers or (provider in allowed.half_open and provider not in self._tried)

    @contextmanager
    def through(self, provider: str) -> Generator[None]:
        """Hear how the body, which asks this provider, ends; a trial is alone until then."""
        trial = provider in self._modes.permit().half_open
        if trial:
            self._tried.add(provider)
        try:
            with _heard(self._modes, provider):
                yield
        finally:
            if trial:
                self._tried.discard(provider)


@contextmanager
def _heard(modes: Modes, target: str, *, trial: bool = False) -> Generator[None]:
    """Tell how a call of `target` ended; a cancelled one says nothing."""
    try:
        yield
    except ModelError as error:
        _hear(modes, target, error, trial=trial)
        raise
    modes.saw(Called(target=target, verdict=Verdict.OK, said="served a call", trial=trial))


def _hear(modes: Modes, target: str | None, error: ModelError, *, trial: bool = False) -> None:
    """Tell of a failure that is not the caller's own."""
    verdict = _verdict(error)
    if target is not None and verdict is not None:
        modes.saw(Called(target=target, verdict=verdict, said=error.message, trial=trial))


def _verdict(error: ModelError) -> Verdict | None:
    """Return what a failed call says of who was asked; None: nothing, it is the caller's own or one layer's."""
    if error.elsewhere:
        return None
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


def _watched(answer: Answer, on_break: Callable[[ModelError], None]) -> Answer:
    """Return the answer; of one that streams the break is heard of."""
    return answer if answer.body is not None else _Watched(answer, on_break)


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

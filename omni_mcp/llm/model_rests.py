"""Which models of providers are left alone for a while, because of what they said: a limit, or that they do not exist.

It is the model that rests, not its provider: limits are told for a model, and another task type has another one. What
the next calls hear is what the first one heard, so that their tasks wait as its task does.
"""

from dataclasses import dataclass

from omni_mcp.llm.base import ModelError
from omni_mcp.llm.layers import FIRST_REST, LONGEST_REST, Now
from omni_mcp.task import FailureClass

SHORT_REST = 10.0
"""Seconds for which a model rests that is over its limit and does not say for how long (429 without Retry-After)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    error: ModelError
    until: float
    """When it may be asked again."""
    over_at: float | None
    """When the limit ends that it told of."""


class ModelRests:
    """What models have said that are not asked now."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._said: dict[tuple[str, str], _Said] = {}

    def begin(self, provider: str, model: str, error: ModelError) -> None:
        """Leave a model alone, if that is what its failure asks for; seconds, at most `LONGEST_REST`."""
        told = error.retry_after
        if error.kind is FailureClass.RATE_LIMIT:
            seconds = SHORT_REST if told is None else min(told, LONGEST_REST)
        elif error.kind is FailureClass.CONFIG:
            seconds, told = FIRST_REST, None
        else:
            return
        now = self._now()
        over_at = None if told is None else now + told
        self._said[provider, model] = _Said(error=error, until=now + seconds, over_at=over_at)

    def said(self, provider: str, model: str) -> ModelError | None:
        """Return what a model that rests has said, with the seconds that are left; None: it may be asked."""
        now, said = self._now(), self._said.get((provider, model))
        if said is None or said.until <= now:
            return None
        error, left = said.error, None if said.over_at is None else said.over_at - now
        return ModelError(error.message, status=error.status, kind=error.kind, retry_after=left)

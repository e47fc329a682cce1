"""What is known of one thing that can break: LiteLLM, a provider, an executor with a login of its own. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Verdict(StrEnum):
    """What a look or a call says of it."""

    OK = "ok"
    BROKEN = "broken"
    """It is not there: refused, cannot be loaded; of a probe also no answer in time, or nonsense."""
    UPSTREAM = "upstream"
    """Its door is open, and calls fail behind it: 5xx, overloaded, all routes resting, nonsense, broken off."""
    REFUSED = "refused"
    """401, 402, 403: our key or our credit. It is no use to us, and it is not down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The outcome of one probe, with what was seen in words."""

    verdict: Verdict
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The newest word, and what is counted."""

    said: str = "not asked yet"
    at: datetime | None = None
    trouble: str = ""
    """The newest failure that counted, in words."""
    failures: int = 0
    """In a row that it did not answer itself."""
    upstream: int = 0
    """In a row that it answered and its clouds did not."""
    successes: int = 0
    """Probes in a row that it answered."""
    worked_at: datetime | None = None
    """When a real call last succeeded."""
    failed_at: datetime | None = None
    """When a real call last failed and that counted."""
    refused_at: datetime | None = None
    """When our key or credit was last refused; None: it is good as far as we know."""
    refusal: str = ""
    """In words; the door of many providers opens without a key, so the newest word may hide it."""

    @property
    def answers(self) -> bool:
        """Whether the newest probe was answered."""
        return self.successes > 0


def after_look(health: Health, look: Look, *, now: datetime, memory: timedelta) -> Health:
    """Take in a probe; a real call that worked within `memory` outweighs one that failed."""
    seen = replace(health, said=look.said, at=now)
    match look.verdict:
        case Verdict.OK:
            return replace(seen, failures=0, successes=health.successes + 1)
        case Verdict.REFUSED:
            return replace(seen, failures=0, successes=health.successes + 1, refused_at=now, refusal=look.said)
        case _ if worked_lately(health, now=now, memory=memory):
            return replace(seen, failures=0, successes=0)
        case _:
            return replace(seen, failures=health.failures + 1, successes=0, trouble=look.said)


def after_call(health: Health, verdict: Verdict, said: str, *, now: datetime, memory: timedelta) -> Health:
    """Take in a real call: a success clears all, a failure counts unless another call worked within `memory`."""
    seen = replace(health, said=said, at=now)
    match verdict:
        case Verdict.OK:
            return replace(seen, failures=0, upstream=0, worked_at=now, refused_at=None)
        case Verdict.REFUSED:
            return replace(seen, refused_at=now, refusal=said)
        case _ if worked_lately(health, now=now, memory=memory):
            return seen
        case Verdict.BROKEN:
            return replace(seen, failures=health.failures + 1, trouble=said, failed_at=now)
        case Verdict.UPSTREAM:
            return replace(seen, upstream=health.upstream + 1, trouble=said, failed_at=now)


def worked_lately(health: Health, *, now: datetime, memory: timedelta) -> bool:
    """Whether a real call succeeded within `memory`."""
    return health.worked_at is not None and timedelta(0) <= now - health.worked_at <= memory


def calmed(health: Health) -> Health:
    """Return it with nothing held against it."""
    return replace(health, failures=0, upstream=0)

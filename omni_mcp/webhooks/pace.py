"""How many deliveries of a source are taken in a minute. In memory: after a restart each source begins anew."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

MINUTE = 60.0


def _none() -> defaultdict[str, deque[float]]:
    return defaultdict(deque)


@dataclass(slots=True)
class Pace:
    """The deliveries of the last minute."""

    _taken: defaultdict[str, deque[float]] = field(default_factory=_none)

    def wait(self, source: str, *, per_minute: int, now: float) -> float:
        """Count a delivery that may be taken now and return 0, else the seconds after which the next one may be.

        `now` is of a clock that is never set, in seconds.
        """
        taken = self._taken[source]
        while taken and taken[0] <= now - MINUTE:
            taken.popleft()
        if len(taken) >= per_minute:
            return taken[len(taken) - per_minute] + MINUTE - now
        taken.append(now)
        return 0

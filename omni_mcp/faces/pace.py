"""How often each caller has asked. In memory: after a restart everybody begins anew."""

import time
from collections.abc import Callable, Set

from omni_mcp.decide.pace import Bucket, filled, taken

KNOWN_MOST = 1000
"""Callers whose requests are counted before those are forgotten who have been quiet."""


class Pace:
    """A bucket for each caller."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    @property
    def known(self) -> Set[str]:
        """Whose requests are counted."""
        return self._buckets.keys()

    def wait(self, who: str, *, per_second: float, burst: int) -> float:
        """Count a request that may be made now and return 0, else the seconds after which the next one may be."""
        now = self._clock()
        bucket = filled(self._buckets.get(who), now, per_second=per_second, burst=burst)
        self._buckets[who], wait = taken(bucket, per_second=per_second)
        if len(self._buckets) > KNOWN_MOST:
            self._forget(now, per_second=per_second, burst=burst)
        return wait

    def _forget(self, now: float, *, per_second: float, burst: int) -> None:
        """Forget whose buckets are full again: who is not known has a full one, too."""

        def full(bucket: Bucket) -> bool:
            return filled(bucket, now, per_second=per_second, burst=burst).left >= burst

        self._buckets = {name: each for name, each in self._buckets.items() if not full(each)}

"""Public circuit breakers on the same trace as the mode machine, with told time; prints JSON for `benchmarks.modes`.

Runs in an environment of its own (`make breakers`), with nothing of ours: the libraries are no dependency of anything.
Each guards the gateway as its documentation shows: a probe every 30 s ± 10 % goes through it, two failures open it, and
after 30 s it lets calls through again.
"""

import asyncio
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol

LOSS = 0.05
INTERVAL = 30.0
JITTER = 0.1
FAILURES = 2
CALLERS = 50
SLOW = 0.05
"""Seconds that a call of those takes."""
LIBRARIES = ("purgatory", "circuitbreaker", "aiobreaker", "pybreaker")
Call = Callable[[], Awaitable[None]]


def lost(at: float) -> bool:
    """Whether a probe at that second gets lost: for whoever sends one at the same moment the same."""
    return random.Random(f"{at:.3f}").random() < LOSS


class Down(Exception):
    """The backend did not answer."""


class Breaker(Protocol):
    """A breaker of a library."""

    async def call(self, ask: Call) -> None:
        """Ask through it."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it refuses calls, or is not yet sure that it need not."""
        ...


class Told:
    """Stands for the modules and classes that libraries read the time from."""

    def __init__(self) -> None:
        self.seconds = 1e9

    def time(self) -> float:
        """As `time.time`."""
        return self.seconds

    def now(self, zone: Any = None) -> datetime:
        """As `datetime.now`."""
        return datetime.fromtimestamp(self.seconds, zone or UTC).replace(tzinfo=zone)

    def utcnow(self) -> datetime:
        """As `datetime.utcnow`."""
        return datetime.fromtimestamp(self.seconds, UTC).replace(tzinfo=None)


class Purgatory:
    """https://github.com/mardiros/purgatory"""

    def __init__(self, told: Told) -> None:
        import_module("purgatory.domain.model").time = told  # type: ignore[attr-defined]
        self._factory: Any = import_module("purgatory").AsyncCircuitBreakerFactory(FAILURES, INTERVAL)
        self._breaker: Any = None

    async def call(self, ask: Call) -> None:
        """Ask."""
        self._breaker = await self._factory.get_breaker("gateway")
        async with self._breaker:
            await ask()

    @property
    def is_open(self) -> bool:
        """Whether it is."""
        return self._breaker is not None and self._breaker.context.state != "closed"


class CircuitBreaker:
    """https://github.com/fabfuel/circuitbreaker"""

    def __init__(self, told: Told) -> None:
        module: Any = import_module("circuitbreaker")
        module.monotonic = told.time
        self._breaker: Any = module.CircuitBreaker(FAILURES, INTERVAL, Down, name="gateway")

    async def call(self, ask: Call) -> None:
        """Ask."""
        await self._breaker.decorate(ask)()

    @property
    def is_open(self) -> bool:
        """Whether it is."""
        return self._breaker.state != "closed"


class AioBreaker:
    """https://github.com/arlyon/aiobreaker"""

    def __init__(self, told: Told) -> None:
        for name in ("circuitbreaker", "state"):
            import_module(f"aiobreaker.{name}").datetime = told  # type: ignore[attr-defined]
        self._breaker: Any = import_module("aiobreaker").CircuitBreaker(FAILURES, timedelta(seconds=INTERVAL))

    async def call(self, ask: Call) -> None:
        """Ask."""
        await self._breaker.call_async(ask)

    @property
    def is_open(self) -> bool:
        """Whether it is."""
        return self._breaker.current_state.name != "CLOSED"


class PyBreaker:
    """https://github.com/danielfm/pybreaker; its calls are those of threads, as its async ones need tornado."""

    def __init__(self, told: Told) -> None:
        module: Any = import_module("pybreaker")
        module.datetime = told
        self._breaker: Any = module.CircuitBreaker(FAILURES, INTERVAL)

    async def call(self, ask: Call) -> None:
        """Ask."""
        self._breaker.call(_driven, ask)

    @property
    def is_open(self) -> bool:
        """Whether it is."""
        return self._breaker.current_state != "closed"

    def in_thread(self, ask: Callable[[], None]) -> None:
        """Ask from a thread."""
        self._breaker.call(ask)


def _driven(ask: Call) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        ask().__await__().send(None)  # type: ignore[attr-defined]


KINDS: Mapping[str, Callable[[Told], Breaker]] = dict(
    zip(LIBRARIES, (Purgatory, CircuitBreaker, AioBreaker, PyBreaker), strict=True)
)


class World:
    """A gateway behind a network that loses probes, with a breaker in front of it."""

    def __init__(self, kind: str, dice: random.Random, *, loss: bool = True, died_at: float | None = None) -> None:
        self.told = Told()
        self.breaker = KINDS[kind](self.told)
        self._began = self.told.seconds
        self._dice = dice
        self._loss = loss
        self._died_at = died_at

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.told.seconds - self._began

    @property
    def dead(self) -> bool:
        """Whether the gateway is."""
        return self._died_at is not None and self.now >= self._died_at

    async def run(self, until: float, *, call_every: float | None = None, called_at: float = 0.0) -> int:
        """Live until then, or until a dead gateway is found out; returns how often it opened for nothing."""
        opened, probe_at, call_at = 0, 0.0, called_at + (call_every or until)
        while self.now < until and not (self.dead and self.breaker.is_open):
            probes = probe_at <= call_at
            self.told.seconds = self._began + min(until, probe_at, call_at)
            was_open = self.breaker.is_open
            if probes:
                probe_at = self.now + INTERVAL * (1 + JITTER * self._dice.uniform(-1, 1))
            else:
                call_at = self.now + (call_every or until)
            await self._ask(probe=probes)
            opened += not was_open and self.breaker.is_open and not self.dead
        return opened

    async def _ask(self, *, probe: bool) -> None:
        async def ask() -> None:
            if self.dead or (probe and self._loss and lost(self.now)):
                raise Down

        with suppress(Exception):
            await self.breaker.call(ask)


async def false_alarms(kind: str, days: int, *, call_every: float | None) -> float:
    """Return how often a day a gateway that is well counts as broken."""
    return await World(kind, random.Random(7)).run(days * 86400.0, call_every=call_every) / days


async def detection(kind: str, outages: int, *, call_every: float | None) -> tuple[float, float]:
    """Return seconds from the death of the gateway to the open breaker: p50 and p99."""
    dice = random.Random(11)
    found: list[float] = []
    for _ in range(outages):
        died_at, called_at = dice.uniform(60, 180), -dice.uniform(0, call_every or 1)
        world = World(kind, dice, died_at=died_at)
        await world.run(died_at + 600, call_every=call_every, called_at=called_at)
        found.append(world.now - died_at)
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98]


async def at_once(kind: str, *, dead: bool) -> int:
    """Return how many of 50 callers at once it has at the backend: of one that is well, or half-open and still dead."""
    told = Told()
    breaker = KINDS[kind](told)

    async def fails() -> None:
        raise Down

    for _ in range(FAILURES if dead else 0):
        with suppress(Exception):
            await breaker.call(fails)
    assert breaker.is_open is dead
    told.seconds += INTERVAL + 1
    return _threads(breaker, dead=dead) if isinstance(breaker, PyBreaker) else await _tasks(breaker, dead=dead)


async def _tasks(breaker: Breaker, *, dead: bool) -> int:
    count = Count()

    async def slow() -> None:
        with count:
            await asyncio.sleep(SLOW)
            if dead:
                raise Down

    await asyncio.gather(*(breaker.call(slow) for _ in range(CALLERS)), return_exceptions=True)
    return count.most


def _threads(breaker: PyBreaker, *, dead: bool) -> int:
    count = Count()

    def slow() -> None:
        with count:
            time.sleep(SLOW)
            if dead:
                raise Down

    def caller() -> None:
        with suppress(Exception):
            breaker.in_thread(slow)

    callers = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    return count.most


class Count:
    """How many are inside at once, at most."""

    def __init__(self) -> None:
        self.most = self._now = 0

    def __enter__(self) -> None:
        self._now += 1
        self.most = max(self.most, self._now)

    def __exit__(self, *_error: object) -> None:
        self._now -= 1


async def measured(kind: str, days: int, outages: int) -> dict[str, Any]:
    """Return the figures of one library."""
    return {
        "version": version(kind),
        "false": [await false_alarms(kind, days, call_every=each) for each in (None, 60.0)],
        "found": [await detection(kind, outages, call_every=each) for each in (None, 5.0)],
        "at_once": [await at_once(kind, dead=dead) for dead in (False, True)],
    }


async def main(days: int, outages: int) -> None:
    """Print the figures of all."""
    print(json.dumps({kind: await measured(kind, days, outages) for kind in LIBRARIES}))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:3])))

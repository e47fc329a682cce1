"""What a task engine gets through: callers that hand over a task, wait until it runs, and hand over the next.

The same few lines for each engine that `engines.py` compares, each in a process of its own; so this knows the standard
library alone.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import uuid4

CALLERS = 50
SECONDS = 2.5
"""How long one round lasts, after one that is not counted."""
WARM = 0.5
ALONE = 200
"""Tasks of one caller alone, at the most and within 2 * SECONDS: their way from the call until they run is timed."""
PAUSE = 0.02
"""Seconds before each of those, so that nobody is still busy with the one before."""
TEXT = "x" * 400
"""What a task is told, and what it answers: 400 characters."""

Put = Callable[[str], Awaitable[object]]
"""Hand over the task of this key; it is accepted when that returns."""


class Runs:
    """Hears of each task when it runs."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Future[float]] = {}

    def awaited(self, key: str) -> asyncio.Future[float]:
        """Return what will say when the task of this key runs."""
        future = self._awaited[key] = asyncio.get_running_loop().create_future()
        return future

    def ran(self, key: str) -> None:
        """Note that it runs now; what is not awaited any more is the rest of a round."""
        if (future := self._awaited.pop(key, None)) is not None:
            future.set_result(time.perf_counter())

    async def handed(self, put: Put) -> float:
        """Hand over one task and wait until it runs; returns the milliseconds."""
        key = uuid4().hex
        future = self.awaited(key)
        began = time.perf_counter()
        await put(key)
        return (await future - began) * 1000


async def together(runs: Runs, put: Put, seconds: float) -> float:
    """Return how many tasks a second all callers get through."""
    lived = 0
    began = time.perf_counter()

    async def caller() -> None:
        nonlocal lived
        while time.perf_counter() - began < seconds:
            await runs.handed(put)
            lived += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return lived / (time.perf_counter() - began)


async def measured(runs: Runs, put: Put) -> Mapping[str, float]:
    """Return tasks a second of all callers, and the milliseconds until a task of one caller runs."""
    await together(runs, put, WARM)
    rate = await together(runs, put, SECONDS)
    until, alone = time.perf_counter() + 2 * SECONDS, list[float]()
    while len(alone) < ALONE and time.perf_counter() < until:
        await asyncio.sleep(PAUSE)
        alone.append(await runs.handed(put))
    return {"rate": rate, **percentiles(alone)}


def percentiles(milliseconds: Sequence[float]) -> Mapping[str, float]:
    """Return the middle and the 99th percentile."""
    return {"p50": statistics.median(milliseconds), "p99": statistics.quantiles(milliseconds, n=100)[-1]}

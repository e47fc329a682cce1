"""How often the mode machine is wrong when probes get lost, and how soon it is right when LiteLLM dies.

The real decision function with told time, 30 days at 5 % random probe loss; `make breakers` prints the tables of
docs/faults.md, with what public breaker libraries make of the same trace (`breakers.py`). One outage begins at a random
moment between two probes.
"""

import argparse
import json
import random
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel

from benchmarks.breakers import CALLERS, LOSS, Count, lost
from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.machine import after, due, next_probe_at
from omni_mcp.decide.modes.state import LITELLM, Called, ModeState, Probed, Round, Setup, Tick, begin
from omni_mcp.llm.base import ModelError
from omni_mcp.monitor import LAST_TRIES
from omni_mcp.servers_file.fault_handler import FaultHandler
from omni_mcp.switch import ProviderDoors
from omni_mcp.task import FailureClass, Mode
from omni_mcp.testing import FakeModes, ToldClock

START = datetime(2026, 1, 1, tzinfo=UTC)
OK = Look(verdict=Verdict.OK, said="answers")
LOST = Look(verdict=Verdict.BROKEN, said="no answer")
QUICKLY = 0.01
"""Seconds that an answer, or a refused connection, takes."""
CLOUDS = ("anthropic", "openrouter")
PYTHON = Path(__file__).parents[1] / ".cache/breakers/bin/python"
"""Where the libraries are (`make breakers`)."""


@dataclass(kw_only=True)
class World:
    """LiteLLM behind a network that loses probes, and calls through it every so often."""

    setup: Setup
    dice: random.Random
    tries: int = LAST_TRIES
    """Of the last look at LiteLLM; 0: there is none, as if it had failed."""
    call_every: float | None = None
    """Seconds between two real calls; None: there are none."""
    died_at: datetime | None = None
    hangs: bool = False
    """Dead by silence instead of refused connections."""
    now: datetime = START
    state: ModeState = field(default_factory=lambda: begin(START))
    called_at: datetime = START
    false_alarms: int = 0

    @property
    def dead(self) -> bool:
        """Whether LiteLLM is."""
        return self.died_at is not None and self.now >= self.died_at

    def run(self, until: datetime) -> bool:
        """Live until then, or until LiteLLM is found out; says whether it was."""
        while self.now < until:
            self._wait(until)
            self._call()
            if (wanted := due(self.state, self.setup, self.now)).providers:
                self._round()
            elif wanted.litellm:
                look = self._look(wanted.limit.total_seconds())
                self._see(Probed(look=look))
            if self.dead and self.state.mode is not Mode.NORMAL:
                return True
        return False

    def _wait(self, until: datetime) -> None:
        times = [at for at in (next_probe_at(self.state, self.setup), self._next_call()) if at is not None]
        if not self.state.suspect:
            self.now = max(self.now, min(until, *times))
        self._see(Tick())

    def _next_call(self) -> datetime | None:
        return None if self.call_every is None else self.called_at + timedelta(seconds=self.call_every)

    def _call(self) -> None:
        if (at := self._next_call()) is None or at > self.now:
            return
        self.called_at = self.now
        if self.dead and self.hangs:
            return
        verdict = Verdict.BROKEN if self.dead else Verdict.OK
        self._see(Called(target=LITELLM, verdict=verdict, said="a call"))

    def _look(self, limit: float) -> Look:
        gone = lost((self.now - START).total_seconds())
        slow = gone or (self.dead and self.hangs)
        self.now += timedelta(seconds=limit if slow else QUICKLY)
        return LOST if gone or self.dead else OK

    def _round(self) -> None:
        limit = self.setup.numbers.confirm_timeout
        last = LOST
        for _ in range(self.tries):
            if (last := self._look(limit)) is OK:
                break
        looks = {name: LOST if self.dice.random() < LOSS else OK for name in CLOUDS}
        self._see(Round(providers=looks, litellm=last))

    def _see(self, seen: Probed | Round | Called | Tick) -> None:
        before = self.state.mode
        self.state = after(self.state, seen, self.setup, now=self.now, jitter=self.dice.uniform(-1, 1))
        if before is Mode.NORMAL and self.state.mode is not Mode.NORMAL and not self.dead:
            self.false_alarms += 1


def setup(failures: int) -> Setup:
    """Return the defaults with so many consecutive failures."""
    return Setup(numbers=FaultHandler(consecutive_failures=failures), providers=CLOUDS)


def false_alarms(days: int, *, failures: int, tries: int = LAST_TRIES, call_every: float | None = None) -> float:
    """Return how often a day a LiteLLM that is well counts as broken at 5 % probe loss."""
    world = World(setup=setup(failures), dice=random.Random(7), tries=tries, call_every=call_every)
    world.run(START + timedelta(days=days))
    return world.false_alarms / days


def detection(*, failures: int, hangs: bool, call_every: float | None, outages: int = 2000) -> tuple[float, float]:
    """Return seconds from the death of LiteLLM to the change of mode: p50 and p99."""
    dice = random.Random(11)
    found: list[float] = []
    for _ in range(outages):
        died_at = START + timedelta(seconds=dice.uniform(60, 180))
        called_at = START - timedelta(seconds=dice.uniform(0, call_every or 1))
        world = World(setup=setup(failures), dice=dice, died_at=died_at, hangs=hangs, call_every=call_every)
        world.called_at = called_at
        assert world.run(died_at + timedelta(minutes=10))
        found.append((world.now - died_at).total_seconds())
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98]


async def at_once(*, dead: bool) -> int:
    """Return how many of 50 callers at once our breaker has at a provider: well, or half-open and still dead."""
    modes = FakeModes(clock := ToldClock(), Setup(providers=("one",)))
    modes.state = replace(modes.state, mode=Mode.DEGRADED)
    doors, count = ProviderDoors(modes), Count()

    async def call() -> None:
        with suppress(ModelError), doors.through("one"), count:
            await anyio.lowlevel.checkpoint()
            if dead:
                raise ModelError("dead", status=503, kind=FailureClass.PROVIDER)

    async def caller() -> None:
        if doors.opens("one"):
            await call()

    for _ in range(2 if dead else 0):
        await call()
    clock.advance(timedelta(seconds=31))
    count.most = 0
    async with anyio.create_task_group() as callers:
        for _ in range(CALLERS):
            callers.start_soon(caller)
    return count.most


def compared(days: int, outages: int) -> Iterator[str]:
    """Yield the lines of the table of the libraries, and of ours on the same trace."""
    argv = [str(PYTHON), str(Path(__file__).with_name("breakers.py")), str(days), str(outages)]
    found = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    yield "| | false a day | with a call a minute | found out, p50 / p99 s | with a call every 5 s | well | half-open |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in found.items():
        yield _compared(f"{name} {row['version']}", row["false"], row["found"], row["at_once"])
    false = [false_alarms(days, failures=2, call_every=each) for each in (None, 60)]
    told = [detection(failures=2, hangs=False, call_every=each, outages=outages) for each in (None, 5.0)]
    yield _compared("ours", false, told, [anyio.run(partial(at_once, dead=dead)) for dead in (False, True)])


def _compared(name: str, false: list[float], found: list[tuple[float, float]], at_once: list[int]) -> str:
    told = [*(f"{each:.2f}" for each in false), *(f"{p50:.1f} / {p99:.1f}" for p50, p99 in found), *map(str, at_once)]
    return f"| {' | '.join([name, *told])} |"


def rows(days: int, outages: int) -> Iterator[str]:
    """Yield the lines of the two tables of ours."""
    said = f"false degraded a day, 5 % of probes lost, {days} days"
    yield f"| {said} | no last look | with it | with it, a call a minute |"
    yield "|---|---|---|---|"
    for failures in (2, 3):
        bare = false_alarms(days, failures=failures, tries=0)
        ours = false_alarms(days, failures=failures)
        busy = false_alarms(days, failures=failures, call_every=60)
        yield f"| `consecutive_failures: {failures}` | {bare:.2f} | {ours:.2f} | {busy:.2f} |"
    yield ""
    yield f"| seconds until a dead LiteLLM is found out, {outages} outages | p50 | p99 |"
    yield "|---|---|---|"
    for failures in (2, 3):
        for words, hangs, call_every in CASES:
            p50, p99 = detection(failures=failures, hangs=hangs, call_every=call_every, outages=outages)
            yield f"| `consecutive_failures: {failures}`, {words} | {p50:.1f} | {p99:.1f} |"


CASES = (
    ("refuses connections, no calls", False, None),
    ("refuses connections, a call every 5 s", False, 5.0),
    ("silent, no calls", True, None),
    ("silent, a call every 5 s", True, 5.0),
)


def main() -> None:
    """Print the tables of docs/faults.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--outages", type=int, default=2000)
    arguments = parser.parse_args()
    for line in rows(arguments.days, arguments.outages):
        print(line)
    if PYTHON.exists():
        print("", *compared(arguments.days, arguments.outages), sep="\n")
    else:
        print("\nThe libraries to compare with are not installed: make breakers")


if __name__ == "__main__":
    main()

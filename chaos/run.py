"""`make chaos`: harm some homes until so many processes were killed, then assert that nothing was lost, nothing twice.

A seed tells what is done in which order. Ends with 1 when an invariant is broken, a fault point was not reached, or
there were too few kills in the time; the homes are then kept. However it ends, nothing of it stays alive.
"""

import argparse
import shutil
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio

from chaos.clients import CLIENTS, Clients
from chaos.guard import guarded
from chaos.judge import INVARIANTS, Finding
from chaos.monkey import Monkey
from chaos.points import ENGINE_POINTS, FACE_POINTS
from chaos.stage import prepare, quantiles, say, say_found
from chaos.world import World, world

HOMES = 3
"""Homes that are harmed at once: while one recovers, another one is killed."""
KILLS, SECONDS = 220, 200.0
"""Kills that are wanted, and the time for them; what follows them fits into what is left of five minutes."""
SETTLE = 90.0
"""Seconds that the tasks have to come to their end after the last harm."""
ORPHANED = 10.0
"""Seconds after the end in which every process has to be gone."""
POINTS = (*ENGINE_POINTS, *FACE_POINTS)
TOLD = 10.0
"""Seconds between two lines about how far it is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done to all homes together."""

    kills: int
    until: float
    """When the harm ends, by `time.monotonic`."""
    seed: int


async def harm_all(homes: Sequence[World], plan: Plan) -> Sequence[str]:
    """Harm all homes at once; returns the points that nobody reached."""
    missed: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tell, homes, plan.kills)
        async with anyio.create_task_group() as harming:
            for number, here in enumerate(homes):
                points = POINTS[number :: len(homes)]
                harming.start_soon(_harm, here, homes, plan, plan.seed * len(homes) + number, points, missed)
        tasks.cancel_scope.cancel()
    return missed


async def _harm(
    here: World, homes: Sequence[World], plan: Plan, seed: int, points: Sequence[str], missed: list[str]
) -> None:
    """Harm a home while it is used, and let it come to rest."""
    clients = Clients(here, seed)
    monkey = Monkey(here, clients, seed)
    async with anyio.create_task_group() as tasks:
        for number in range(CLIENTS):
            tasks.start_soon(clients.submit, name=f"client {number}")
        tasks.start_soon(clients.tend)
        tasks.start_soon(here.keep_cloud)
        while here.engine is None:
            await anyio.sleep(0.05)
        missed += await monkey.all_of(points, plan.until)
        while _killed(homes).total() < plan.kills and time.monotonic() < plan.until:
            await monkey.one()
        clients.submitting = False
        with anyio.move_on_after(SETTLE):
            await clients.nothing_is_open()
        tasks.cancel_scope.cancel()
    for face in here.faces:
        await face.close()


async def _tell(homes: Sequence[World], kills: int) -> None:
    began = time.monotonic()
    while True:
        await anyio.sleep(TOLD)
        acked = sum(len(here.acked) for here in homes)
        say(f"{time.monotonic() - began:4.0f} s: {_killed(homes).total()} of {kills} kills, {acked} tasks acknowledged")


def _killed(homes: Sequence[World]) -> Counter[str]:
    return sum((here.kills for here in homes), Counter[str]())


def judge(homes: Sequence[World]) -> Mapping[str, Sequence[Finding]]:
    """Return what is found against each invariant, first of all what still runs some seconds after the end."""
    deadline = time.monotonic() + ORPHANED
    while (left := [each for here in homes for each in here.processes()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    found = {name: [line for here in homes for line in look(here)] for name, look in INVARIANTS.items()}
    return {**found, f"processes left {ORPHANED:.0f} s after the end": [str(process) for process in left]}


def recoveries(here: World) -> Sequence[float]:
    """Return for each death of an engine the seconds until the next task was begun."""
    began = [row[0] / 1e6 for row in here.rows("select began_at from attempts order by began_at")]
    following = [(death, bisect_right(began, death)) for death in here.deaths]
    return [began[place] - death for death, place in following if place < len(began)]


def print_report(homes: Sequence[World], found: Mapping[str, Sequence[Finding]], missed: Sequence[str]) -> None:
    """Print what was done, what came of it, and how fast it recovered."""
    _print_harm(homes)
    for point in missed:
        say(f"not reached: {point}")
    times = [seconds for here in homes for seconds in recoveries(here)]
    if len(times) > 1:
        say(f"from the death of an engine to the next begin: {len(times)} times, {quantiles(times, 's')}")
    ends = sum((_ends(here) for here in homes), Counter[str]())
    consents = sum(len(here.consents) for here in homes)
    say(f"{sum(len(here.acked) for here in homes)} tasks acknowledged {dict(ends)}, {consents} consents")
    reached = len(POINTS) - len(missed)
    say(f"{_killed(homes).total()} kills, {reached} of {len(POINTS)} fault points, in {len(homes)} homes\n")
    say_found(found)


def _print_harm(homes: Sequence[World]) -> None:
    kills, deeds = _killed(homes), sum((here.deeds for here in homes), Counter[str]())
    say(f"\n{'killed at a fault point':42} before   after")
    for place in dict.fromkeys(point.replace(" before ", " ").replace(" after ", " ") for point in POINTS):
        role, verb = place.split()
        before, after = (kills[f"{role} {when} {verb}"] for when in ("before", "after"))
        say(f"  {place:40} {before:6}  {after:6}")
    at_any_moment = {what: times for what, times in kills.items() if what not in POINTS}
    for title, counts in (("killed at any moment", at_any_moment), ("besides", deeds)):
        say(title)
        for what, times in sorted(counts.items()):
            say(f"  {what:40} {times:6}")


def _ends(here: World) -> Counter[str]:
    return Counter(row["state"] for row in here.rows("select state from tasks"))


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for the kills")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--homes", type=int, default=HOMES)
    asked = parser.parse_args()
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="omni-chaos-"))
    places = [folder / f"home-{number}" for number in range(asked.homes)]
    say(f"seed {asked.seed} (make chaos SEED={asked.seed} does it in the same order), homes in {folder}")
    began = time.monotonic()
    plan = Plan(kills=asked.kills, until=began + asked.seconds, seed=asked.seed)
    with guarded(places):
        with ExitStack() as stack:
            homes = [stack.enter_context(world(place)) for place in places]
            missed = anyio.run(harm_all, homes, plan)
        found = judge(homes)
    print_report(homes, found, missed)
    say(f"\n{time.monotonic() - began:.0f} s in all")
    few = _killed(homes).total() < asked.kills
    if few:
        say(f"too few kills: {asked.kills} were wanted in {asked.seconds:.0f} s")
    if few or missed or any(found.values()):
        say(f"broken; see {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

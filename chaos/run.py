"""`make chaos`: harm a home until so many processes were killed, then assert that nothing was lost and nothing twice.

A seed tells what is done in which order. Ends with 1 when an invariant is broken; the home is then kept.
"""

import argparse
import shutil
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from chaos.clients import CLIENTS, Clients
from chaos.judge import INVARIANTS, Finding
from chaos.monkey import Monkey
from chaos.stage import quantiles, say
from chaos.world import World, world

SETTLE = 120.0
"""Seconds that the tasks have to come to their end after the last harm."""
ORPHANED = 10.0
"""Seconds after the end in which every process has to be gone."""


async def harm(here: World, *, kills: int, seed: int) -> Sequence[str]:
    """Harm the home while it is used, and let it come to rest; returns the points that nobody reached."""
    clients, monkey = Clients(here, seed), Monkey(here, seed)
    missed: Sequence[str] = []
    async with anyio.create_task_group() as tasks:
        for number in range(CLIENTS):
            tasks.start_soon(clients.submit, name=f"client {number}")
        tasks.start_soon(clients.tend)
        while here.engine is None:
            await anyio.sleep(0.05)
        missed = await monkey.every_point()
        told = 0
        while (done := here.kills.total()) < kills:
            await monkey.one()
            if done >= told + 100:
                told = done
                say(f"{done} kills, {len(here.acked)} tasks acknowledged")
        clients.submitting = False
        with anyio.move_on_after(SETTLE):
            await clients.nothing_is_open()
        tasks.cancel_scope.cancel()
    for face in here.faces:
        await face.close()
    return missed


def orphans(here: World) -> Sequence[Finding]:
    """Return what still runs some seconds after the end."""
    deadline = time.monotonic() + ORPHANED
    while (left := here.processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [str(process) for process in left]


def recoveries(here: World) -> Sequence[float]:
    """Return for each death of an engine the seconds until the next task was begun."""
    began = [row[0] / 1e6 for row in here.rows("select began_at from attempts order by began_at")]
    following = [(death, bisect_right(began, death)) for death in here.deaths]
    return sorted(began[place] - death for death, place in following if place < len(began))


def print_report(here: World, found: Mapping[str, Sequence[Finding]], missed: Sequence[str], took: float) -> None:
    """Print what was done, what came of it, and how fast it recovered."""
    say(f"\n{'killed':40} times")
    for what, times in sorted(here.kills.items()):
        say(f"  {what:38} {times:5}")
    say(f"  {'in all':38} {here.kills.total():5}\n\nbesides: {dict(here.deeds)}")
    for point in missed:
        say(f"not reached: {point}")
    times = recoveries(here)
    if len(times) > 1:
        say(f"from the death of an engine to the next begin: {len(times)} times, {quantiles(times, 's')}")
    ends = {row["state"]: row["n"] for row in here.rows("select state, count(*) n from tasks group by state")}
    say(f"{len(here.acked)} tasks acknowledged {ends}, {here.consents.total()} consents, {took:.0f} s in all\n")
    for name, findings in found.items():
        say(f"  {'✗' if findings else '✓'} {len(findings):3} {name}")
        for finding in findings[:5]:
            say(f"        {finding}")


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=220)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else time.time_ns() % 1_000_000
    home = Path(tempfile.mkdtemp(prefix="omni-chaos-"))
    say(f"seed {seed} (make chaos SEED={seed} does it in the same order), home {home}")
    began = time.monotonic()
    with world(home) as here:
        missed = anyio.run(lambda: harm(here, kills=asked.kills, seed=seed))
    left = orphans(here)
    found: dict[str, Sequence[Finding]] = {name: list(look(here)) for name, look in INVARIANTS.items()}
    found[f"processes left {ORPHANED:.0f} s after the end"] = left
    print_report(here, found, missed, time.monotonic() - began)
    if any(found.values()) or missed:
        say(f"\nbroken; see {home}")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

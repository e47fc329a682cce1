"""`make fleet`: harm machines, network, PostgreSQL and Redis in turn: nothing may be lost, nothing done twice.

Linux, root (network namespaces), PostgreSQL, Redis. Ends with 1 when an invariant is broken; the folder is kept then.
A machine that is frozen as a whole cannot end its runs when its lease ends; they go on for a moment when it thaws. So
only there a second run of a `retry` task, which declares that this is harmless, may meet the first.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from chaos.clients import CLIENTS, Clients
from chaos.fleet.fleet import Fleet, Machine, fleet
from chaos.guard import guarded
from chaos.judge import INVARIANTS, Finding, damage
from chaos.stage import prepare, say, say_found

SHORT, HALF, BEYOND, LONG = 8.0, 30.0, 50.0, 300.0
"""Seconds that a harm lasts: within a lease, as long as it, beyond lease and grace, and long beyond."""
CALM = 4.0
"""Seconds between two harms."""
SETTLE = 180.0
"""Seconds that the tasks have to come to their end after the last harm."""


@dataclass(frozen=True)
class Deed:
    """A harm: what is done, for how long, and how it ends."""

    name: str
    begin: Callable[[Fleet, Machine], None]
    end: Callable[[Fleet, Machine], None]
    seconds: float = SHORT


def _kill(here: Fleet, machine: Machine) -> None:
    here.kills["engine"] += 1
    here.signal(machine, signal.SIGKILL, engine_only=True)


def _start(here: Fleet, machine: Machine) -> None:
    del here
    if machine.engine is not None:
        machine.engine.wait()
    machine.start()


def _cut(here: Fleet, machine: Machine) -> None:
    here.lan.cut(machine.name)


def _mend(here: Fleet, machine: Machine) -> None:
    here.lan.mend(machine.name)


def _freeze(here: Fleet, machine: Machine) -> None:
    here.signal(machine, signal.SIGSTOP)


def _thaw(here: Fleet, machine: Machine) -> None:
    here.signal(machine, signal.SIGCONT)


def _nothing(here: Fleet, machine: Machine) -> None:
    del here, machine


DEEDS: Sequence[Deed] = (
    Deed("engine killed", _kill, _start, 2.0),
    Deed("machine cut off for a moment", _cut, _mend),
    Deed(
        "PostgreSQL killed and started",
        lambda here, _: here.servers.postgres.kill(),
        lambda here, _: here.servers.postgres.start(),
        2.0,
    ),
    Deed("Redis emptied", lambda here, _: here.servers.wipe_redis(), _nothing, 0.0),
    Deed("machine cut off beyond its lease", _cut, _mend, BEYOND),
    Deed(
        "Redis killed and started",
        lambda here, _: here.servers.redis.kill(),
        lambda here, _: here.servers.redis.start(),
    ),
    Deed(
        "PostgreSQL frozen",
        lambda here, _: here.servers.postgres.freeze(),
        lambda here, _: here.servers.postgres.thaw(),
    ),
    Deed("machine frozen beyond its lease", _freeze, _thaw, BEYOND),
    Deed(
        "PostgreSQL away",
        lambda here, _: here.servers.postgres.kill(),
        lambda here, _: here.servers.postgres.start(),
        HALF,
    ),
    Deed("machine cut off for as long as its lease", _cut, _mend, HALF),
    Deed("machine cut off for five minutes", _cut, _mend, LONG),
)


async def play(here: Fleet, *, seconds: float, seed: int) -> None:
    """Harm the fleet while it is used, each deed in turn, and let it come to rest."""
    clients, rng = Clients(here, seed), random.Random(seed)
    until = time.monotonic() + seconds
    async with anyio.create_task_group() as tasks:
        for number in range(CLIENTS):
            tasks.start_soon(clients.submit, name=f"client {number}")
        tasks.start_soon(clients.tend)
        while len({row["owner"] for row in here.rows("select owner from attempts")}) < 2:
            await anyio.sleep(0.2)
        number = 0
        while time.monotonic() < until:
            await _do(here, DEEDS[number % len(DEEDS)], rng)
            await anyio.sleep(CALM)
            number += 1
        clients.submitting = False
        with anyio.move_on_after(SETTLE):
            await clients.nothing_is_open()
        tasks.cancel_scope.cancel()
    for face in here.faces:
        await face.close()


async def _do(here: Fleet, deed: Deed, rng: random.Random) -> None:
    machine = rng.choice(here.machines)
    at, so_far = time.strftime("%H:%M:%S"), f"{len(here.acked)} tasks acknowledged"
    say(f"{at} {deed.name} ({machine.name}, {deed.seconds:.0f} s); {so_far}")
    await anyio.to_thread.run_sync(_do_and_mend, deed, here, machine)
    here.deeds[deed.name] += 1


def _do_and_mend(deed: Deed, here: Fleet, machine: Machine) -> None:
    """Harm, and mend it in time, also where our own clients hang meanwhile: hence a thread."""
    deed.begin(here, machine)
    time.sleep(deed.seconds)
    deed.end(here, machine)


def judge(here: Fleet) -> Mapping[str, Sequence[Finding]]:
    """Return what is found against each invariant; what SQLite says of a file has no meaning here."""
    return {name: list(look(here)) for name, look in INVARIANTS.items() if look is not damage}


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="time for the harm")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    asked = parser.parse_args()
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="omni-fleet-"))
    say(f"seed {asked.seed}, in {folder}")
    with guarded([folder / "shared"]), fleet(folder) as here:
        anyio.run(lambda: play(here, seconds=asked.seconds, seed=asked.seed))
        found = judge(here)
        ends = here.rows("select state, count(*) as n from tasks group by state")
    ended = {row["state"]: row["n"] for row in ends}
    say(f"{len(here.acked)} tasks acknowledged {ended}, {len(here.consents)} consents")
    for what, times in sorted({**here.kills, **here.deeds}.items()):
        say(f"  {what:42} {times:6}")
    say_found(found)
    if any(found.values()):
        say(f"broken; see {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

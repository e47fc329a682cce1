"""From SIGKILL of an engine to the next dispatch of its task, with a face alive: by the spare, and by the face."""

import argparse
import random
import sys
import time
from contextlib import suppress
from functools import partial

import anyio
import psutil

from chaos.judge import two_live_runs
from chaos.stage import on_stage, quantiles, say
from chaos.world import World

LIVES = (1.1, 1.6)
"""Seconds between the begin of a task and the kill: the spare replaces nobody who lived for less than one."""


async def play(here: World, *, kills: int, alone: int) -> bool:
    """Kill the engine again and again while a task runs; then the same with its spare killed first.

    Returns whether no run began while the one before was still at it.
    """
    face = here.open_face()
    await face.call("submit_task", description="9000 steps of 100 ms", executor="session")
    for name, count, spare in (("the spare goes on", kills, True), ("the face starts one", alone, False)):
        bound = [await _taken_over(here, spare=spare) for _ in range(count)]
        if bound:
            say(f"{name}: {count} kills, from the kill until the task is bound anew: {quantiles(bound, 's')}")
    await face.call("cancel_task", task_id=here.rows("select id from tasks")[0]["id"])
    overlaps = list(two_live_runs(here))
    say(f"two live runs of the task: {len(overlaps)}")
    return not overlaps


async def _taken_over(here: World, *, spare: bool) -> float:
    """Kill the engine in mid task; returns the seconds until the next attempt is written down as sent."""
    attempt = await _bound(here, 0)
    await anyio.sleep(random.uniform(*LIVES))
    engine = psutil.Process(here.engine)
    if not spare:
        for process in here.spares():
            with suppress(psutil.Error):
                process.kill()
    engine.kill()
    killed = time.time()
    await _bound(here, attempt)
    (row,) = here.rows("select min(bound_at) at from attempts where number > ?", attempt)
    return row["at"] / 1e6 - killed


async def _bound(here: World, after: int) -> int:
    """Wait for an attempt after this one that is at work; returns its number."""
    while True:
        rows = here.rows("select attempt from tasks where state = 'executing' and attempt > ?", after)
        if rows and here.engine is not None:
            return rows[0]["attempt"]
        await anyio.sleep(0.005)


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--alone", type=int, default=10)
    asked = parser.parse_args()
    return on_stage(partial(play, kills=asked.kills, alone=asked.alone))


if __name__ == "__main__":
    sys.exit(main())

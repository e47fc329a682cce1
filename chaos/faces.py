"""Forty faces at once on one ledger: no error, the longest transaction, what each costs in memory."""

import argparse
import sys
import time
from functools import partial

import anyio
import psutil

from chaos.face import Face, FaceLost, Refused
from chaos.stage import on_stage, quantiles, say
from chaos.world import World

FACES = 40
STARTING = 4
"""Faces that start at once: it is their work together that is measured, not how long forty imports take."""
PAUSE = 0.1
"""Seconds between two submits of a face: forty times ten a second are more than any people type."""


async def play(here: World, *, faces: int, seconds: float) -> bool:
    """Submit from all faces for so long; returns whether there was no error and no task is missing."""
    errors: list[str] = []
    calls: list[float] = []
    here.faces.extend(Face(here.home) for _ in range(faces))
    began, starting = time.monotonic(), anyio.CapacityLimiter(STARTING)
    async with anyio.create_task_group() as tasks:
        for face in here.faces:
            tasks.start_soon(_open, face, starting)
    say(f"{faces} faces are up after {time.monotonic() - began:.0f} s")
    until = time.monotonic() + seconds
    async with anyio.create_task_group() as tasks:
        for number, face in enumerate(here.faces):
            tasks.start_soon(_submits, here, face, number, until, calls, errors)
    rows = here.rows("select count(*) n from tasks")[0]["n"]
    say(f"{faces} faces for {seconds:.0f} s: {len(calls)} submits, {rows} tasks, {len(errors)} errors {errors[:3]}")
    say(f"  submit_task as the client sees it: {quantiles(calls, 'ms')}")
    _print_cost(here)
    return not errors and rows == len(calls)


def _print_cost(here: World) -> None:
    longest = sorted(float(file.read_text()) for file in here.home.glob("longest.*"))
    memory = [psutil.Process(face.process.pid).memory_full_info() for face in here.faces if face.process]
    rss, uss = _mean([each.rss for each in memory]), _mean([each.uss for each in memory])
    middle = longest[len(longest) // 2]
    say(f"  longest transaction of any face: {longest[-1]:.1f} ms (of the middle one: {middle:.1f} ms)")
    say(f"  memory of a face: {rss:.1f} MB resident, {uss:.1f} MB unshared")


async def _open(face: Face, starting: anyio.CapacityLimiter) -> None:
    async with starting:
        await face.call("list_tasks")


async def _submits(here: World, face: Face, number: int, until: float, calls: list[float], errors: list[str]) -> None:
    turn = 0
    while time.monotonic() < until:
        turn += 1
        began = time.perf_counter()
        try:
            await face.call("submit_task", description=f"{number}-{turn}", executor="absent")
        except (FaceLost, Refused) as error:
            errors.append(repr(error))
        else:
            calls.append((time.perf_counter() - began) * 1000)
        await anyio.sleep(PAUSE)


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) / 1e6


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--faces", type=int, default=FACES)
    asked = parser.parse_args()
    return on_stage(partial(play, faces=asked.faces, seconds=asked.seconds))


if __name__ == "__main__":
    sys.exit(main())

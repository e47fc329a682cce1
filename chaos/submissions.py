"""A thousand submissions by twenty clients that die at random and ask again with the same key: exactly 1,000 tasks."""

import argparse
import random
import sys
from contextlib import suppress
from functools import partial

import anyio

from chaos.face import Face, FaceLost
from chaos.stage import on_stage, say
from chaos.world import World

CLIENTS, SUBMISSIONS = 20, 1000
DEATHS = 0.05
"""How likely it is that the face dies while a submission is on its way."""
DYING = 0.02
"""Seconds within which it does: before the write, in it, or before the answer."""


async def play(here: World, *, submissions: int) -> bool:
    """Submit everything; returns whether each key has one task, and no task is without a key."""
    deaths = [0]
    async with anyio.create_task_group() as clients:
        for number in range(CLIENTS):
            clients.start_soon(_client, here, number, submissions // CLIENTS, deaths)
    tasks = here.rows("select count(*) n, count(distinct id) ids from tasks")[0]
    told = len(set(here.acked.values()))
    asked = submissions // CLIENTS * CLIENTS
    say(f"{asked} submissions by {CLIENTS} clients, {deaths[0]} deaths: {tasks['n']} tasks, {told} told")
    return tasks["n"] == told == len(here.acked) == asked


async def _client(here: World, number: int, turns: int, deaths: list[int]) -> None:
    face = here.open_face()
    for turn in range(turns):
        key = f"{number}-{turn}"
        while key not in here.acked:
            with suppress(FaceLost):
                async with anyio.create_task_group() as tasks:
                    if random.random() < DEATHS and face.process is not None:
                        deaths[0] += 1
                        tasks.start_soon(_die, face)
                    await _submit(here, face, key)


async def _submit(here: World, face: Face, key: str) -> None:
    with suppress(FaceLost):
        answer = await face.call("submit_task", description=f"task {key}", executor="absent", idempotency_key=key)
        here.acked[key] = answer["task_id"]


async def _die(face: Face) -> None:
    await anyio.sleep(random.uniform(0, DYING))
    if face.process is not None and face.process.returncode is None:
        face.process.kill()


def main() -> int:
    """Submit; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=SUBMISSIONS)
    return on_stage(partial(play, submissions=parser.parse_args().submissions))


if __name__ == "__main__":
    sys.exit(main())

"""A public incident replayed in real time: 200 tasks queued, 8 running, all clouds dark for two minutes, default times.

That incident failed 35 queued turns in 83 seconds. Here nothing may fail, no fault may be counted, the clouds may be
looked at once an interval, and all has to complete unattended. What they were asked is counted by their own logs.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
from fastmcp import Client

from chaos.stage import say
from omni_mcp.demo.cloud import CHAT, DROP, MODELS, OK
from omni_mcp.demo.faults.books import Books, read_books
from omni_mcp.demo.faults.gateway import LIVELINESS
from omni_mcp.demo.faults.stage import CLOUDS, FaultStage, open_all, staged_faults
from omni_mcp.servers_file.fault_handler import FaultHandler
from omni_mcp.task import Mode, TaskState

BEFORE, RUNNING, QUEUED = 3, 8, 200
ALL = BEFORE + RUNNING + QUEUED
THINKS = 20.0
"""Seconds that the cloud takes over the tasks that run when it goes dark."""
QUICK = 0.2
"""Seconds that it takes over the queued ones."""
USUAL = FaultHandler()
EARLIEST = USUAL.check_interval * 0.9
"""Seconds between two looks at least: the interval and its jitter."""
BACK = USUAL.check_interval * 1.1 + (USUAL.recover_rounds - 1) * USUAL.recover_spacing
"""Seconds until a returned cloud is believed: one interval, and the rounds of recovery."""
RAMP = USUAL.check_interval * 3
"""Seconds until eight tasks may run at a time again: twice as many with each interval."""
SETTLE = 600.0
"""Seconds after which it is given up."""
SLACK = 1.0
"""Seconds by which two clocks and a busy machine may differ."""

Finding = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """When it was dark, in seconds since 1970, and what the books said then."""

    dark: float
    bright: float
    held: Mapping[str, int]
    """How many tasks were in each state at its end."""


async def submit(client: Client[Any], seconds: float, count: int, *, first: int) -> None:
    """Hand off tasks over which the cloud takes so long."""
    for number in range(first, first + count):
        text = f'SCRIPT:[{{"text": "Task {number} is done.", "sleep": {seconds}}}]'
        await client.call_tool("submit_task", {"description": text, "type": "general"})


async def replay(stage: FaultStage, *, dark_for: float) -> Night:
    """Let the incident happen."""
    await open_all(stage)
    async with stage.client() as client:
        await submit(client, 0, BEFORE, first=0)  # what worked a moment ago speaks for the clouds
        await _called(stage, BEFORE)
        await submit(client, THINKS, RUNNING, first=BEFORE)
        await _called(stage, BEFORE + RUNNING)
        await submit(client, QUICK, QUEUED, first=BEFORE + RUNNING)
        await stage.sky(DROP)
        dark = time.time()
        say(f"{RUNNING} tasks run, {QUEUED} are queued; all clouds go dark for {dark_for:.0f} s")
        await anyio.sleep(dark_for)
        held = _states(read_books(stage.home.ledger))
        await stage.sky(OK)
        bright = time.time()
        say(f"the clouds return; meanwhile: {held}")
        with anyio.move_on_after(SETTLE):
            while _states(read_books(stage.home.ledger)) != {TaskState.COMPLETED: ALL}:
                await anyio.sleep(1)
    return Night(dark=dark, bright=bright, held=held)


async def _called(stage: FaultStage, times: int) -> None:
    """Wait until the cloud was called so often."""
    while sum(line["path"] == CHAT for line in stage.logged("openai")) < times:
        await anyio.sleep(0.05)


def _states(books: Books) -> dict[str, int]:
    states = [task["state"] for task in books.tasks.values()]
    return {state: states.count(state) for state in sorted(set(states))}


def findings(stage: FaultStage, night: Night) -> Iterator[Finding]:
    """Judge it, and print the figures; yields what is not as it has to be."""
    books = read_books(stage.home.ledger)
    yield from _of_tasks(books)
    yield from _of_modes(books, night)
    yield from _of_looks(stage, books, night)
    yield from _of_the_way_back(books, night)


def _of_tasks(books: Books) -> Iterator[Finding]:
    states, faults = _states(books), sum(task["faults"] for task in books.tasks.values())
    attempts = [task["attempt"] for task in books.tasks.values()]
    say(f"{states}, {faults} faults, {sum(attempts)} attempts in all, {max(attempts)} at most for one task")
    if states != {TaskState.COMPLETED: ALL}:
        yield f"not all completed: {states}"
    if faults:
        yield f"{faults} faults counted"


def _of_modes(books: Books, night: Night) -> Iterator[Finding]:
    way = [change.mode for change in books.changes]
    say(f"mode: {', '.join(f'{change.mode} {change.at - night.dark:+.1f} s' for change in books.changes)} (from dark)")
    if way != [Mode.BRAINSTEM, Mode.NORMAL]:
        yield f"the mode went another way: {way}"
    if books.notices != way:
        yield f"{len(books.notices)} notices of {len(way)} changes"


def _of_looks(stage: FaultStage, books: Books, night: Night) -> Iterator[Finding]:
    """No door is knocked at more than once an interval, from the round that decided until the clouds are back."""
    begin = next((change.at for change in books.changes), night.bright) + SLACK
    doors: dict[str, Sequence[float]] = {name: _looks(stage.logged(name), MODELS) for name in CLOUDS}
    doors |= {} if stage.proxy else {"LiteLLM (stand-in)": _looks(stage.looks, LIVELINESS)}
    for name, looks in doors.items():
        inside = [at for at in looks if begin < at < night.bright]
        gaps = [after - before for before, after in pairwise(inside)]
        shortest = f", {min(gaps):.1f} s apart at least" if gaps else ""
        say(f"{name}: {len(inside)} looks in {night.bright - begin:.0f} s of brainstem{shortest}")
        if gaps and min(gaps) < EARLIEST - SLACK:
            yield f"{name} was looked at again after {min(gaps):.1f} s"
        if not inside and night.bright - begin > 2 * USUAL.check_interval:
            yield f"{name} was not looked at"


def _looks(lines: Sequence[Mapping[str, Any]], path: str) -> Sequence[float]:
    return [line["at"] for line in lines if line["path"] == path]


def _of_the_way_back(books: Books, night: Night) -> Iterator[Finding]:
    begun = [row["began_at"] for row in books.attempts]
    dark = [at for start, end in books.spans(Mode.BRAINSTEM) for at in begun if start < at < end]
    met = sum(night.dark < at < night.bright for at in begun)
    say(f"{met} attempts were begun in the dark before the mode knew, {len(dark)} in brainstem")
    if dark:
        yield f"{len(dark)} attempts begun in brainstem"
    first = min((at - night.bright for at in begun if at > night.bright), default=SETTLE)
    full = next((at - night.bright for at in begun if at > night.bright and _at_work(books, at) >= RUNNING), SETTLE)
    last = max((row["at"] - night.bright for row in books.states if "→ completed" in row["text"]), default=SETTLE)
    say(f"after the clouds' return: first task {first:.1f} s, {RUNNING} at a time {full:.1f} s, all over {last:.1f} s")
    if first > BACK + SLACK:
        yield f"the first task began {first:.1f} s after the clouds' return, not within {BACK:.0f} s"
    if full > first + RAMP + SLACK:
        yield f"{RUNNING} tasks ran at a time only {full - first:.1f} s after the first one"


def _at_work(books: Books, now: float) -> int:
    return sum(row["began_at"] <= now < row["ended_at"] for row in books.attempts)


async def play(root: Path, *, dark_for: float) -> Sequence[Finding]:
    """Replay it in a home of its own, then judge it."""
    async with staged_faults(root, fast=False) as stage:
        say(f"LiteLLM: {stage.proxy or 'a stand-in for its proxy'}; intervals as they come: {USUAL.check_interval:g} s")
        night = await replay(stage, dark_for=dark_for)
        found = list(findings(stage, night))
    return [*found, *(f"left behind: {process}" for process in stage.left)]


def main() -> int:
    """Replay; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dark", type=float, default=120, help="seconds")
    root = Path(tempfile.mkdtemp(prefix="omni-outage-"))
    found = anyio.run(partial(play, root, dark_for=parser.parse_args().dark))
    for finding in found:
        say(f"✗ {finding}")
    if found:
        say(f"broken; see {root}")
        return 1
    shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

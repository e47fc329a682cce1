"""A world for one measurement: its seed-less frame, and how figures are printed."""

import logging
import os
import shutil
import signal
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import anyio

from chaos.guard import guarded
from chaos.world import World, world


def prepare() -> None:
    """Have SIGTERM and Ctrl-C end us at once: the guard ends the rest."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _abort)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of children that were reaped before it looked


def _abort(number: int, _frame: object) -> None:
    say("aborted")
    os._exit(128 + number)


def on_stage(play: Callable[[World], Awaitable[bool]]) -> int:
    """Run a play in a home of its own; returns the exit code, and keeps the home when it went badly."""
    prepare()
    home = Path(tempfile.mkdtemp(prefix="omni-chaos-"))
    with guarded([home]), world(home) as here:
        went_well = anyio.run(_played, play, here)
    if went_well:
        shutil.rmtree(home, ignore_errors=True)
    else:
        say(f"broken; see {home}")
    return 0 if went_well else 1


async def _played(play: Callable[[World], Awaitable[bool]], here: World) -> bool:
    try:
        return await play(here)
    finally:
        with anyio.CancelScope(shield=True):
            for face in here.faces:
                await face.close()


def quantiles(values: Sequence[float], unit: str) -> str:
    """Return the middle, the 99th percentile and the longest of some values."""
    if len(values) < 2:
        return f"{values[0]:.3f} {unit}"
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.3f} {unit}, p99 {cuts[98]:.3f} {unit}, longest {max(values):.3f} {unit}"


def say_found(found: Mapping[str, Sequence[str]]) -> None:
    """Print of each invariant how often it was broken, and some of that."""
    for name, findings in found.items():
        say(f"  {'✗' if findings else '✓'} {len(findings):3} {name}")
        for finding in findings[:5]:
            say(f"        {finding}")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)

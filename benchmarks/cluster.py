"""What a fleet carries: 1, 2 and 3 engines on one PostgreSQL and one Redis, beside one engine on its file.

The engines are processes as `omni-mcp engine run` starts them, each with a home, an executor and a machine label of its
own. Fifty callers submit 400 tasks to nobody; then the engines come and work them off; then tasks come one by one, and
what passes until each of them begins is read in the ledger. A machine of two cores has to carry everything: engines,
executors, PostgreSQL, Redis. More engines than cores can only show that they do not stand in each other's way.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from benchmarks import servers
from benchmarks.closed_loop import CALLERS, TEXT, percentiles
from benchmarks.load import settings
from benchmarks.rows import pair
from omni_mcp.dispatch.base import Dispatch
from omni_mcp.dispatch.choose import VARIABLE as DISPATCH
from omni_mcp.dispatch.choose import open_dispatch
from omni_mcp.home import Home
from omni_mcp.ledger.base import Ledger
from omni_mcp.ledger.opened import VARIABLE as LEDGER
from omni_mcp.ledger.opened import open_ledger
from omni_mcp.task import Attempt, TaskSpec, new_id

BACKLOG = 400
"""Tasks that wait for the engines; of the first quarter the end is not timed, while executors start."""
ALONE = 60
"""Tasks that come one by one."""
LIMIT = 300.0
"""Seconds for all of them to be over."""
LOOK = timedelta(seconds=1)
SPEC = TaskSpec(description=TEXT, type="bench")
FLEETS = (1, 2, 3)
"""How many engines there are."""
Found = Mapping[str, float]


@contextmanager
def engines(folder: Path, number: int, shared: Mapping[str, str]) -> Generator[None]:
    """Run engines until the end of the body."""
    with ExitStack() as stack:
        for each in range(number):
            home = folder / f"engine{each}" if shared else folder
            home.mkdir(exist_ok=True)
            env = {"PATH": os.environ["PATH"], "HOME": str(home), "OMNI_HOME": str(home), **shared}
            env |= {"OMNI_CONFIG": str(Home(folder).servers), "OMNI_MACHINE": f"machine{each}"}
            argv = [sys.executable, "-m", "omni_mcp", "engine", "run"]
            process = stack.enter_context(
                subprocess.Popen(argv, env=env, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
            )
            stack.callback(process.terminate)
        yield


async def submitted(ledger: Ledger, dispatch: Dispatch) -> str:
    """Hand over a task as a face does; returns its id once it is durable."""
    task_id = new_id()
    taken = await ledger.submit(SPEC, task_id=task_id, choice=None)
    dispatch.nudge(taken.engine.address if taken.engine is not None else None, task_id)
    return task_id


async def backlog(ledger: Ledger, dispatch: Dispatch) -> Sequence[str]:
    """Submit what waits for the engines."""
    left, ids = iter(range(BACKLOG)), list[str]()

    async def caller() -> None:
        for _ in left:
            ids.append(await submitted(ledger, dispatch))

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return ids


async def over(ledger: Ledger) -> None:
    """Wait until nothing is open."""
    async with asyncio.timeout(LIMIT):
        while True:
            mark = await ledger.watermark()
            if not await ledger.counts():
                return
            await ledger.changed(mark, timeout=LOOK)


async def last_attempts(ledger: Ledger, ids: Sequence[str]) -> Sequence[Attempt]:
    """Return the one attempt of each task."""
    found = [await ledger.attempts(task_id, limit=2) for task_id in ids]
    assert all(len(attempts) == 1 for attempts in found), "a task was run twice"
    return [attempt for [attempt] in found]


async def measured(folder: Path, number: int, shared: Mapping[str, str]) -> Found:
    """Measure a fleet of so many engines; without a shared ledger one engine on its file."""
    home = Home(folder)
    home.servers.write_text(settings(), encoding="utf-8")
    home.dotenv.write_text("".join(f"{name}={value}\n" for name, value in shared.items()), encoding="utf-8")
    async with open_ledger(home) as ledger:
        dispatch = open_dispatch(shared.get(DISPATCH), machine="clients")
        async with dispatch.calling(ledger.look):
            await submitted(ledger, dispatch)
            began = time.perf_counter()
            ids = await backlog(ledger, dispatch)
            took = time.perf_counter() - began
            with engines(folder, number, shared):
                await over(ledger)
                runs = await last_attempts(ledger, ids)
                alone = list[float]()
                for _ in range(ALONE):
                    task_id = await submitted(ledger, dispatch)
                    await over(ledger)
                    [run] = await last_attempts(ledger, [task_id])
                    since = (await ledger.find(task_id, principal=None)).created_at
                    alone.append((run.began_at - since).total_seconds() * 1000)
    return {"submits": BACKLOG / took, "tasks": rate(runs), **percentiles(alone)}


def rate(runs: Sequence[Attempt]) -> float:
    """Return how many runs end in a second once the engines are warm: without the first quarter."""
    ends = sorted(run.ended_at for run in runs if run.ended_at is not None)[len(runs) // 4 :]
    return (len(ends) - 1) / (ends[-1] - ends[0]).total_seconds()


def on_a_file() -> Found:
    """Measure one engine on its file."""
    with tempfile.TemporaryDirectory(prefix="omni-alone-") as folder:
        return asyncio.run(measured(Path(folder), 1, {}))


def fleet(number: int) -> Found:
    """Measure so many engines on servers of their own."""
    with (
        servers.postgres() as ledger,
        servers.redis(fsync="everysec") as dispatch,
        tempfile.TemporaryDirectory(prefix="omni-fleet-") as folder,
    ):
        return asyncio.run(measured(Path(folder), number, {LEDGER: ledger, DISPATCH: dispatch}))


def main() -> list[dict[str, Any]]:
    """Return the lines of the table; none where the servers are not installed."""
    if not servers.REDIS or not servers.POSTGRES:
        return []
    alone = on_a_file()
    names = {
        "submits": ("durable submits, 50 callers", "submits/s"),
        "tasks": ("tasks done", "tasks/s"),
        "p50": ("from the submit until it begins, p50", "ms"),
        "p99": ("from the submit until it begins, p99", "ms"),
    }
    told: list[dict[str, Any]] = []
    for number in FLEETS:
        found = fleet(number)
        who = f"{number} engine{'s' if number > 1 else ''} on PostgreSQL"
        told += [
            {"name": f"{who}: {name}", "unit": unit, **pair(found[key], alone[key])}
            for key, (name, unit) in names.items()
        ]
    return told


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))

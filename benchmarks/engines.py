"""Durable tasks side by side: our ledger and engine in one process, docket on Redis, procrastinate on PostgreSQL.

Fifty callers hand over a task each, wait until it runs, and hand over the next (`closed_loop.py`). The engines take
turns, each on a fresh store with a server of its own. Ours is told twice: the ledger's four verbs alone (submit, begin,
bind, finish), and the whole engine over them with an executor that answers at once.

Not like for like: docket and procrastinate are made for many machines, with a server between them and their workers;
ours is one process on one file, which is why it is quick, and what it cannot do is said in docs/scale.md. `our ledger`
writes a task's whole life and hands it to nobody: it says what the record costs, `our engine` what all of it does.
docket keeps state and result for 15 minutes in Redis' memory, and with `appendfsync everysec` (where nothing is said)
may forget a second of what it acknowledged; procrastinate keeps no result; ours keeps everything, history included, and
has it on disk before it answers. docket is measured as FastMCP runs it, whose worker looks each 50 ms, and looking each
5 ms, the quickest that we found. All are far quicker than the agents that do the tasks.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from benchmarks import ledger, servers
from benchmarks.closed_loop import CALLERS, TEXT, Runs, measured
from benchmarks.empty import ROOT
from benchmarks.rows import pair
from omni_mcp.contract import RunRequest
from omni_mcp.dispatch.local import LocalDoorbell
from omni_mcp.executors.executor import OnProgress, OnQuestion
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.task import Completed, Outcome, TaskSpec
from omni_mcp.testing import FakeExecutor, engine_for

ROUNDS = 3
"""Of each, in turns; the middle one is told."""
GOAL = 4.0
"""Times docket, at 50 callers."""
DOCKETS = {
    "docket (as FastMCP sets it)": ("everysec", 50),
    "docket (at its quickest)": ("everysec", 5),
    "docket (at its quickest, appendfsync always)": ("always", 5),
}
"""How Redis syncs, and how many milliseconds docket's worker sleeps while its slots are taken (by itself: 250)."""
PROCRASTINATE = ROOT / ".cache/procrastinate/bin/python"
LIVES, ENGINE = "our ledger", "our engine"
Found = Mapping[str, float]


class AtOnce(FakeExecutor):
    """Says that a task runs, and is done with it."""

    def __init__(self, runs: Runs) -> None:
        row = ExecutorRow(url="http://127.0.0.1:9/never-opened", handles=("bench",), parallel=64)
        super().__init__(row=row, outcome=Completed(text=TEXT))
        self._runs = runs

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        """Run one attempt."""
        self._runs.ran(request.task_id)
        return await super().run(request, on_progress, on_question)


async def lives() -> Found:
    """Return how many whole lives a second our ledger writes down."""
    with tempfile.TemporaryDirectory() as folder:
        async with ledger.ours(Path(folder)) as life:
            await ledger.per_second(life)
            return {"rate": await ledger.per_second(life)}


async def engine() -> Found:
    """Measure our engine on our ledger."""
    runs, bell = Runs(), LocalDoorbell()
    spec = TaskSpec(description=TEXT, type="bench")
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteLedger(Path(folder, "ledger.db")) as store, anyio.create_task_group() as tasks:
            ours = engine_for(store, AtOnce(runs), home=Path(folder), doorbell=bell)

            async def put(task_id: str) -> None:
                await store.submit(spec, task_id=task_id, choice=None)
                bell.ring()

            tasks.start_soon(ours.run)
            found = await measured(runs, put)
            tasks.cancel_scope.cancel()
    return found


def alone(server: Callable[[], AbstractContextManager[str]], python: Path | str, module: str, *words: str) -> Found:
    """Measure another engine in a process of its own, on a server of its own."""
    with server() as url:
        argv = [python, "-m", module, url, *words]
        return json.loads(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def contenders() -> Mapping[str, Callable[[], Found]]:
    """Return who is here to be measured."""
    found: dict[str, Callable[[], Found]] = {
        LIVES: lambda: asyncio.run(lives()),
        ENGINE: lambda: asyncio.run(engine()),
    }
    if servers.REDIS:
        for name, (fsync, check) in DOCKETS.items():
            server = partial(servers.redis, fsync=fsync)
            found[name] = partial(alone, server, sys.executable, "benchmarks.docket_alone", str(check))
    if servers.POSTGRES and PROCRASTINATE.exists():
        name = "procrastinate (PostgreSQL)"
        found[name] = partial(alone, servers.postgres, PROCRASTINATE, "benchmarks.procrastinate_alone")
    return found


def rows(rounds: Sequence[Mapping[str, Found]]) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    middle = {
        (who, what): statistics.median(each[who][what] for each in rounds)
        for who, found in rounds[0].items()
        for what in found
    }
    mine, whole = middle[LIVES, "rate"], middle[ENGINE, "rate"]
    told: list[dict[str, Any]] = [
        {"name": f"{LIVES}: submit, begin, bind, finish, {CALLERS} callers", "unit": "tasks/s", "ours": mine},
        {"name": f"{ENGINE}, {CALLERS} callers", "unit": "tasks/s", "ours": whole},
    ]
    for who, found in list(rounds[0].items())[2:]:
        goal = {"at_least": GOAL} if "docket" in who else {}
        told.append({"name": f"{LIVES} against {who}", "unit": "tasks/s", **pair(mine, middle[who, "rate"]), **goal})
        told.append({"name": f"{ENGINE} against {who}", "unit": "tasks/s", **pair(whole, middle[who, "rate"])})
        if "drained" in found:
            full = pair(whole, middle[who, "drained"])
            told.append({"name": f"{ENGINE} against {who}, its queue full before it begins", "unit": "tasks/s", **full})
        for what in ("p50", "p99"):
            start = pair(middle[ENGINE, what], middle[who, what])
            told.append({"name": f"from the call until it runs, against {who}, {what}", "unit": "ms", **start})
    return told


def main() -> list[dict[str, Any]]:
    """Return the lines of the table."""
    here = contenders()
    return rows([{who: measure() for who, measure in here.items()} for _ in range(ROUNDS)])


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))

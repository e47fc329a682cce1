"""What a million finished tasks cost: lives of tasks, and what people look at, on a full ledger and on an empty one.

`python -m benchmarks.full_ledger [TASKS]`. The full file is filled by SQL with whole lives (400 characters asked and
answered, an attempt, four lines of history) and then opened by the ledger as any other. Fifty callers live through
tasks on the full one and on an empty one in turns, as `benchmarks/ledger.py` has them; then each look is taken a few
times on both. `beside it` is the empty ledger.
"""

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ledger import CALLERS, CHOICE, DONE, SPEC, life_on, per_second
from benchmarks.rows import pair
from omni_mcp.ledger.migrations import migrate
from omni_mcp.ledger.rows import stamp
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import LOCAL, SystemClock, TaskState, new_id

TASKS = 1_000_000
ROUNDS = 5
LOOKS = 50
GOAL = 1.3
"""Times what it costs on an empty ledger, at the most."""
FILL = (
    """
    with recursive numbers (i) as (select 1 union all select i + 1 from numbers where i < :tasks)
    insert into tasks (id, principal, type, state, open, priority, since, created_at, updated_at, attempt, requested,
        served_by, model, endpoint, run_id, reason, title)
    select lower(hex(randomblob(12))), 'local', :type, 'completed', 0, 0, :now + i, :now + i, :now + i, 1, :executor,
        :executor, :model, 'relay', lower(hex(randomblob(12))), :reason, :title
    from numbers
    """,
    "insert into payloads (task, description) select n, :description from tasks",
    "insert into results (task, text) select n, :result from tasks",
    """
    insert into attempts (task, number, owner, executor, model, endpoint, run_id, began_at, bound_at, ended_at, "end")
    select n, 1, 'bench', served_by, model, endpoint, run_id, since, since, since, state from tasks
    """,
    """
    insert into events (task, seq, at, attempt, kind, text)
    select n, seq, since, 1, 'state', move from tasks, (
        select 2 as seq, 'idle → dispatching' as move union all select 3, 'dispatching → executing'
        union all select 4, 'executing → completed'
    )
    """,
)
"""The first line of each history the trigger writes."""


def fill(file: Path, tasks: int) -> None:
    """Make a ledger in which so many tasks are over."""
    values = {
        "tasks": tasks,
        "now": stamp(SystemClock().now()),
        "type": SPEC.type,
        "executor": CHOICE.executor,
        "model": CHOICE.model,
        "reason": CHOICE.reason,
        "title": SPEC.description[:200],
        "description": SPEC.description,
        "result": DONE.text,
    }
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.executescript("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -200000")
        migrate(db)
        for statement in FILL:
            db.execute(statement, values)


async def milliseconds(look: Callable[[], Awaitable[object]]) -> float:
    """Return how long a look takes, in the middle."""
    took: list[float] = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        await look()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def compared(full: SqliteLedger, empty: SqliteLedger) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    lives = {ledger: partial(life_on, ledger) for ledger in (full, empty)}
    rounds = [[1e6 / await per_second(life) for life in lives.values()] for _ in range(ROUNDS + 1)][1:]
    ours, other = (statistics.median(each) for each in zip(*rounds, strict=True))
    lived = {"name": f"a life, {CALLERS} callers", "unit": "µs", **pair(ours, other), "at_most": GOAL}
    found = [lived]
    for name, look in LOOKED.items():
        both = pair(*[await milliseconds(partial(look, ledger)) for ledger in (full, empty)])
        found.append({"name": name, "unit": "ms", **both})
    return found


async def _status(ledger: SqliteLedger) -> None:
    task_id = new_id()
    await ledger.submit(SPEC, task_id=task_id, choice=CHOICE)
    await ledger.find(task_id, principal=LOCAL)


LOOKED: dict[str, Callable[[SqliteLedger], Awaitable[object]]] = {
    "one caller: submit, and look at it": _status,
    "the newest twenty tasks": lambda ledger: ledger.page(principal=LOCAL),
    "the newest twenty that failed or completed": lambda ledger: ledger.page(
        principal=LOCAL, states=(TaskState.COMPLETED, TaskState.FAILED)
    ),
    "how many are open": lambda ledger: ledger.counts(),
    "whom to begin": lambda ledger: ledger.claimable(limit=10),
}


async def measured(tasks: int) -> list[dict[str, Any]]:
    """Fill one, open both, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "full.db", tasks)
        async with SqliteLedger(folder / "full.db") as full, SqliteLedger(folder / "empty.db") as empty:
            return [
                {**row, "name": f"with {tasks:,} tasks that are over: {row['name']}"}
                for row in await compared(full, empty)
            ]


def main(tasks: int = TASKS) -> list[dict[str, Any]]:
    """Measure; returns the lines of the table."""
    return asyncio.run(measured(tasks))


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:])), indent=2, ensure_ascii=False))

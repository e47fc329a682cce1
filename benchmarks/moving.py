"""How long a ledger takes from its file into PostgreSQL: 100,000 tasks that are over, and 50 that run.

`python -m benchmarks.moving [TASKS]` writes the file by the verbs, moves it, and has an engine's verbs end what ran.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from benchmarks.ledger import CHOICE, DONE, SPEC
from omni_mcp.home import Home
from omni_mcp.ledger.postgres.store import PostgresLedger
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.moving import move
from omni_mcp.task import TaskState, new_id
from tests.postgres import a_server

TASKS = 100_000
RUNNING = 50
CALLERS = 200


async def live(ledger: SqlLedger, *, to_its_end: bool = True) -> None:
    """Bring a task to its end, or into the middle of its run."""
    task_id = new_id()
    await ledger.submit(SPEC, task_id=task_id, choice=CHOICE)
    await ledger.begin(task_id, owner="before")
    await ledger.bind(task_id, attempt=1, owner="before", choice=CHOICE, endpoint="none", run_id=task_id)
    if to_its_end:
        await ledger.finish(task_id, attempt=1, owner="before", state=TaskState.COMPLETED, outcome=DONE)


async def filled(ledger: SqlLedger, tasks: int) -> None:
    """Write that many tasks."""
    left = iter(range(tasks))

    async def caller() -> None:
        for _ in left:
            await live(ledger)

    async with anyio.create_task_group() as callers:
        for _ in range(CALLERS):
            callers.start_soon(caller)
    for _ in range(RUNNING):
        await live(ledger, to_its_end=False)


async def measured(folder: Path, url: str, tasks: int) -> None:
    """Fill, move, and go on."""
    home = Home(folder)
    async with SqliteLedger(home.ledger) as before:
        await filled(before, tasks)
    size = home.ledger.stat().st_size
    began = time.perf_counter()
    moved = await run_sync(move, home, url)
    took = time.perf_counter() - began
    print(f"{moved.tasks} tasks, {size / (1 << 20):.0f} MiB: {took:.1f} s, {moved.tasks / took:.0f} tasks/s")
    async with PostgresLedger(url, home=folder) as after:
        held = await after.held()
        assert await after.bury("before")
        for task in held:
            await after.release(task.id, attempt=1, owner="before", text="its engine died")
            await after.begin(task.id, owner="after")
            await after.bind(task.id, attempt=2, owner="after", choice=CHOICE, endpoint="none", run_id=task.id)
            await after.finish(task.id, attempt=2, owner="after", state=TaskState.COMPLETED, outcome=DONE)
        over = (await after.measures()).over
        print(f"{len(held)} were running and went on; now {dict(over)}, open: {await after.counts()}")


def main() -> None:
    """Measure."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else TASKS
    config = "listen_addresses = '127.0.0.1'\nfsync = on\n"
    with a_server(config=config) as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measured(Path(folder), server.url(), tasks))


if __name__ == "__main__":
    main()

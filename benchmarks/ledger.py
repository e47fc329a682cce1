"""What group commit is worth: whole lives of tasks at `synchronous=FULL`, ours against plain aiosqlite awaits.

Both write the same rows by the same statements into the same schema. The other one does what everybody writes first:
BEGIN, the statements and COMMIT as separate awaits on one connection, under a lock.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import anyio

from benchmarks.rows import pair
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import Ledger
from omni_mcp.ledger.migrations import migrate
from omni_mcp.ledger.rows import stamp
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.ledger.writer import PRAGMAS
from omni_mcp.task import Choice, Completed, SystemClock, TaskSpec, TaskState, new_id

Values = Mapping[str, Any]

CALLERS = 50
SECONDS = 1.5
"""How long one round lasts."""
ROUNDS = 4
"""Rounds of each, taken in turns: A B A B …"""
GOAL = 5.0
SPEC = TaskSpec(description="x" * 400, type="coding")
CHOICE = Choice(executor="claude_code", requested="claude_code", model="auto-claude", reason="type 'coding' was given")
DONE = Completed(text="y" * 400)

Life = Callable[[], Awaitable[None]]
"""One task from submit to its end."""


async def per_second(life: Life) -> float:
    """Return how many lives a second all callers together get through."""
    lived = 0
    end = time.perf_counter() + SECONDS

    async def caller() -> None:
        nonlocal lived
        while time.perf_counter() < end:
            await life()
            lived += 1

    began = time.perf_counter()
    async with anyio.create_task_group() as callers:
        for _ in range(CALLERS):
            callers.start_soon(caller)
    return lived / (time.perf_counter() - began)


@asynccontextmanager
async def ours(folder: Path) -> AsyncGenerator[Life]:
    """Open our ledger; a life is four of its verbs."""
    async with SqliteLedger(folder / "ours.db") as ledger:
        await ledger.counts()
        yield partial(life_on, ledger)


async def life_on(ledger: Ledger) -> None:
    """Live a task's whole life."""
    task_id = new_id()
    submitted = await ledger.submit(SPEC, task_id=task_id, choice=CHOICE)
    await ledger.begin(task_id, owner="bench", claimed=submitted.task)
    await ledger.bind(task_id, attempt=1, owner="bench", choice=CHOICE, endpoint="relay", run_id=task_id)
    await ledger.finish(task_id, attempt=1, owner="bench", state=TaskState.COMPLETED, outcome=DONE)


class Plain:
    """A ledger as it is written first: one connection, a lock, one await for each statement."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self._lock = asyncio.Lock()

    async def submit(self, values: Values) -> None:
        """Insert the task and its payload."""
        async with self._transaction():
            row = await self._one(sql.NEW_TASK, values)
            await self._db.execute(sql.NEW_PAYLOAD, {**values, "n": row["n"]})
            await self._db.execute_fetchall(sql.ENGINE)

    async def move(self, guarded: str, values: Values, *then: str) -> None:
        """Make one guarded move, write what belongs to it and read the task back."""
        async with self._transaction():
            row = await self._one(guarded, values)
            place = {**values, "n": row["n"], "attempt": row["attempt"]}
            for statement in then:
                await self._db.execute(statement, place)
            await self._one(sql.TASK_BY_N, place)

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        async with self._lock:
            await self._db.execute("begin immediate")
            yield
            await self._db.execute("commit")

    async def _one(self, statement: str, values: Values) -> Any:
        (row,) = await self._db.execute_fetchall(statement, values)
        return row


@asynccontextmanager
async def plain(folder: Path) -> AsyncGenerator[Life]:
    """Open the plain ledger on the same schema; a life is the same four transactions."""
    file = folder / "plain.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        migrate(made)
    clock = SystemClock()
    async with aiosqlite.connect(file, isolation_level=None) as db:
        await db.executescript(PRAGMAS)
        db.row_factory = sqlite3.Row
        ledger = Plain(db)

        async def life() -> None:
            now = stamp(clock.now())
            values = {**VALUES, "id": new_id(), "now": now, "until": now}
            await ledger.submit({**values, "state": TaskState.IDLE})
            await ledger.move(sql.BEGIN, values, sql.NEW_ATTEMPT)
            await ledger.move(sql.BIND, {**values, "attempt": 1}, sql.BIND_ATTEMPT)
            await ledger.move(sql.FINISH, {**values, "attempt": 1}, sql.NEW_RESULT, sql.END_ATTEMPT)

        yield life


VALUES: Values = {
    **dict.fromkeys(("executor", "cwd", "structured", "notes", "error", "text", "model", "waiting_for", "deadline")),
    **dict.fromkeys(("budget_usd", "ancestors", "retry_of", "trace", "known")),
    "principal": SPEC.principal,
    "type": SPEC.type,
    "priority": 0,
    "requested": CHOICE.requested,
    "reason": CHOICE.reason,
    "title": SPEC.description[:200],
    "description": SPEC.description,
    "options": "{}",
    "owner": "bench",
    "state": TaskState.COMPLETED,
    "end": TaskState.COMPLETED,
    "endpoint": "relay",
    "run_id": "run",
    "result": DONE.text,
}


async def measured() -> tuple[float, float]:
    """Return the medians of lives a second, ours and the plain one's, taken in turns."""
    with tempfile.TemporaryDirectory() as folder:
        async with ours(Path(folder)) as good, plain(Path(folder)) as simple:
            rounds = [(await per_second(good), await per_second(simple)) for _ in range(ROUNDS)]
    return statistics.median(one for one, _ in rounds), statistics.median(other for _, other in rounds)


def main() -> list[dict[str, Any]]:
    """Measure; returns the line of the table."""
    mine, other = asyncio.run(measured())
    named = {"name": f"{CALLERS} callers: submit, begin, bind, finish", "unit": "tasks/s"}
    return [{**named, **pair(mine, other), "at_least": GOAL}]

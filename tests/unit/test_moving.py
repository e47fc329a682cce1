"""A ledger is moved from its file into PostgreSQL: all of it, once, and nobody goes on with the file."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from omni_mcp.errors import BadRequest, EngineRunning, IdempotencyConflict, LedgerUnusable
from omni_mcp.home import Home
from omni_mcp.ledger.base import Remembered
from omni_mcp.ledger.opened import open_ledger
from omni_mcp.ledger.owners import try_hold
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.moving import move
from omni_mcp.task import LOCAL, Choice, Completed, TaskState, Usage, WaitingFor, new_id
from omni_mcp.testing import START, a_spec, result_of
from tests.postgres import Server

pytestmark = pytest.mark.postgres
TASKS = 1000
CHOICE = Choice(executor="e", requested="e", model="m", reason="because")


@pytest.fixture
def place(postgres: Server) -> str:
    """An empty schema."""
    postgres.execute("drop schema if exists moved cascade; create schema moved")
    return postgres.url(schema="moved")


async def a_life(ledger: SqlLedger, number: int) -> None:
    """Bring a task as far as its number says."""
    spec = a_spec(description=f"task {number}", cwd="/x" if number % 2 else None, idempotency_key=f"k{number}")
    task_id = (await ledger.submit(spec, task_id=new_id(), choice=None)).task.id
    stage = number % 5
    if not stage:
        return
    await ledger.begin(task_id, owner="old")
    mine: dict[str, Any] = {"attempt": 1, "owner": "old"}
    if stage == 1:
        return
    await ledger.bind(task_id, **mine, choice=CHOICE, endpoint="none", run_id="r")
    usage = Usage(task_id=task_id, attempt=1, model="m", cost_usd=0.25)
    await ledger.close_usage(await ledger.open_usage(usage), usage)
    if stage == 2:
        await ledger.checkpoint(task_id, **mine, progress="half", snapshot={"at": number})
    elif stage == 3:
        await ledger.park(task_id, **mine, waiting_for=WaitingFor.CLOUD, text="no cloud")
    else:
        left = Remembered(asked=f"what of {number}", outcome="it rains a\0lot")
        done = Completed(text=f"done {number}", structured={"n": number})
        await ledger.finish(task_id, **mine, state=TaskState.COMPLETED, outcome=done, memory=left)


async def told(ledger: SqlLedger) -> Mapping[str, Any]:
    """Return what a ledger says of itself."""
    page = await ledger.page(principal=None, limit=TASKS * 2)
    some = [task.id for task in page.tasks[::97]]
    return {
        "tasks": [await ledger.find(task.id, principal=None) for task in page.tasks[::29]],
        "short": page.tasks,
        "events": {task_id: await ledger.events(task_id) for task_id in some},
        "attempts": {task_id: await ledger.attempts(task_id, limit=9) for task_id in some},
        "results": {task_id: await result_of(ledger, task_id) for task_id in some},
        "counts": await ledger.counts(),
        "costs": await ledger.costs("executor", since=START - timedelta(days=9999), principal=None, limit=9),
        "memories": {m.task_id for m in await ledger.memories("raining", principal=None, limit=TASKS)},
        "schedules": await ledger.schedules(),
        "changes": await ledger.mode_changes(limit=9),
    }


async def test_all_of_a_thousand_tasks_arrives_and_those_that_were_held_go_on(tmp_path: Path, place: str) -> None:
    home = Home(tmp_path)
    async with SqliteLedger(home.ledger) as before:
        async with anyio.create_task_group() as callers:
            for number in range(TASKS):
                callers.start_soon(a_life, before, number)
        await before.plan_schedule("s", plan="* * * * *")
        assert await before.lead("old", over=None, until=START)
        expected = await told(before)
    done = await run_sync(move, home, place)
    assert done.tasks == TASKS
    assert "no-real-secret" not in done.path
    await run_sync(home.dotenv.write_text, f"OMNI_LEDGER='{place}'\nOMNI_MACHINE=here\n")
    ledger = await run_sync(open_ledger, home)
    async with ledger:
        assert await told(ledger) == expected
        with pytest.raises(IdempotencyConflict):
            await ledger.submit(a_spec(idempotency_key="k7"), task_id=new_id(), choice=None)
        held = await ledger.held()
        assert len(held) == TASKS * 2 // 5
        assert await ledger.bury("old")
        for task in held[:3]:
            await ledger.release(task.id, attempt=1, owner="old", text="its engine died")
        await a_life(ledger, TASKS + 4)
        newest = (await ledger.page(principal=LOCAL, limit=1)).tasks[0]
        assert newest.state is TaskState.COMPLETED


async def test_nobody_goes_on_with_a_file_that_was_moved(tmp_path: Path, place: str) -> None:
    home = Home(tmp_path)
    async with SqliteLedger(home.ledger) as open_before:
        await a_life(open_before, 0)
        await run_sync(move, home, place)
        async with SqliteLedger(home.ledger) as opened_after:
            for call in (partial(a_life, opened_after, 1), opened_after.counts):
                with pytest.raises(LedgerUnusable, match="was moved to postgresql://omni:") as error:
                    await call()
                assert "OMNI_LEDGER" in (error.value.next_step or "")
        for sign in ("deleted or replaced", "was moved to"):
            with pytest.raises(LedgerUnusable, match=sign):
                await a_life(open_before, 1)
    with pytest.raises(LedgerUnusable, match="was moved to"):
        await run_sync(move, home, place)


async def test_a_ledger_is_not_moved_while_an_engine_runs_nor_into_one_that_has_tasks(
    tmp_path: Path, place: str
) -> None:
    home = Home(tmp_path)
    with pytest.raises(BadRequest, match="no ledger"):
        await run_sync(move, home, place)
    async with SqliteLedger(home.ledger) as ledger:
        await a_life(ledger, 0)
    held = await run_sync(try_hold, home.engine_lock)
    assert held is not None
    with held, pytest.raises(EngineRunning):
        await run_sync(move, home, place)
    await run_sync(move, home, place)
    other = Home(tmp_path / "other")
    async with SqliteLedger(other.ledger) as ledger:
        await a_life(ledger, 0)
        with pytest.raises(BadRequest, match="there are tasks"):
            await run_sync(move, other, place)
        assert await ledger.counts() == {TaskState.IDLE: 1}
        await a_life(ledger, 1)

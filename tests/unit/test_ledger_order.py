"""Who is claimed next, what keys remember, what is purged, and who upgrades a ledger."""

import sqlite3
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from omni_mcp.errors import IdempotencyConflict, LedgerOld, TaskPurged
from omni_mcp.ledger.base import EngineMark
from omni_mcp.ledger.owners import try_hold
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import LOCAL
from omni_mcp.testing import START, ToldClock, ledger_for_tests
from tests.unit.test_sqlite_ledger import begun, bound, finished, parked, refused, submitted

LEDGERS = "all"
"""What is said here holds for each kind of ledger."""

HOUR = timedelta(hours=1)


async def test_principals_take_turns_within_a_priority(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        many = [(await submitted(ledger, principal="many")).id for _ in range(5)]
        few = [(await submitted(ledger, principal="few")).id for _ in range(2)]
        urgent = (await submitted(ledger, principal="many", priority=1)).id
        order = [urgent, many[0], few[0], many[1], few[1], *many[2:]]
        assert [task.id for task in await ledger.claimable(limit=9)] == order
        assert [task.id for task in await ledger.claimable(limit=3)] == order[:3]


async def test_who_was_served_last_comes_last(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        for name in ("a", "b", "c"):
            for _ in range(3):
                await submitted(ledger, principal=name)
        served: list[str] = []
        for _ in range(9):
            (task,) = await ledger.claimable(limit=1)
            await begun(ledger, task.id)
            served.append(task.spec.principal)
        assert served == ["a", "b", "c"] * 3
        assert not await ledger.claimable(limit=1)


async def test_who_queues_at_a_full_executor_is_passed_over_until_it_is_free_or_forgotten(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        ids = [(await submitted(ledger)).id for _ in range(3)]
        await ledger.queue(ids[:2], executor="slow")
        assert [task.id for task in await ledger.claimable(limit=1, full=["slow", "other"])] == ids[2:]
        assert [task.id for task in await ledger.claimable(limit=9, full=["other"])] == ids
        await ledger.forget_queues()
        assert [task.id for task in await ledger.claimable(limit=9, full=["slow"])] == ids


async def test_a_new_engine_forgets_who_queued_where(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        task = await submitted(ledger)
        await ledger.queue([task.id], executor="slow")
        await ledger.announce(EngineMark(owner="e", pid=1, version="1", log="", address="", started_at=clock.now()))
        assert await ledger.claimable(limit=9, full=["slow"])


async def test_a_repeat_says_the_same_of_deadline_and_after(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        one, other = [(await submitted(ledger)).id for _ in range(2)]
        said = {"idempotency_key": "k", "deadline_said": "2h", "after": (one, other)}
        first = await submitted(ledger, deadline=START + HOUR, **said)
        clock.advance(HOUR * 3)
        repeat = await submitted(ledger, deadline=START + HOUR * 5, **{**said, "after": (other, one)})
        assert (repeat.id, repeat.spec.deadline) == (first.id, START + HOUR)
        for change in ({"deadline_said": "3h"}, {"after": (one,)}):
            with pytest.raises(IdempotencyConflict):
                await submitted(ledger, **{**said, **change})


async def test_a_key_outlives_its_task_and_does_not_have_it_done_again(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        task = await submitted(ledger, idempotency_key="k")
        await finished(ledger, await bound(ledger, task.id))
        clock.advance(HOUR)
        assert await ledger.purge(clock.now()) == 1
        with pytest.raises(TaskPurged, match="is completed and was purged"):
            await submitted(ledger, idempotency_key="k")
        with pytest.raises(IdempotencyConflict):
            await submitted(ledger, idempotency_key="k", description="other")


@pytest.mark.sqlite
async def test_only_what_was_over_before_is_purged_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        for _ in range(3):
            await finished(ledger, await bound(ledger))
        waits = await parked(ledger, await begun(ledger))
        clock.advance(HOUR)
        late = await finished(ledger, await bound(ledger))
        assert await ledger.purgeable(clock.now()) == 3
        assert [await ledger.purge(clock.now(), limit=2) for _ in range(3)] == [2, 1, 0]
        left = (await ledger.page(principal=LOCAL)).tasks
        assert [task.id for task in left] == [late.id, waits.id]
    tables = ("payloads", "results", "attempts", "events")
    counts = [await run_sync(counted, tmp_path / "ledger.db", table) for table in tables]
    assert counts == [2, 1, 2, 4 + 3]


def counted(path: Path, table: str) -> int:
    """Return how many rows a table has."""
    db = sqlite3.connect(path)
    try:
        return db.execute(f"select count(*) from {table}").fetchone()[0]
    finally:
        db.close()


@pytest.mark.sqlite
async def test_a_ledger_of_an_older_release_is_upgraded_only_while_no_engine_is_at_work(tmp_path: Path) -> None:
    path, lock = tmp_path / "ledger.db", tmp_path / "engine.lock"
    await run_sync(make_old, path)
    async with SqliteLedger(path, engine_lock=lock) as face:
        held = await run_sync(try_hold, lock)
        assert held is not None
        error = await refused(face, LedgerOld, "engine of an older release")
        assert error.retryable
        held.close()
        assert await submitted(face)


def make_old(path: Path) -> None:
    """Write a ledger as the first release did."""
    first = resources.files("omni_mcp.ledger").joinpath("sql/0001_initial.sql").read_text(encoding="utf-8")
    db = sqlite3.connect(path)
    db.executescript(f"{first}; pragma user_version = 1;")
    db.close()

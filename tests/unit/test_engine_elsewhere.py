"""Runs that live on elsewhere: left alone by an engine that stops, told to stop by a cancel or a deadline."""

from pathlib import Path

import anyio
import pytest

from omni_mcp.engine import Engine
from omni_mcp.ledger.base import ExecutorHealth
from omni_mcp.marks import MARK, Mark
from omni_mcp.task import (
    FailureClass,
    TaskState,
)
from omni_mcp.testing import (
    FakeExecutor,
    ToldClock,
    engine_for,
    ledger_for_tests,
    result_of,
)
from tests.unit.test_engine import ATTACHED, HOUR, dead, gone_quiet, held_by_another, look, stepped, submitted, until


async def test_what_runs_on_elsewhere_is_left_alone_by_an_engine_that_is_stopped(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(held=True, row=ATTACHED)
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await fake.begun()
            tasks.cancel_scope.cancel()
        task = await look(ledger, task_id)
        assert (task.state, task.run_id) == (TaskState.IDLE, fake.requests[0].run_id)
        assert fake.cancelled == []


async def test_what_runs_on_elsewhere_is_stopped_for_a_person(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(held=True, row=ATTACHED)
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            await ledger.request_cancel(task_id, reason=None)
            await engine.step(attempts)
        assert (await look(ledger, task_id)).state is TaskState.CANCELLED
        assert [ref.task_id for ref in fake.cancelled] == [task_id]


async def cannot_be_reached(engine: Engine) -> None:
    """Have the executor be one that does not start."""
    ill = ExecutorHealth(name="fake", usable=False, detail="it does not start", seen_at=engine.clock.now())
    await engine.ledger.report_health(ill)
    engine.marks.made["fake"] = Mark(trouble=ill.detail, until=engine.clock.now() + MARK)


@pytest.mark.parametrize("reachable", [True, False])
async def test_what_may_run_on_elsewhere_is_told_to_stop_although_its_task_only_waits(
    tmp_path: Path, reachable: bool
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = gone_quiet()
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.WAITING
        asked = await ledger.request_cancel(task_id, reason=None, lives=True)
        assert asked.state is TaskState.IDLE
        if not reachable:
            await cannot_be_reached(engine)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert task.state is TaskState.CANCELLED
        assert [ref.run_id for ref in fake.cancelled] == [fake.requests[0].run_id] * reachable
        assert len(fake.requests) == 1
        end = await result_of(ledger, task_id)
        assert end is not None
        assert ("may go on" in end.text) is not reachable


@pytest.mark.parametrize("reachable", [True, False])
async def test_what_may_run_on_elsewhere_is_told_to_stop_at_the_deadline_of_its_task_that_waits(
    tmp_path: Path, reachable: bool
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = gone_quiet()
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger, deadline=clock.now() + HOUR)
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.WAITING
        clock.advance(HOUR)
        if not reachable:
            await cannot_be_reached(engine)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert task.state is TaskState.FAILED
        assert [ref.run_id for ref in fake.cancelled] == [fake.requests[0].run_id] * reachable
        assert len(fake.requests) == 1
        end = await result_of(ledger, task_id)
        assert end is not None
        assert end.error is FailureClass.DEADLINE
        assert "came before attempt 2, which was only to stop its run" in end.text
        assert ("may go on" in end.text) is not reachable


async def test_a_deadline_reaches_the_run_elsewhere_although_its_executor_is_full(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = gone_quiet()
        fake.row = ATTACHED.model_copy(update={"parallel": 1})
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        late = await submitted(ledger, deadline=clock.now() + HOUR)
        await stepped(engine)
        fake.held = True
        await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun(2)
            clock.advance(HOUR / 2)
            await engine.step(attempts)
            assert (await look(ledger, late)).state is TaskState.IDLE
            clock.advance(HOUR / 2)
            await engine.step(attempts)
            await until(ledger, late, TaskState.FAILED)
            assert [ref.task_id for ref in fake.cancelled] == [late]
            fake.let_go()


async def test_who_asks_a_second_time_does_not_wait_for_the_other_side(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task_id = await submitted(ledger)
        await stepped(engine_for(ledger, gone_quiet(), home=tmp_path))
        await ledger.request_cancel(task_id, reason=None, lives=True)
        assert (await ledger.request_cancel(task_id, reason=None)).state is TaskState.CANCELLED


async def test_a_wish_to_cancel_that_its_engine_did_not_outlive_reaches_the_run_elsewhere(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=ATTACHED)
        task_id = await held_by_another(ledger)
        await ledger.request_cancel(task_id, reason=None)
        await stepped(engine_for(ledger, fake, home=tmp_path, is_over=dead))
        assert (await look(ledger, task_id)).state is TaskState.CANCELLED
        assert [ref.run_id for ref in fake.cancelled] == ["run-1"]
        assert fake.requests == []

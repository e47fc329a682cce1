"""The public fakes behave as what they stand for."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from omni_mcp.contract import RunRef, RunRequest
from omni_mcp.errors import ExecutorLost
from omni_mcp.executors.executor import Executor
from omni_mcp.ledger.base import Ledger
from omni_mcp.task import LOCAL, Clock, Completed, Failed, FailureClass, TaskState, new_id
from omni_mcp.testing import DONE, START, FakeExecutor, ToldClock, a_spec, engine_for, ledger_for_tests

REQUEST = RunRequest(task_id="t", attempt=1, run_id="r", description="x", cwd="/")


def test_a_told_clock_moves_only_when_told() -> None:
    clock: Clock = (told := ToldClock())
    assert clock.now() == clock.now() == START
    told.advance(timedelta(hours=1))
    assert clock.now() == START + timedelta(hours=1)
    assert clock.now().tzinfo is not None


def test_a_spec_is_changed_by_name() -> None:
    assert a_spec(priority=7) == a_spec(priority=7)
    assert a_spec(priority=7).priority == 7


async def test_a_ledger_opened_twice_is_one_ledger(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as here, ledger_for_tests(tmp_path) as there:
        port: Ledger = here
        task_id = (await port.submit(a_spec(), task_id=new_id(), choice=None)).task.id
        assert (await there.find(task_id, principal=LOCAL)).state is TaskState.IDLE


async def test_a_fake_executor_says_its_lines_and_answers_as_told() -> None:
    lines: list[str] = []
    fake = FakeExecutor(says=["one", "two"])
    port: Executor = fake
    assert await port.run(REQUEST, lines.append) == DONE
    failed = fake.outcome = Failed(kind=FailureClass.TASK, message="no")
    assert await port.run(REQUEST, lines.append) == failed
    assert lines == ["one", "two"] * 2
    assert fake.requests == [REQUEST] * 2


async def test_a_fake_executor_raises_what_it_was_told_to() -> None:
    with pytest.raises(ExecutorLost):
        await FakeExecutor(outcome=ExecutorLost("gone")).run(REQUEST, print)


async def test_a_held_fake_waits_until_it_is_let_go() -> None:
    fake = FakeExecutor(held=True)
    ended: list[object] = []

    async def run() -> None:
        ended.append(await fake.run(REQUEST, print))

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(run)
        with anyio.fail_after(5):
            await fake.begun(2)
        assert (fake.running, ended) == (2, [])
        fake.let_go()
    assert (fake.running, len(ended)) == (0, 2)


async def test_a_fake_executor_is_well_and_notes_who_is_cancelled() -> None:
    fake, ref = FakeExecutor(), RunRef(task_id="t", attempt=1, run_id="r")
    assert (await fake.health()).ok
    assert [tool.name for tool in await fake.tools()] == ["fake"]
    assert (await fake.cancel(ref)).stopped
    assert fake.cancelled == [ref]


async def test_an_engine_over_fakes_takes_the_first_as_default(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger, anyio.create_task_group() as attempts:
        first = FakeExecutor(name="first", outcome=Completed(text="mine"))
        engine = engine_for(ledger, first, FakeExecutor(name="second"), home=tmp_path)
        await ledger.submit(a_spec(type=None, cwd="/"), task_id=new_id(), choice=None)
        assert await engine.step(attempts)
        with anyio.fail_after(5):
            await first.begun()

"""What is claimed in one look begins together, and a busy engine forgets nobody who runs."""

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from omni_mcp.errors import LedgerBusy
from omni_mcp.ledger.base import Ledger
from omni_mcp.task import Task, TaskState
from omni_mcp.testing import FAKE_ROW, FakeExecutor, engine_for, ledger_for_tests
from tests.unit.test_engine import LIMIT, look, stepped, submitted

TOGETHER = 3


class Begins:
    """A ledger that answers no begin before all are asked for, and says of one that it is busy."""

    def __init__(self, ledger: Ledger, *, busy: str | None = None) -> None:
        self.asked: list[str] = []
        self._all = anyio.Event()
        self._ledger, self._busy = ledger, busy

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._ledger, verb)

    async def begin(self, task_id: str, **how: Any) -> Task | None:
        self.asked.append(task_id)
        if len(self.asked) == TOGETHER:
            self._all.set()
        await self._all.wait()
        if task_id == self._busy:
            self._busy = None
            raise LedgerBusy("held by somebody")
        return await self._ledger.begin(task_id, **how)


async def test_what_is_claimed_in_one_look_begins_together_in_its_order(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"parallel": TOGETHER}))
        begins = Begins(ledger)
        engine = engine_for(cast(Ledger, begins), fake, home=tmp_path)
        ids = [await submitted(ledger, priority=priority) for priority in (0, 5, 0, 10)]
        await stepped(engine)
        assert begins.asked == [ids[n] for n in (3, 1, 0)]
        assert len(fake.requests) == TOGETHER
        assert (await look(ledger, ids[2])).state is TaskState.IDLE


async def test_a_begin_that_fails_costs_those_beside_it_nothing(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"parallel": TOGETHER}))
        ids = [await submitted(ledger) for _ in range(TOGETHER)]
        engine = engine_for(cast(Ledger, Begins(ledger, busy=ids[0])), fake, home=tmp_path)
        async with anyio.create_task_group() as attempts:
            with pytest.raises(LedgerBusy):
                await engine.step(attempts)
        states = [(await look(ledger, task_id)).state for task_id in ids]
        assert states == [TaskState.IDLE, TaskState.COMPLETED, TaskState.COMPLETED]
        await stepped(engine)
        assert (await look(ledger, ids[0])).state is TaskState.COMPLETED


async def test_an_engine_that_always_has_something_to_begin_looks_at_what_runs_all_the_same(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        held, quick = FakeExecutor(held=True), FakeExecutor(name="quick")
        engine = engine_for(ledger, held, quick, home=tmp_path)
        unwanted = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await held.begun()
            await ledger.request_cancel(unwanted, reason=None)
            with anyio.fail_after(LIMIT):
                while not held.cancelled:
                    await submitted(ledger, executor="quick")
                    assert await engine.step(attempts)
        assert (await look(ledger, unwanted)).state is TaskState.CANCELLED

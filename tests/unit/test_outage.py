"""The engine in an outage: who waits, who goes on, and how what was held is let go."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.state import LITELLM, Called, ModeState, Setup
from omni_mcp.engine import Engine
from omni_mcp.ledger.base import Ledger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.monitor import Monitor
from omni_mcp.task import LOCAL, Completed, Failed, FailureClass, Mode, Outcome, Task, TaskState, WaitingFor, new_id
from omni_mcp.testing import (
    DONE,
    FAKE_ROW,
    START,
    FakeExecutor,
    FakeModes,
    ToldClock,
    a_spec,
    engine_for,
    ledger_for_tests,
)

LIMIT = 20.0
OUT = Failed(kind=FailureClass.PROVIDER, message="the provider is overloaded")
BRAINSTEM = ModeState(mode=Mode.BRAINSTEM, since=START, probe_at=START, cause="all is dark")
WITHOUT_KEY = ModeState(mode=Mode.DEGRADED, since=START, probe_at=START, fault=Verdict.BROKEN, cause="it is broken")
NORMAL = ModeState(since=START, probe_at=START)
OWN_LOGIN = FAKE_ROW.model_copy(update={"tool": None})


async def submitted(ledger: Ledger, **changes: Any) -> str:
    return (await ledger.submit(a_spec(cwd="/", **changes), task_id=new_id(), choice=None)).task.id


async def look(ledger: Ledger, task_id: str) -> Task:
    return await ledger.find(task_id, principal=LOCAL)


async def stepped(engine: Engine) -> bool:
    moved = False
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as attempts:
            moved = await engine.step(attempts)
    return moved


@dataclass
class House:
    """An engine with modes that are set."""

    ledger: SqliteLedger
    clock: ToldClock
    modes: FakeModes
    engine: Engine
    fake: FakeExecutor


def a_house(ledger: SqliteLedger, clock: ToldClock, home: Path, fake: FakeExecutor, **changes: Any) -> House:
    modes = FakeModes(clock, changes.pop("setup", None))
    engine = engine_for(ledger, fake, *changes.pop("others", ()), home=home, clock=clock, modes=modes, **changes)
    return House(ledger, clock, modes, engine, fake)


async def test_in_brainstem_nothing_is_begun_that_needs_a_cloud_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        local = FakeExecutor(name="local", row=FAKE_ROW.model_copy(update={"needs_cloud": False, "handles": ("x",)}))
        at = a_house(ledger, clock, tmp_path, FakeExecutor(), others=[local])
        at.modes.state = BRAINSTEM
        held, goes_on = await submitted(ledger), await submitted(ledger, type="x")
        await stepped(at.engine)
        task = await look(ledger, held)
        assert (task.state, task.waiting_for, task.due_at, task.attempt) == (
            TaskState.WAITING,
            WaitingFor.CLOUD,
            None,
            0,
        )
        assert "all is dark" in (task.text or "")
        assert (await look(ledger, goes_on)).state is TaskState.COMPLETED
        clock.advance(timedelta(hours=3))
        before = len(await ledger.events(held))
        for _ in range(5):
            await stepped(at.engine)
        assert len(await ledger.events(held)) == before
        at.modes.state = NORMAL
        await stepped(at.engine)
        assert (await look(ledger, held)).state is TaskState.COMPLETED


async def test_an_attempt_that_reports_the_outage_waits_without_a_fault_until_the_mode_allows(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        at = a_house(ledger, clock, tmp_path, FakeExecutor(outcome=OUT, says=["half way"]))
        task_id = await submitted(ledger)
        await stepped(at.engine)
        task = await look(ledger, task_id)
        assert (task.waiting_for, task.due_at, task.faults) == (WaitingFor.CLOUD, START + timedelta(seconds=30), 0)
        assert task.snapshot == {"progress": "half way"}
        at.modes.state = BRAINSTEM
        clock.advance(timedelta(minutes=5))
        assert not await stepped(at.engine)
        at.fake.outcome = DONE
        at.modes.state = NORMAL
        await stepped(at.engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED


async def test_a_change_of_mode_frees_at_once_what_its_provider_had_failed(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        at = a_house(ledger, clock, tmp_path, FakeExecutor(outcome=OUT), setup=Setup(providers=("anthropic",)))
        task_id = await submitted(ledger)
        await stepped(at.engine)
        at.fake.outcome = DONE
        assert not await stepped(at.engine)
        at.modes.state = WITHOUT_KEY
        await stepped(at.engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED


async def test_an_executor_with_a_login_of_its_own_does_not_care_about_litellm(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        at = a_house(ledger, clock, tmp_path, FakeExecutor(row=OWN_LOGIN))
        at.modes.state = WITHOUT_KEY
        task_id = await submitted(ledger)
        await stepped(at.engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED
        assert at.modes.state.executors["fake"].worked_at == START
        at.fake.outcome = OUT
        clock.advance(timedelta(minutes=1))
        await submitted(ledger)
        await stepped(at.engine)
        assert at.modes.state.executors["fake"].upstream == 1


async def test_one_task_finds_out_whether_a_cloud_answers_and_the_rest_follows(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(row=OWN_LOGIN.model_copy(update={"parallel": 8}), outcome=OUT)
        at = a_house(ledger, clock, tmp_path, fake, setup=Setup(litellm=False, probed=False))
        ids = [await submitted(ledger) for _ in range(10)]
        await stepped(at.engine)
        assert at.modes.permit().mode is Mode.BRAINSTEM
        tried = len(fake.requests)
        await stepped(at.engine)
        assert len(fake.requests) == tried
        for _ in range(3):
            clock.advance(timedelta(seconds=30))
            await stepped(at.engine)
            await stepped(at.engine)
        assert len(fake.requests) == tried + 3
        fake.outcome = DONE
        clock.advance(timedelta(seconds=30))
        for _ in range(40):
            await stepped(at.engine)
        assert {(await look(ledger, i)).state for i in ids} == {TaskState.COMPLETED}
        assert {(await look(ledger, i)).faults for i in ids} == {0}


async def test_what_was_held_is_begun_one_first_then_more_the_most_urgent_first(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"parallel": 8}), held=True)
        at = a_house(ledger, clock, tmp_path, fake)
        at.modes.state = BRAINSTEM
        ids = [await submitted(ledger, priority=priority) for priority in (0, 0, 5, 0, 0, 0)]
        await stepped(at.engine)
        at.modes.state = replace(NORMAL, ramp_at=clock.now())
        async with anyio.create_task_group() as attempts:
            for count in (1, 2, 3):
                for _ in range(3):
                    await at.engine.step(attempts)
                await fake.begun(count)
                assert len(fake.requests) == count
                at.modes.saw(Called(target=LITELLM, verdict=Verdict.OK, said="served a call"))
            assert [request.task_id for request in fake.requests] == [ids[2], ids[0], ids[1]]
            fake.let_go()


@dataclass
class Sky:
    """LiteLLM and two providers that are there or not; counts who is asked."""

    clock: ToldClock
    bright: bool = True
    asked: list[str] = field(default_factory=list[str])

    def _look(self, name: str) -> Look:
        self.asked.append(name)
        return Look(verdict=Verdict.OK if self.bright else Verdict.BROKEN, said="yes" if self.bright else "no")

    async def litellm(self, *, limit: float, deep: bool) -> Look:
        return self._look(LITELLM)

    async def provider(self, name: str, *, limit: float) -> Look:
        return self._look(name)


class Worker(FakeExecutor):
    """An executor whose model calls the monitor hears of; it works under the sky as it is when it ends."""

    async def run(self, request: Any, on_progress: Any, on_question: Any = None) -> Outcome:
        await super().run(request, on_progress, on_question)
        sky, monitor = SKIES[self.name]
        verdict = Verdict.OK if sky.bright else Verdict.BROKEN
        monitor.saw(Called(target=LITELLM, verdict=verdict, said="a call"))
        return Completed(text="done") if sky.bright else OUT


SKIES: dict[str, tuple[Sky, Monitor]] = {}


async def test_two_hundred_queued_and_eight_running_tasks_outlive_fifteen_dark_minutes(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        sky = Sky(clock)
        worker = Worker(row=FAKE_ROW.model_copy(update={"parallel": 8}), held=True)
        monitor = Monitor(
            ledger=ledger,
            setup=Setup(providers=("anthropic", "openrouter")),
            probes=sky,
            clock=clock,
            owner="engine",
            is_over=nobody,
            on_change=lambda: None,
            jitter=lambda: 0.0,
        )
        SKIES[worker.name] = sky, monitor
        engine = engine_for(ledger, worker, home=tmp_path, clock=clock, modes=monitor)
        ids = [await submitted(ledger) for _ in range(208)]
        await monitor.step()

        async def live(seconds: int) -> None:
            for _ in range(seconds):
                clock.advance(timedelta(seconds=1))
                await monitor.step()
                await stepped(engine)

        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await worker.begun(8)
            sky.bright = False
            clock.advance(timedelta(seconds=20))
            worker.let_go()
        await live(60)
        assert monitor.permit().mode is Mode.BRAINSTEM
        assert await ledger.counts() == {TaskState.WAITING: 208}
        begun = len(worker.requests)
        sky.asked.clear()
        await live(840)
        assert len(worker.requests) == begun
        assert all(sky.asked.count(name) <= 840 / 30 for name in (LITELLM, "anthropic", "openrouter"))
        sky.bright = True
        back_at = clock.now()
        while await ledger.counts():
            await live(1)
            assert clock.now() - back_at < timedelta(seconds=30 + 15 + 60)
        tasks = [await look(ledger, task_id) for task_id in ids]
        assert {task.state for task in tasks} == {TaskState.COMPLETED}
        assert sum(task.faults for task in tasks) == 0
        assert max(task.attempt for task in tasks) <= 2
        assert [change.mode for change in await ledger.mode_changes(limit=9)] == [Mode.NORMAL, Mode.BRAINSTEM]


async def nobody(_owner: str) -> bool:
    return False

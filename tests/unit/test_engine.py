"""The engine, step by step: a real ledger, told time, executors that do as told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from omni_mcp.claiming import WINDOW
from omni_mcp.contract import RunRequest
from omni_mcp.decide.retry import attempts_of
from omni_mcp.decide.routing import route
from omni_mcp.engine import POLL, SWEEP, Engine
from omni_mcp.errors import ExecutorLost, ExecutorUnusable, LedgerBusy
from omni_mcp.executors.executor import OnProgress, OnQuestion
from omni_mcp.file_check.problem import Problem
from omni_mcp.ledger.base import LEASE, EngineMark, Ledger
from omni_mcp.marks import MARK
from omni_mcp.means import Means
from omni_mcp.servers_file.limits import Limits
from omni_mcp.servers_file.routing import Routing, Rule
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.task import (
    LOCAL,
    Choice,
    Failed,
    FailureClass,
    Outcome,
    Recovery,
    Task,
    TaskSpec,
    TaskState,
    WaitingFor,
    new_id,
)
from omni_mcp.testing import (
    DONE,
    FAKE_ROW,
    START,
    FakeExecutor,
    ToldClock,
    a_spec,
    engine_for,
    ledger_for_tests,
    means_for,
    result_of,
)
from tests.integration.house import until as holds

CHOICE = Choice(executor="fake", requested="fake", model=None, reason="because")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LIMIT = 10.0
"""Seconds that anything may take here."""


async def submitted(ledger: Ledger, **changes: Any) -> str:
    """Submit a task; returns its id."""
    return (await ledger.submit(a_spec(cwd="/", **changes), task_id=new_id(), choice=None)).task.id


async def look(ledger: Ledger, task_id: str) -> Task:
    """Return a task as it stands."""
    return await ledger.find(task_id, principal=LOCAL)


async def stepped(engine: Engine) -> bool:
    """Do one step and let everything that it began come to its end."""
    moved = False
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as attempts:
            moved = await engine.step(attempts)
    return moved


async def test_a_task_is_routed_run_and_completed(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        other = FakeExecutor(name="other", row=FAKE_ROW.model_copy(update={"handles": ("coding",)}))
        fake = FakeExecutor(says=["half way"])
        engine = engine_for(ledger, fake, other, home=tmp_path)
        task_id = await submitted(ledger, description="写代码", options={"permissions": "full"})
        coding = await submitted(ledger, type="coding")
        assert await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.attempt, task.served_by, task.owner) == (TaskState.COMPLETED, 1, "fake", None)
        assert (await look(ledger, coding)).served_by == "other"
        assert task.progress == "half way"
        result = await result_of(ledger, task_id)
        assert result is not None
        assert result.text == "done"
        (request,) = fake.requests
        assert (request.description, request.options, request.attempt) == ("写代码", {"permissions": "full"}, 1)
        assert request.run_id == task.run_id
        assert not engine.running
        assert not await stepped(engine)


async def test_the_choice_is_on_disk_before_the_executor_is_told(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            task = await look(ledger, task_id)
            fake.let_go()  # first: what fails below must not wait for it
            assert (task.state, task.served_by, task.run_id) == (TaskState.EXECUTING, "fake", fake.requests[0].run_id)


async def test_an_executor_gets_no_more_tasks_than_its_row_allows(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path)
        for _ in range(5):
            await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            for _ in range(2):
                await engine.step(attempts)
                await fake.begun(2)
                assert (fake.running, len(engine.running)) == (2, 2)
                assert await ledger.counts() == {TaskState.IDLE: 3, TaskState.EXECUTING: 2}
            fake.let_go()
        while await ledger.counts():
            await stepped(engine)
        assert len(fake.requests) == 5


async def test_the_most_urgent_goes_first_and_among_equals_the_oldest(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"parallel": 1}))
        engine = engine_for(ledger, fake, home=tmp_path)
        ids = [await submitted(ledger, priority=priority) for priority in (0, 10, 0, 10)]
        for _ in ids:
            await stepped(engine)
        assert [request.task_id for request in fake.requests] == [ids[n] for n in (1, 3, 0, 2)]


async def test_tasks_for_a_full_executor_hide_no_task_of_a_free_one(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        full = FakeExecutor(held=True, row=FAKE_ROW.model_copy(update={"parallel": 1}))
        free = FakeExecutor(name="free", row=FAKE_ROW.model_copy(update={"handles": ("free",)}))
        engine = engine_for(ledger, full, free, home=tmp_path)
        async with anyio.create_task_group() as callers:
            for _ in range(WINDOW + 1):
                callers.start_soon(submitted, ledger)
        task_id = await submitted(ledger, type="free")
        async with anyio.create_task_group() as attempts:
            while await engine.step(attempts):
                pass
            await until(ledger, task_id, TaskState.COMPLETED)
            assert full.running == 1
            assert not await engine.step(attempts)
            full.let_go()
        while await stepped(engine):
            pass
        assert not await ledger.counts()


async def test_one_principals_many_tasks_starve_nobody(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"parallel": 1}))
        engine = engine_for(ledger, fake, home=tmp_path)
        for _ in range(30):
            await submitted(ledger, principal="many", description="of many")
        for _ in range(2):
            await submitted(ledger, principal="few", description="of few")
        for _ in range(4):
            await stepped(engine)
        assert [request.description for request in fake.requests] == ["of many", "of few"] * 2


@pytest.mark.parametrize(
    ("where", "whole"), [("omni_mcp.presets.route", route), ("omni_mcp.beginning.attempts_of", attempts_of)]
)
async def test_a_task_that_the_engine_stumbles_over_waits_for_a_person_and_costs_no_other_its_turn(
    where: str, whole: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        engine = engine_for(ledger, FakeExecutor(), home=tmp_path)
        bad, good = await submitted(ledger, description="bad"), await submitted(ledger)

        def stumbling(spec: TaskSpec, *rest: Any, **more: Any) -> Any:
            if spec.description == "bad":
                raise OverflowError("date value out of range")
            return whole(spec, *rest, **more)

        monkeypatch.setattr(where, stumbling)
        await stepped(engine)
        task = await look(ledger, bad)
        assert (task.state, task.waiting_for) == (TaskState.WAITING, WaitingFor.CONSENT)
        assert "OverflowError: date value out of range" in (task.text or "")
        assert (await look(ledger, good)).state is TaskState.COMPLETED


async def test_a_running_task_is_stopped_at_its_deadline_and_failed_with_the_story(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(held=True, says=["half way"])
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        late, calm = await submitted(ledger, deadline=clock.now() + HOUR), await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun(2)
            clock.advance(HOUR)
            await engine.step(attempts)
            await until(ledger, late, TaskState.FAILED)
            assert [ref.task_id for ref in fake.cancelled] == [late]
            fake.let_go()
        told = (await look(ledger, late)).text or ""
        assert "came during attempt 1 on fake, which was stopped; it last said: half way" in told
        result = await result_of(ledger, late)
        assert result is not None
        assert result.error is FailureClass.DEADLINE
        assert (await look(ledger, calm)).state is TaskState.COMPLETED


async def test_a_task_that_waits_is_failed_at_its_deadline_and_not_begun(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = engine_for(ledger, fake := FakeExecutor(), home=tmp_path, clock=clock)
        task_id = await submitted(ledger, deadline=clock.now() + HOUR)
        clock.advance(HOUR)
        assert await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.FAILED
        assert not fake.requests


async def test_a_silent_executor_is_told_of_once_for_each_silence_and_left_alone(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            for told in (0, 1, 1):
                await engine.step(attempts)
                assert len(await watchdog(ledger, task_id)) == told
                clock.advance(timedelta(minutes=4))
            await ledger.checkpoint(task_id, attempt=1, owner="engine", progress="alive", snapshot=None)
            await engine.step(attempts)
            assert len(await watchdog(ledger, task_id)) == 1
            clock.advance(timedelta(minutes=4))
            await engine.step(attempts)
            said = await watchdog(ledger, task_id)
            assert said[0] == "fake is silent for 4 min; left alone until its time-out (1 h)"
            assert len(said) == 2
            assert (await look(ledger, task_id)).state is TaskState.EXECUTING
            fake.let_go()
        assert not engine.silent_since


async def watchdog(ledger: Ledger, task_id: str) -> list[str]:
    """Return what was told of silence."""
    return [event.text for event in await ledger.events(task_id) if event.kind == "watchdog"]


async def test_a_consent_is_spent_by_one_attempt_and_the_next_asks_again(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(
            row=FAKE_ROW.model_copy(update={"recovery": Recovery.ASK}), outcome=ExecutorLost("the session went away")
        )
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        for attempt in (1, 2):
            await stepped(engine)
            task = await look(ledger, task_id)
            assert (task.waiting_for, task.attempt, task.consented) == (WaitingFor.CONSENT, attempt, False)
            assert not await stepped(engine)
            await ledger.resume(task_id, consent=True)
            assert (await look(ledger, task_id)).consented
        assert len(fake.requests) == 2


async def test_a_task_may_ask_for_fewer_attempts(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        engine = engine_for(ledger, FakeExecutor(outcome=ExecutorLost("it went away")), home=tmp_path)
        task_id = await submitted(ledger, options={"max_attempts": 1})
        await stepped(engine)
        assert "gave up after 1 faults" in ((await look(ledger, task_id)).text or "")


async def test_what_is_over_for_longer_than_it_is_kept_is_purged(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = engine_for(ledger, FakeExecutor(), home=tmp_path, clock=clock)
        limits = engine.settings.servers.limits.model_copy(update={"keep_days": 1.0})
        servers = engine.settings.servers.model_copy(update={"limits": limits})
        engine.means = replace(engine.means, settings=replace(engine.settings, servers=servers))
        old = await submitted(ledger)
        await stepped(engine)
        clock.advance(timedelta(days=1, hours=1))
        young = await submitted(ledger)
        await stepped(engine)
        assert [task.id for task in (await ledger.page(principal=LOCAL)).tasks] == [young], old


async def test_an_engine_that_is_asked_to_go_hands_over_what_goes_on_and_finishes_the_rest(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        row = FAKE_ROW.model_copy(update={"recovery": Recovery.RESUME, "handles": ("resumes",)})
        resumes, stays = FakeExecutor(name="resumes", row=row, held=True), FakeExecutor(held=True)
        engine = engine_for(ledger, stays, resumes, home=tmp_path, clock=clock)
        await ledger.announce(EngineMark(owner="engine", pid=1, version="0", log="", address="", started_at=START))
        moved, finished = await submitted(ledger, type="resumes"), await submitted(ledger)
        ended: list[str | None] = []
        later: list[str] = []

        async def run() -> None:
            ended.append(await engine.run())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await stays.begun()
            await resumes.begun()
            await ledger.dismiss("engine")
            clock.advance(HOUR)
            engine.doorbell.ring()
            await until(ledger, moved, TaskState.IDLE)
            later.append(await submitted(ledger))
            engine.doorbell.ring()
            await anyio.wait_all_tasks_blocked()
            assert not ended
            stays.let_go()
        assert ended == ["upgrade"]
        assert (await look(ledger, finished)).state is TaskState.COMPLETED
        assert [(await look(ledger, task_id)).state for task_id in (moved, *later)] == [TaskState.IDLE] * 2
        mark = await ledger.engine()
        assert mark is not None
        assert not mark.there


async def test_a_running_task_is_cancelled_and_its_executor_told(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path)
        stays, goes = await submitted(ledger), await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun(2)
            await ledger.request_cancel(goes, reason="enough")
            await engine.step(attempts)
            await until(ledger, goes, TaskState.CANCELLED)
            assert [ref.task_id for ref in fake.cancelled] == [goes]
            fake.let_go()
        assert (await look(ledger, stays)).state is TaskState.COMPLETED


async def until(ledger: Ledger, task_id: str, state: TaskState) -> Task:
    """Wait until a task is in a state."""
    with anyio.fail_after(LIMIT):
        while True:
            seen = await ledger.watermark()
            if (task := await look(ledger, task_id)).state is state:
                return task
            await ledger.changed(seen, timeout=timedelta(seconds=1))


class Faulty:
    """A ledger that fails one verb for as long as it is told to."""

    def __init__(self, ledger: Ledger) -> None:
        self.failing: str | None = None
        self.failed = anyio.Event()
        self._ledger = ledger

    def __getattr__(self, verb: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            if verb == self.failing:
                self.failed.set()
                raise LedgerBusy("held by somebody")
            return await getattr(self._ledger, verb)(*args, **named)

        return call


class Robbed(Faulty):
    """A ledger in which somebody takes a task away between its begin and its bind, once."""

    robbed = False

    async def bind(self, task_id: str, **named: Any) -> Any:
        if not self.robbed:
            self.robbed = True
            await self._ledger.release(task_id, attempt=1, owner="engine", text="somebody took it")
        return await self._ledger.bind(task_id, **named)


async def test_a_refused_bind_ends_the_attempt_and_tells_no_executor(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor()
        engine = engine_for(cast(Ledger, Robbed(ledger)), fake, home=tmp_path)
        task_id = await submitted(ledger)
        await stepped(engine)
        assert not fake.requests
        assert not engine.running
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED
        assert [request.attempt for request in fake.requests] == [2]


@pytest.mark.parametrize("kind", [FailureClass.CONFIG, FailureClass.AUTH])
async def test_an_executor_that_cannot_work_is_marked_and_its_task_goes_to_the_next(
    kind: FailureClass, tmp_path: Path
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        broken = FakeExecutor(name="broken", outcome=Failed(kind=kind, message="no key", fix="set the key"))
        fake = FakeExecutor()
        routing = Routing(rules=(Rule(executor="broken", type="general", fallback=("fake",)),), default="broken")
        engine = engine_for(ledger, broken, fake, home=tmp_path, clock=clock, routing=routing)
        task_id = await submitted(ledger)
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.IDLE
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.requested, task.served_by) == (TaskState.COMPLETED, "broken", "fake")
        assert (task.attempt, task.faults) == (2, 0)
        assert "no key. set the key" in (task.reason or "")
        assert not (await ledger.health())["broken"].usable
        await submitted(ledger)
        await stepped(engine)
        assert len(broken.requests) == 1
        clock.advance(MARK)
        await submitted(ledger)
        await stepped(engine)
        assert len(broken.requests) == 2


async def test_a_task_that_nobody_can_take_waits_with_the_fix_and_goes_on_by_itself(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(outcome=ExecutorUnusable("not installed", next_step="install it"))
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.waiting_for, task.due_at) == (
            TaskState.WAITING,
            WaitingFor.EXECUTOR,
            clock.now() + MARK,
        )
        assert "install it" in (task.text or "")
        fake.outcome = Failed(kind=FailureClass.TASK, message="no")
        assert not await stepped(engine)
        clock.advance(MARK)
        assert await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.FAILED


UNUSABLE = FAKE_ROW.model_copy(update={"result": "nowhere"})
"""A row that has to be mended first."""


async def test_a_task_whose_executor_has_to_be_mended_waits_in_silence_until_an_engine_finds_it_mended(
    tmp_path: Path,
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = engine_for(ledger, FakeExecutor(row=UNUSABLE), home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.waiting_for, task.due_at) == (WaitingFor.EXECUTOR, None)
        before = len(await ledger.events(task_id))
        for _ in range(60):
            clock.advance(MARK)
            assert not await stepped(engine)
        assert len(await ledger.events(task_id)) == before
        again = engine_for(ledger, FakeExecutor(row=UNUSABLE), home=tmp_path, clock=clock)
        for _ in range(5):
            await stepped(again)
        assert len(await ledger.events(task_id)) == before + 2
        mended = engine_for(ledger, FakeExecutor(), home=tmp_path, clock=clock)
        await stepped(mended)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED


async def test_an_edit_of_the_settings_looks_again_at_who_waits_for_an_executor(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = engine_for(ledger, FakeExecutor(row=UNUSABLE), home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        servers = engine.settings.servers.model_copy(update={"executors": {"fake": FAKE_ROW}})
        mended = means_for(replace(engine.settings, servers=servers), FakeExecutor())

        async def renewed(before: Means) -> Means | None:
            return None if before is mended else mended

        engine.renewed = renewed
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED


async def test_somebody_elses_mark_wakes_no_task_whose_executor_has_to_be_mended(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        broken = FakeExecutor(name="broken", outcome=ExecutorUnusable("no key", next_step="set it"))
        engine = engine_for(ledger, FakeExecutor(row=UNUSABLE), broken, home=tmp_path, clock=clock)
        missing = await submitted(ledger, executor="fake")
        other = await submitted(ledger, executor="broken")
        await stepped(engine)
        before = len(await ledger.events(missing))
        for _ in range(10):
            await stepped(engine)
            clock.advance(MARK)
        assert len(broken.requests) > 5
        assert len(await ledger.events(missing)) == before
        assert (await look(ledger, other)).state in (TaskState.IDLE, TaskState.WAITING)


async def test_resume_forgets_the_mark_and_takes_along_whoever_waits_for_the_same(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(outcome=ExecutorUnusable("no key", next_step="set it"))
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        named, other = await submitted(ledger), await submitted(ledger)
        for _ in range(2):
            await stepped(engine)
        fake.outcome = DONE
        assert not await stepped(engine)
        await ledger.resume(named, consent=True)
        for _ in range(2):
            await stepped(engine)
        assert [(await look(ledger, task_id)).state for task_id in (named, other)] == [TaskState.COMPLETED] * 2
        assert (await ledger.health())["fake"].usable


class OneOfTwo(FakeExecutor):
    """Its first run finds that it cannot work, the others that it can."""

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        self.held = bool(self.requests)
        self.outcome = DONE if self.held else ExecutorUnusable("no key", next_step="set it")
        return await super().run(request, on_progress, on_question)


async def test_an_executor_that_completes_a_task_is_marked_no_more(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = engine_for(ledger, fake := OneOfTwo(), home=tmp_path, clock=clock)
        ids = [await submitted(ledger), await submitted(ledger)]
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun(2)
            await until(ledger, ids[0], TaskState.IDLE)
            await engine.step(attempts)
            assert (await look(ledger, ids[0])).waiting_for is WaitingFor.EXECUTOR
            assert not (await ledger.health())["fake"].usable
            fake.let_go()
        assert (await ledger.health())["fake"].usable
        await stepped(engine)
        assert [(await look(ledger, task_id)).state for task_id in ids] == [TaskState.COMPLETED] * 2


async def test_a_limit_parks_the_task_until_it_ends(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        resets = clock.now() + timedelta(hours=5)
        fake = FakeExecutor(outcome=Failed(kind=FailureClass.RATE_LIMIT, message="limit", retry_at=resets))
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        assert (await look(ledger, task_id)).due_at == resets
        clock.advance(timedelta(hours=4))
        assert not await stepped(engine)
        clock.advance(timedelta(hours=1))
        assert await stepped(engine)
        assert len(fake.requests) == 2


async def held_by_another(ledger: Ledger, *, executing: bool = True) -> str:
    """Submit a task that another engine holds; returns its id."""
    task_id = await submitted(ledger)
    assert await ledger.begin(task_id, owner="another") is not None
    if executing:
        await ledger.bind(task_id, attempt=1, owner="another", choice=CHOICE, endpoint="none", run_id="run-1")
    return task_id


@pytest.mark.parametrize(
    ("recovery", "run_id"), [(Recovery.RETRY, None), (Recovery.RESUME, "run-1"), (Recovery.ATTACH, "run-1")]
)
async def test_the_tasks_of_a_dead_engine_go_on_as_their_executor_allows(
    recovery: Recovery, run_id: str | None, tmp_path: Path
) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"recovery": recovery}))
        engine = engine_for(ledger, fake, home=tmp_path, is_over=dead)
        task_id = await held_by_another(ledger)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.attempt, task.faults) == (TaskState.COMPLETED, 2, 0)
        (request,) = fake.requests
        assert request.resume is (run_id is not None)
        assert run_id is None or request.run_id == run_id


ATTACHED = FAKE_ROW.model_copy(update={"recovery": Recovery.ATTACH})


def gone_quiet(*, lives: bool = True) -> FakeExecutor:
    """Return one that loses sight of its run; `lives`: the run may go on elsewhere."""
    away = Failed(kind=FailureClass.PROVIDER, message="no answer", lives=lives)
    return FakeExecutor(row=ATTACHED, outcome=away)


@pytest.mark.parametrize("lives", [True, False])
async def test_a_run_that_lives_elsewhere_is_asked_for_again_only_while_its_end_is_unheard(
    tmp_path: Path, lives: bool
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = gone_quiet(lives=lives)
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        fake.outcome = DONE
        clock.advance(HOUR)
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED
        first, second = fake.requests
        assert (second.resume, second.run_id == first.run_id) == (lives, lives)


@pytest.mark.parametrize("sent", [True, False])
async def test_a_run_that_may_live_elsewhere_is_begun_by_nobody_else(tmp_path: Path, sent: bool) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        lost = ExecutorLost("gone") if sent else ExecutorUnusable("it does not start")
        fake, other = FakeExecutor(row=ATTACHED, outcome=lost), FakeExecutor(name="other")
        rule = Rule(type="general", executor="fake", fallback=("other",))
        engine = engine_for(ledger, fake, other, home=tmp_path, clock=clock, routing=Routing(rules=(rule,)))
        task_id = await submitted(ledger)
        await stepped(engine)
        fake.outcome = ExecutorUnusable("it does not start")
        for _ in range(3):
            clock.advance(timedelta(seconds=10))
            await stepped(engine)
        assert bool(other.requests) == (not sent)
        if sent:
            assert (await look(ledger, task_id)).waiting_for is WaitingFor.EXECUTOR
            fake.outcome = DONE
            clock.advance(HOUR)
            await stepped(engine)
            assert (await look(ledger, task_id)).served_by == "fake"
            assert fake.requests[-1].resume


async def test_a_task_of_a_dead_engine_is_left_until_the_settings_say_again_how_its_executor_recovers(
    tmp_path: Path,
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor()
        good = engine_for(ledger, fake, home=tmp_path, clock=clock, is_over=dead)
        half = Problem(where="servers.yaml line 3", what="ends in mid word", fix="mend it", disables_all=True)
        settings = replace(good.settings, servers=ServersFile(), problems=[half])
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock, is_over=dead, means=means_for(settings, fake))
        task_id = await held_by_another(ledger)
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.EXECUTING
        engine.means = good.means
        clock.advance(SWEEP)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.attempt) == (TaskState.COMPLETED, 2)


async def test_a_run_of_a_dead_engine_that_may_not_be_repeated_waits_for_consent(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(row=FAKE_ROW.model_copy(update={"recovery": Recovery.ASK}))
        engine = engine_for(ledger, fake, home=tmp_path, is_over=dead)
        ran, never_sent = await held_by_another(ledger), await held_by_another(ledger, executing=False)
        await stepped(engine)
        assert (await look(ledger, ran)).waiting_for is WaitingFor.CONSENT
        assert (await look(ledger, never_sent)).state is TaskState.COMPLETED
        await ledger.resume(ran, consent=True)
        await stepped(engine)
        assert (await look(ledger, ran)).state is TaskState.COMPLETED


async def test_a_lapsed_lease_is_not_a_licence(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor()
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await held_by_another(ledger)
        clock.advance(LEASE * 100)
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.owner, fake.requests) == (TaskState.EXECUTING, "another", [])


async def dead(_owner: str) -> bool:
    """Prove that any other engine is over."""
    return True


async def test_claims_are_renewed_before_they_lapse(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            clock.advance(LEASE / 4)
            await engine.step(attempts)
            assert (await look(ledger, task_id)).lease_until == clock.now() + LEASE
            fake.let_go()


async def test_an_attempt_that_is_ours_no_more_is_stopped_and_writes_nothing(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            await ledger.release(task_id, attempt=1, owner="engine", text="taken over")
            assert await ledger.begin(task_id, owner="another") is not None
            clock.advance(LEASE / 4)
            await engine.step(attempts)
        task = await look(ledger, task_id)
        assert (task.state, task.owner, task.attempt) == (TaskState.DISPATCHING, "another", 2)
        assert [ref.attempt for ref in fake.cancelled] == [1]
        assert not engine.running


async def test_a_task_that_was_taken_from_us_is_not_begun_again_while_our_own_attempt_lives(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            await ledger.release(task_id, attempt=1, owner="engine", text="taken over")
            engine.done_at["renew"] = clock.now()
            await engine.step(attempts)
            assert (await look(ledger, task_id)).state is TaskState.IDLE
            assert [each.attempt for each in fake.requests] == [1]
            engine.running[task_id].stop("lost")


async def test_a_surprise_of_an_executor_costs_one_attempt_of_one_task(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        wild = FakeExecutor(name="wild", outcome=ZeroDivisionError("oops"))
        fake = FakeExecutor()
        engine = engine_for(ledger, fake, wild, home=tmp_path, clock=clock)
        surprised, calm = await submitted(ledger, executor="wild"), await submitted(ledger)
        await stepped(engine)
        assert (await look(ledger, calm)).state is TaskState.COMPLETED
        task = await look(ledger, surprised)
        assert (task.state, task.waiting_for, task.faults) == (TaskState.WAITING, WaitingFor.RETRY, 1)
        assert "ZeroDivisionError" in (task.text or "")
        wild.outcome = ExecutorLost("the session went away")
        for _ in range(2):
            clock.advance(timedelta(minutes=1))
            await stepped(engine)
        task = await look(ledger, surprised)
        assert (task.state, task.attempt, task.faults) == (TaskState.FAILED, 3, 2)
        assert "gave up after 3 faults" in (task.text or "")


@pytest.mark.parametrize("verb", ["held", "wake_due", "claimable", "begin", "bind", "finish", "counts"])
async def test_a_busy_ledger_delays_the_engine_and_does_not_end_it(verb: str, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        faulty = Faulty(ledger)
        faulty.failing = verb
        engine = engine_for(cast(Ledger, faulty), FakeExecutor(), home=tmp_path, exits=True)
        before = await submitted(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            with anyio.fail_after(LIMIT):
                await faulty.failed.wait()
            faulty.failing = None
            for task_id in (before, await submitted(ledger)):
                engine.doorbell.ring()
                await until(ledger, task_id, TaskState.COMPLETED)
            tasks.cancel_scope.cancel()


async def test_a_renewal_that_failed_is_tried_at_the_next_step(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        faulty, fake = Faulty(ledger), FakeExecutor(held=True)
        engine = engine_for(cast(Ledger, faulty), fake, home=tmp_path, clock=clock)
        await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            clock.advance(LEASE / 4)
            faulty.failing = "renew"
            with pytest.raises(LedgerBusy):
                await engine.step(attempts)
            faulty.failing, kept_at = None, engine.kept_at
            await engine.step(attempts)
            assert engine.kept_at > kept_at
            fake.let_go()


async def test_what_runs_is_stopped_also_while_nothing_can_begin(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        faulty, fake = Faulty(ledger), FakeExecutor(held=True)
        engine = engine_for(cast(Ledger, faulty), fake, home=tmp_path)
        running = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            await ledger.request_cancel(running, reason="enough")
            await submitted(ledger)
            faulty.failing = "claimable"
            with anyio.fail_after(LIMIT):
                while (await look(ledger, running)).state is not TaskState.CANCELLED:
                    with pytest.raises(LedgerBusy):
                        await engine.step(attempts)


async def test_an_idle_engine_retires_only_when_nothing_is_open(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        idle = timedelta(seconds=Limits().engine_idle_seconds)
        fake = FakeExecutor(outcome=Failed(kind=FailureClass.RATE_LIMIT, message="limit", retry_at=START + HOUR * 99))
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock, exits=True)
        mark = EngineMark(owner="engine", pid=1, version="1", log="", address="", started_at=clock.now())
        await ledger.announce(mark)
        task_id = await submitted(ledger)
        ended: list[str | None] = []

        async def run() -> None:
            ended.append(await engine.run())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await until(ledger, task_id, TaskState.WAITING)
            clock.advance(idle * 2)
            engine.doorbell.ring()
            await anyio.wait_all_tasks_blocked()
            assert not ended
            await ledger.request_cancel(task_id, reason=None)
            with anyio.fail_after(LIMIT):
                while not ended:
                    clock.advance(idle)
                    engine.doorbell.ring()
                    await anyio.sleep(POLL / 50)
        assert ended == ["idle"]


async def test_an_edit_of_the_settings_holds_for_the_next_task_and_leaves_the_running_one_alone(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        full = FAKE_ROW.model_copy(update={"parallel": 1})  # else a turn that has just begun gives the next task to it
        old, new = FakeExecutor(name="old", row=full, held=True), FakeExecutor(name="new")
        edited = list[Means]()

        async def renewed(before: Means) -> Means | None:
            return edited[0] if edited and before is not edited[0] else None

        engine = engine_for(ledger, old, home=tmp_path, renewed=renewed)
        before = engine.means
        running = await submitted(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await old.begun()
            edited.append(engine_for(ledger, new, home=tmp_path).means)
            engine.doorbell.ring()
            await holds(lambda: engine.means is not before)
            later = await submitted(ledger)
            engine.doorbell.ring()
            await until(ledger, later, TaskState.COMPLETED)
            assert (await look(ledger, later)).served_by == "new"
            assert (await look(ledger, running)).state is TaskState.EXECUTING
            assert not before.done_with.is_set()
            old.let_go()
            await until(ledger, running, TaskState.COMPLETED)
            with anyio.fail_after(LIMIT):
                await before.done_with.wait()
            assert not edited[0].done_with.is_set()
            tasks.cancel_scope.cancel()


async def test_an_engine_that_is_stopped_gives_back_what_runs(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await fake.begun()
            tasks.cancel_scope.cancel()
        task = await look(ledger, task_id)
        assert (task.state, task.owner, task.faults) == (TaskState.IDLE, None, 0)
        assert [ref.task_id for ref in fake.cancelled] == [task_id]


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_clock_that_jumps_a_day_stops_no_duty_of_the_engine(jump: timedelta, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock, is_over=dead)
        mine = await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await fake.begun()
            clock.advance(jump)
            theirs = await held_by_another(ledger)
            await engine.step(attempts)
            assert (await look(ledger, mine)).lease_until == clock.now() + LEASE
            await fake.begun(2)
            assert (await look(ledger, theirs)).attempt == 2
            fake.let_go()


async def test_what_waits_for_a_span_does_not_wait_a_day_longer_when_the_clock_is_set_back(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        fake = FakeExecutor(outcome=ExecutorUnusable("not installed", next_step="install it"))
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        for _ in range(2):
            await stepped(engine)
        assert (await look(ledger, task_id)).waiting_for is WaitingFor.EXECUTOR
        fake.outcome = DONE
        clock.advance(-DAY)
        assert await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED


async def test_a_usage_limit_ends_when_its_reset_time_says_so_also_after_the_clock_was_set_back(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        resets = clock.now() + HOUR
        fake = FakeExecutor(outcome=Failed(kind=FailureClass.RATE_LIMIT, message="limit", retry_at=resets))
        engine = engine_for(ledger, fake, home=tmp_path, clock=clock)
        task_id = await submitted(ledger)
        await stepped(engine)
        clock.advance(-DAY)
        assert not await stepped(engine)
        assert (await look(ledger, task_id)).due_at == resets


class Stubborn(FakeExecutor):
    """Brings its result although it is being stopped."""

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        outcomes: list[Outcome] = []
        with anyio.CancelScope(shield=True):
            outcomes.append(await super().run(request, on_progress, on_question))
        return outcomes[0]


async def test_a_result_that_arrives_at_a_stop_is_the_outcome(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = Stubborn(held=True)
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await fake.begun()
            tasks.cancel_scope.cancel()
            fake.let_go()
        assert (await look(ledger, task_id)).state is TaskState.COMPLETED


async def test_a_task_of_our_own_that_nothing_runs_any_more_goes_on(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor()
        engine = engine_for(ledger, fake, home=tmp_path)
        task_id = await submitted(ledger)
        assert await ledger.begin(task_id, owner="engine") is not None
        await ledger.bind(task_id, attempt=1, owner="engine", choice=CHOICE, endpoint="none", run_id="run-1")
        await stepped(engine)
        task = await look(ledger, task_id)
        assert (task.state, task.attempt) == (TaskState.COMPLETED, 2)


async def test_a_wish_to_cancel_outlives_the_engine_that_should_have_heard_it(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        fake = FakeExecutor()
        engine = engine_for(ledger, fake, home=tmp_path, is_over=dead)
        task_id = await held_by_another(ledger)
        await ledger.request_cancel(task_id, reason="enough")
        await stepped(engine)
        assert (await look(ledger, task_id)).state is TaskState.CANCELLED
        assert fake.requests == []

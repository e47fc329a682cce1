"""What faces may ask for, on a real ledger with told time."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from omni_mcp.dispatch.local import LocalDispatch
from omni_mcp.errors import BadRequest, TooDeep
from omni_mcp.home import Home
from omni_mcp.ledger import sqlite
from omni_mcp.ledger.base import EngineMark
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.lineage import OPENCLAW_CLIENT
from omni_mcp.processes import Origin
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.service.service import Service
from omni_mcp.settings import Settings
from omni_mcp.task import LOCAL, Choice, Completed, Failed, FailureClass, TaskSpec, TaskState, Usage, WaitingFor
from omni_mcp.testing import START, FakeExecutor, ToldClock, a_spec, engine_for, ledger_for_tests

LEDGERS = "slow"
"""What is said here holds for each kind of ledger."""

CHOICE = Choice(executor="fake", requested="fake", model=None, reason="because")
HOUR = timedelta(hours=1)


@dataclass
class NoEngines:
    """Nobody comes up, and that is fine."""

    trouble: str | None = None
    alive: bool = True

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start none."""
        del seen
        return None


@dataclass(kw_only=True)
class Place:
    """A service, its ledger and its time."""

    ledger: SqliteLedger
    clock: ToldClock
    service: Service
    origin: list[Origin | None] = field(default_factory=lambda: [None])

    async def submitted(self, **changes: Any) -> str:
        """Submit a task; returns its id."""
        return (await self.service.submit(a_spec(**changes))).task_id

    async def executing(self, task_id: str, *, owner: str = "me", served_by: str = "fake") -> str:
        """Have a task at work."""
        task = await self.ledger.begin(task_id, owner=owner)
        assert task is not None
        choice = replace(CHOICE, executor=served_by)
        await self.ledger.bind(task_id, attempt=task.attempt, owner=owner, choice=choice, endpoint="", run_id="")
        return task_id

    async def ended(self, task_id: str, state: TaskState = TaskState.FAILED) -> str:
        """Have a task over."""
        outcome = Completed(text="x") if state is TaskState.COMPLETED else Failed(kind=FailureClass.TASK, message="no")
        await self.ledger.finish(await self.executing(task_id), attempt=1, owner="me", state=state, outcome=outcome)
        return task_id

    async def ancestors_from(self, client: str | None) -> tuple[str, ...]:
        """Submit a task for a client that calls itself so; returns the ancestors that it got."""
        view = await self.service.submit(a_spec(), client=client)
        return (await self.ledger.find(view.task_id, principal=LOCAL)).spec.ancestors

    def inside(self, task: str | None, owner: str = "me") -> None:
        """Have the next calls come from inside a run."""
        self.origin[0] = Origin(task=task, owner=owner)


@asynccontextmanager
async def place(tmp_path: Path, *, dispatch: LocalDispatch | None = None, **limits: Any) -> AsyncGenerator[Place]:
    """Open a place with one executor."""
    rows = {"fake": FakeExecutor().row, "claw": ExecutorRow(preset="openclaw", url="ws://127.0.0.1:1")}
    servers = ServersFile.model_validate({"executors": rows, "routing": {"default": "fake"}, "limits": limits})
    settings = Settings(home=Home(tmp_path), servers=servers)
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        origin: list[Origin | None] = [None]
        service = Service(
            ledger=ledger,
            settings=lambda: settings,
            dispatch=dispatch or LocalDispatch(),
            engines=NoEngines(),
            clock=clock,
            origin=lambda: origin[0],
        )
        yield Place(ledger=ledger, clock=clock, service=service, origin=origin)


@pytest.mark.parametrize("said", ["2h", "2 小时", (START + HOUR * 2).isoformat()])
async def test_a_deadline_is_a_span_or_a_time(said: str, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        view = await here.service.status(await here.submitted(deadline_said=said))
        assert view.deadline == START + HOUR * 2


@pytest.mark.parametrize("said", ["soon", "2026-01-01T12:00", "2025-01-01T00:00Z", "1e9d", "9999-12-31T23:59:59-23:59"])
async def test_a_deadline_that_cannot_be_is_refused_with_one_that_can(said: str, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(BadRequest, match="deadline") as error:
            await here.submitted(deadline_said=said)
        assert '"2h"' in (error.value.next_step or "")


async def test_what_says_nothing_is_as_good_as_left_away(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {
        "type": "", "executor": " ", "cwd": "", "model": "", "idempotency_key": "", "deadline_said": "",
        "options": {"max_attempts": None},
    }  # fmt: skip
    async with place(tmp_path) as here:
        first, second = await here.submitted(**nothing), await here.submitted(**nothing, description="another")
        assert first != second
        task = await here.ledger.find(second, principal=LOCAL)
        assert (task.spec.type, task.spec.idempotency_key, task.spec.deadline) == (None, None, None)
        assert dict(task.spec.options) == {}


async def test_a_repeat_after_the_deadline_is_still_the_first_task(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        said = {"idempotency_key": "k", "deadline_said": (START + HOUR).isoformat()}
        first = await here.submitted(**said)
        here.clock.advance(HOUR * 2)
        assert await here.submitted(**said) == first


@pytest.mark.parametrize("asked", [0, 4, "2", True, 1.5])
async def test_a_number_of_attempts_that_raises_the_limit_or_is_none_is_refused(asked: object, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(BadRequest, match=r"whole number in 1\.\.3"):
            await here.submitted(options={"max_attempts": asked})
        assert await here.submitted(options={"max_attempts": 2})


@pytest.mark.parametrize(
    "options",
    [
        *({"x": 1}, {"permissions": ["a"]}, {"permissions": "all"}, {"permissions": 3}),
        *({"worktree": "yes"}, {"max_turns": 0}, {"max_turns": True}, {"timeout": "1h"}, {"timeout": 0.5}),
    ],
)
async def test_options_that_nobody_would_keep_are_refused_with_the_known_ones(
    options: dict[str, Any], tmp_path: Path
) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(BadRequest, match=r"options") as error:
            await here.submitted(options=options)
        assert '{"permissions": "read-only|edit|full", "worktree": true' in (error.value.next_step or "")
        assert await here.submitted(options={"max_attempts": 1, "timeout": 5, "worktree": False, "permissions": "full"})


# the loop guard


async def test_tasks_of_tasks_end_at_the_limit(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        line = [await here.executing(await here.submitted())]
        for _ in range(2):
            here.inside(line[-1])
            line.append(await here.executing(await here.submitted()))
        task = await here.ledger.find(line[-1], principal=LOCAL)
        assert task.spec.ancestors == tuple(line[:2])
        here.inside(line[-1])
        with pytest.raises(TooDeep, match="3 levels deep, and the limit is 2"):
            await here.submitted()


async def test_without_handing_on_no_task_submits_one(tmp_path: Path) -> None:
    async with place(tmp_path, max_depth=0) as here:
        parent = await here.executing(await here.submitted())
        here.inside(parent)
        with pytest.raises(TooDeep):
            await here.submitted()


async def test_a_server_that_works_for_several_tasks_counts_as_inside_the_deepest(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        root = await here.executing(await here.submitted())
        await here.executing(await here.submitted())
        here.inside(root)
        child = await here.executing(await here.submitted())
        here.inside(None)
        task = await here.ledger.find(await here.submitted(), principal=LOCAL)
        assert task.spec.ancestors == (root, child)
        here.inside(None, owner="somebody else's")
        assert (await here.ledger.find(await here.submitted(), principal=LOCAL)).spec.ancestors == ()


async def test_a_call_from_an_openclaw_gateway_is_inside_the_deepest_task_that_runs_there(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.executing(await here.submitted())
        assert await here.ancestors_from(OPENCLAW_CLIENT) == ()
        parent = await here.executing(await here.submitted(), served_by="claw")
        assert await here.ancestors_from(OPENCLAW_CLIENT) == (parent,)
        assert await here.ancestors_from("cursor") == ()
        here.origin[0] = Origin(gateway=True)
        assert await here.ancestors_from(None) == (parent,)


async def test_a_worker_of_a_gateway_that_submits_too_deep_is_told_so(tmp_path: Path) -> None:
    async with place(tmp_path, max_depth=0) as here:
        parent = await here.executing(await here.submitted(), served_by="claw")
        with pytest.raises(TooDeep, match=f"from OpenClaw while it works on task {parent}, 1 levels deep"):
            await here.ancestors_from(OPENCLAW_CLIENT)


async def test_whoever_only_says_that_it_is_a_gateway_learns_of_no_task_of_somebody_else(tmp_path: Path) -> None:
    async with place(tmp_path, max_depth=0) as here:
        parent = await here.executing(await here.submitted(), served_by="claw")
        other = replace(here.service, principal="token:bob")
        with pytest.raises(TooDeep, match="inside a task of somebody else, 1 levels deep") as refusal:
            await other.submit(a_spec(), client=OPENCLAW_CLIENT)
        assert parent not in f"{refusal.value} {refusal.value.next_step}"


async def test_a_task_of_another_home_is_an_ancestor_too(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        here.inside("atask0fanotherhome")
        task = await here.ledger.find(await here.submitted(), principal=LOCAL)
        assert task.spec.ancestors == ("atask0fanotherhome",)


# what is told


async def test_what_a_task_runs_after_is_told_as_it_is_now(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        one, other = await here.submitted(), await here.submitted()
        last = await here.submitted(after=(one, other))
        await here.ended(one, TaskState.COMPLETED)
        await here.executing(other)
        view = await here.service.status(last)
        assert view.text == f"runs after 2 tasks, not yet completed: {other} (executing)"
        assert view.next_step == "task_status with wait_seconds=50, when those have completed; cancel_task ends it"
        (told,) = (await here.service.resume([last])).tasks
        assert (told.action, "runs after other tasks" in (told.text or "")) == ("left alone", True)


async def test_silence_is_told_in_seconds_and_beyond_the_limit_in_words(tmp_path: Path) -> None:
    async with place(tmp_path, silent_seconds=120) as here:
        task_id = await here.executing(await here.submitted())
        here.clock.advance(timedelta(seconds=100))
        view = await here.service.status(task_id)
        assert (view.silent, view.text) == (100, None)
        here.clock.advance(timedelta(seconds=100))
        (row,) = (await here.service.list()).tasks
        assert (row.silent, row.text) == (200, "silent for 3 min")
        await here.ledger.checkpoint(task_id, attempt=1, owner="me", progress="alive", snapshot=None)
        assert (await here.service.status(task_id)).silent == 0
        await here.ledger.park(task_id, attempt=1, owner="me", waiting_for=WaitingFor.RETRY, text="x")
        assert (await here.service.status(task_id)).silent is None


async def test_a_long_history_is_read_in_pages(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task_id = await here.executing(await here.submitted())
        for number in range(250):
            await here.ledger.note(task_id, attempt=1, kind="note", text=f"line {number}")
        seen: list[int] = []
        since: int | None = 0
        while since is not None:
            view = await here.service.status(task_id, since_seq=since)
            seen += [event.seq for event in view.events or []]
            since = view.next_seq
        assert seen == list(range(1, 254))


async def test_a_cancel_that_is_not_confirmed_says_who_has_not(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        bound, begun = await here.executing(await here.submitted()), await here.submitted()
        await here.ledger.begin(begun, owner="me")
        for task_id, who in ((bound, "fake"), (begun, "the engine")):
            view = await here.service.cancel(task_id, limit=0.05)
            assert view.cancel_requested_at == START
            assert (view.text or "").startswith(f"{who} has not confirmed within 0 s")


async def test_a_cancel_of_what_nobody_holds_is_confirmed_at_once(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        first = await here.submitted()
        for task_id in (await here.submitted(after=(first,)), first):
            assert (await here.service.cancel(task_id)).state is TaskState.CANCELLED


# again


async def test_a_task_that_failed_is_tried_again_as_a_new_one(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        old = await here.ended(
            await here.submitted(
                description="写", priority=3, idempotency_key="k", deadline_said="2h", options={"permissions": "edit"}
            )
        )
        view = await here.service.retry(old[:8], deadline="3h")
        assert (view.retry_of, view.state, view.deadline) == (old, TaskState.IDLE, START + HOUR * 3)
        new = (await here.ledger.find(view.task_id, principal=LOCAL)).spec
        assert new == TaskSpec(
            description="写",
            type="general",
            priority=3,
            options={"permissions": "edit"},
            retry_of=old,
            deadline=START + HOUR * 3,
        )


async def test_what_is_open_or_completed_is_not_tried_again(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for task_id in (await here.submitted(), await here.ended(await here.submitted(), TaskState.COMPLETED)):
            with pytest.raises(BadRequest, match="only one that failed or was cancelled"):
                await here.service.retry(task_id)


async def test_a_purge_says_what_it_would_do_and_does_it(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.ended(await here.submitted())
        here.clock.advance(HOUR * 3)
        for older_than, dry_run, count in (("4h", False, 0), ("2h", True, 1), ("2h", False, 1), ("2h", False, 0)):
            assert (await here.service.purge(older_than, dry_run=dry_run)).tasks == count
        with pytest.raises(BadRequest, match="no span of time"):
            await here.service.purge("long")


async def test_consent_is_for_named_tasks_and_a_dry_run_gives_none(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task_id = await here.executing(await here.submitted())
        await here.ledger.park(task_id, attempt=1, owner="me", waiting_for=WaitingFor.CONSENT, text="unknown")
        asks: list[Callable[[], Any]] = [
            lambda: here.service.resume(None),
            lambda: here.service.resume([task_id], dry_run=True),
            lambda: here.service.resume([task_id]),
            lambda: here.service.resume([task_id]),
        ]
        actions = [(await ask()).tasks for ask in asks]
        assert [task.action for tasks in actions for task in tasks] == [
            "left alone",
            "would resume",
            "resumed",
            "left alone",
        ]
        assert (await here.ledger.find(task_id, principal=LOCAL)).consented


async def test_a_resume_names_the_executor_with_which_the_run_before_may_live(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task_id = await here.submitted()
        assert await here.ledger.begin(task_id, owner="me") is not None
        choice = replace(CHOICE, executor="claw")
        await here.ledger.bind(task_id, attempt=1, owner="me", choice=choice, endpoint="its own", run_id="run-1")
        await here.ledger.park(task_id, attempt=1, owner="me", waiting_for=WaitingFor.RETRY, text="later")
        [told] = (await here.service.resume([task_id], dry_run=True)).tasks
    assert told.text.endswith("attempt 2 on claw")


class Asking(LocalDispatch):
    """Says when an engine was asked to ring."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()

    def ask_back(self, address: str, task_id: str) -> None:
        super().ask_back(address, task_id)
        self.asked.set()


async def test_who_waits_hears_of_the_end_from_the_engine_and_not_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "POLL", 3600)
    fake, dispatch, waits = FakeExecutor(held=True), Asking(), 40
    async with place(tmp_path, dispatch=dispatch) as here, ledger_for_tests(tmp_path) as theirs:
        async with LocalDispatch().listen() as doorbell, dispatch.calling(here.ledger.look):
            mark = EngineMark(owner="engine", pid=1, version="1", log="", address=doorbell.address, started_at=START)
            await theirs.announce(mark)
            engine = engine_for(theirs, fake, home=tmp_path, doorbell=doorbell)
            task_id = await here.submitted()
            async with anyio.create_task_group() as attempts:
                await engine.step(attempts)
                await fake.begun()

                async def end() -> None:
                    await dispatch.asked.wait()
                    fake.let_go()

                attempts.start_soon(end)
                assert (await here.service.status(task_id, wait_seconds=waits)).state is TaskState.COMPLETED


async def test_a_story_has_each_attempt_with_its_route_and_what_its_own_calls_cost(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task_id = await here.executing(await here.submitted())
        call = Usage(task_id=task_id, attempt=1, model="m", endpoint="litellm")
        first = await here.ledger.open_usage(call)
        await here.ledger.close_usage(first, replace(call, cost_usd=0.25, route="openai/m at api.x"))
        await here.ledger.open_usage(call)
        await here.ledger.release(task_id, attempt=1, owner="me", text="again")
        await here.executing(task_id)
        story = await here.service.story(task_id)
    first_try, second = story.attempts
    assert (first_try.end, first_try.route) == ("released", "openai/m at api.x")
    assert (first_try.cost_usd, first_try.cost_unknown_calls) == (0.25, 1)
    assert (second.attempt, second.cost_usd, second.cost_unknown_calls, second.end) == (2, None, None, None)
    assert story.cost_usd == 0.25

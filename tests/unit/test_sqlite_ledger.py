"""The ledger: every verb's guard, what is kept, what is read, and what it says when the disk says no."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import anyio
import pytest
from anyio.to_thread import run_sync

from omni_mcp.errors import (
    BadRequest,
    IdempotencyConflict,
    LedgerError,
    LedgerTooNew,
    LedgerUnusable,
    OmniError,
    TaskAmbiguous,
    TaskNotFound,
    TransitionRefused,
)
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import EngineMark, ExecutorHealth
from omni_mcp.ledger.migrations import migrate, newest_version
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import (
    LOCAL,
    Choice,
    Completed,
    Failed,
    FailureClass,
    Mode,
    Task,
    TaskState,
    Usage,
    WaitingFor,
    new_id,
)
from omni_mcp.testing import START, ToldClock, a_spec, ledger_for_tests, result_of

LEDGERS = "all"
"""What is said here holds for each kind of ledger."""

CHOICE = Choice(executor="fake", requested="wanted", model="m", reason="because")
DONE = Completed(text="done", structured={"n": 1}, notes={"turns": 2})
HOUR = timedelta(hours=1)
ME = "me"
NEWEST = max(int(file.name[:4]) for file in Path(sql.__file__).with_name("sql").glob("*.sql"))


async def submitted(ledger: SqliteLedger, **changes: Any) -> Task:
    return (await ledger.submit(a_spec(**changes), task_id=new_id(), choice=CHOICE)).task


async def begun(ledger: SqliteLedger, task_id: str | None = None, owner: str = ME) -> Task:
    task = await ledger.begin(task_id or (await submitted(ledger)).id, owner=owner)
    assert task is not None
    return task


async def bound(ledger: SqliteLedger, task_id: str | None = None, owner: str = ME) -> Task:
    task = await begun(ledger, task_id, owner)
    await ledger.bind(task.id, attempt=task.attempt, owner=owner, choice=CHOICE, endpoint="relay", run_id="run-1")
    return await again(ledger, task)


async def finished(ledger: SqliteLedger, task: Task, *, attempt: int | None = None, owner: str = ME) -> Task:
    number = task.attempt if attempt is None else attempt
    await ledger.finish(task.id, attempt=number, owner=owner, state=TaskState.COMPLETED, outcome=DONE)
    return await again(ledger, task)


async def parked(ledger: SqliteLedger, task: Task, waiting_for: WaitingFor = WaitingFor.RETRY, **changes: Any) -> Task:
    await ledger.park(task.id, attempt=task.attempt, owner=ME, waiting_for=waiting_for, text="held", **changes)
    return await again(ledger, task)


async def resumed(ledger: SqliteLedger, task: Task, *, consent: bool) -> Task:
    await ledger.resume(task.id, consent=consent)
    return await again(ledger, task)


async def again(ledger: SqliteLedger, task: Task) -> Task:
    return await ledger.find(task.id, principal=task.spec.principal)


# the way of a task


async def test_a_task_goes_from_submit_to_its_result_and_its_history_has_no_gap(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        spec = a_spec(executor="wanted", model="m", cwd="/", priority=3, options={"a": [1]})
        task = (await ledger.submit(spec, task_id=new_id(), choice=CHOICE)).task
        assert (task.spec, task.state, task.since, task.attempt) == (spec, TaskState.IDLE, START, 0)
        assert (task.requested, task.reason) == ("wanted", "because")
        clock.advance(HOUR)
        task = await begun(ledger, task.id)
        assert (task.state, task.since, task.attempt, task.owner) == (TaskState.DISPATCHING, START + HOUR, 1, ME)
        await ledger.bind(task.id, attempt=1, owner=ME, choice=CHOICE, endpoint="relay", run_id="run-1")
        task = await again(ledger, task)
        assert (task.served_by, task.model, task.endpoint, task.run_id) == ("fake", "m", "relay", "run-1")
        assert await ledger.checkpoint(task.id, attempt=1, owner=ME, progress="half", snapshot={"step": 1})
        assert await ledger.checkpoint(task.id, attempt=1, owner=ME, progress=None, snapshot={"step": 2})
        seen = await again(ledger, task)
        assert (seen.progress, seen.progress_at, seen.snapshot) == ("half", START + HOUR, {"step": 2})
        task = await finished(ledger, task)
        assert (task.state, task.owner, task.terminal) == (TaskState.COMPLETED, None, True)
        result = await result_of(ledger, task.id)
        assert result is not None
        assert (result.text, result.structured, result.notes, result.error) == ("done", {"n": 1}, {"turns": 2}, None)
        events = await ledger.events(task.id)
        assert [event.seq for event in events] == [1, 2, 3, 4, 5]
        assert [event.text for event in events] == [
            "→ idle",
            "idle → dispatching",
            "dispatching → executing",
            "half",
            "executing → completed",
        ]
        assert [event.kind for event in events] == ["state", "state", "state", "progress", "state"]
        assert [event.attempt for event in events] == [0, 1, 1, 1, 1]


async def test_a_failure_keeps_its_kind_its_words_and_what_was_produced(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        failed = Failed(kind=FailureClass.TASK, message="cannot be done", fix="ask for less", partial="first half")
        task = await bound(ledger)
        await ledger.finish(task.id, attempt=1, owner=ME, state=TaskState.FAILED, outcome=failed)
        task = await again(ledger, task)
        assert (task.state, task.text) == (TaskState.FAILED, "cannot be done. ask for less")
        result = await result_of(ledger, task.id)
        assert result is not None
        assert (result.text, result.error) == ("first half", FailureClass.TASK)


async def test_text_that_is_no_utf8_is_kept_as_far_as_it_can_be(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await bound(ledger, (await submitted(ledger, description="a \ud800 b 写", options={"x": "\udfff"})).id)
        assert task.spec.description == "a ? b 写"
        outcome = Completed(text="\ud800!", structured={"s": "\ud800"})
        await ledger.checkpoint(task.id, attempt=1, owner=ME, progress="\ud800", snapshot={"p": "\ud800"})
        await ledger.finish(task.id, attempt=1, owner=ME, state=TaskState.COMPLETED, outcome=outcome)
        result = await result_of(ledger, task.id)
        assert result is not None
        assert (result.text, result.structured) == ("?!", {"s": "?"})


# guards: state, attempt, owner


async def test_a_task_is_begun_once(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await begun(ledger)
        assert await ledger.begin(task.id, owner="other") is None
        assert await ledger.begin("nothing", owner=ME) is None


Verb = Callable[[SqliteLedger, str, int, str], Any]

GUARDED: dict[str, Verb] = {
    "bind": lambda ledger, i, attempt, owner: ledger.bind(
        i, attempt=attempt, owner=owner, choice=CHOICE, endpoint="", run_id=""
    ),
    "finish": lambda ledger, i, attempt, owner: ledger.finish(
        i, attempt=attempt, owner=owner, state=TaskState.FAILED, outcome=DONE
    ),
    "park": lambda ledger, i, attempt, owner: ledger.park(
        i, attempt=attempt, owner=owner, waiting_for=WaitingFor.RETRY, text="x"
    ),
    "release": lambda ledger, i, attempt, owner: ledger.release(i, attempt=attempt, owner=owner, text="x"),
}


@pytest.mark.parametrize("verb", GUARDED)
async def test_only_the_attempt_and_owner_that_hold_a_task_move_it(verb: str, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await begun(ledger)
        for attempt, owner in ((0, ME), (2, ME), (1, "other")):
            with pytest.raises(TransitionRefused):
                await GUARDED[verb](ledger, task.id, attempt, owner)
        assert (await again(ledger, task)).state is TaskState.DISPATCHING
        await GUARDED[verb](ledger, task.id, 1, ME)
        assert (await again(ledger, task)).state is not TaskState.DISPATCHING


@pytest.mark.parametrize("verb", GUARDED)
async def test_what_nobody_holds_is_not_moved_by_an_old_holder(verb: str, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        for free in (ledger.release, partial(ledger.park, waiting_for=WaitingFor.RETRY)):
            task = await begun(ledger)
            await free(task.id, attempt=1, owner=ME, text="freed")
            with pytest.raises(TransitionRefused):
                await GUARDED[verb](ledger, task.id, 1, ME)


@pytest.mark.parametrize("verb", GUARDED)
async def test_a_terminal_task_never_moves_again(verb: str, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await finished(ledger, await bound(ledger))
        with pytest.raises(TransitionRefused):
            await GUARDED[verb](ledger, task.id, 1, ME)
        assert await ledger.begin(task.id, owner=ME) is None
        assert not await ledger.checkpoint(task.id, attempt=1, owner=ME, progress="x", snapshot=None)
        assert await ledger.request_cancel(task.id, reason=None) == task
        for move in (
            ledger.resume(task.id, consent=True),
            ledger.hold(task.id, waiting_for=WaitingFor.EXECUTOR, text="x"),
        ):
            with pytest.raises(TransitionRefused):
                await move
        assert await again(ledger, task) == task


@pytest.mark.sqlite
async def test_the_file_itself_refuses_to_wake_the_dead(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await finished(ledger, await bound(ledger))

    def wake() -> None:
        db = sqlite3.connect(tmp_path / "ledger.db")
        try:
            db.execute("update tasks set state = 'idle' where id = ?", (task.id,))
        finally:
            db.close()

    with pytest.raises(sqlite3.IntegrityError, match="never changes"):
        await run_sync(wake)


async def test_a_task_that_was_claimed_begins_as_it_is_now_and_not_as_it_was_read(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        await submitted(ledger, budget_usd=0.5)
        [claimed] = await ledger.claimable(limit=9)
        await ledger.hold(claimed.id, waiting_for=WaitingFor.BUDGET, text="spent")
        clock.advance(HOUR)
        await ledger.resume(claimed.id, consent=True, add_budget_usd=1.0)
        begun = await ledger.begin(claimed.id, owner=ME, claimed=claimed)
        assert begun is not None
        assert begun == await ledger.find(claimed.id, principal=LOCAL)
        assert begun.spec.budget_usd == 1.5
        await ledger.release(claimed.id, attempt=1, owner=ME, text="given back")
        assert await ledger.begin(claimed.id, owner=ME, claimed=claimed) is None, "it was begun since"
        [again] = await ledger.claimable(limit=9)
        assert await ledger.begin(claimed.id, owner=ME, claimed=again) == await ledger.find(claimed.id, principal=LOCAL)


async def test_what_was_never_bound_cannot_be_completed(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await begun(ledger)
        with pytest.raises(TransitionRefused):
            await finished(ledger, task)


async def test_a_bound_task_is_not_bound_again(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await bound(ledger)
        with pytest.raises(TransitionRefused):
            await GUARDED["bind"](ledger, task.id, 1, ME)


async def test_a_sign_of_life_of_an_old_attempt_is_refused(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await begun(ledger)
        assert not await ledger.checkpoint(task.id, attempt=1, owner=ME, progress="not bound", snapshot=None)
        await ledger.release(task.id, attempt=1, owner=ME, text="again")
        task = await bound(ledger, task.id, owner="other")
        for attempt, owner in ((1, ME), (1, "other"), (2, ME)):
            assert not await ledger.checkpoint(
                task.id, attempt=attempt, owner=owner, progress="late", snapshot={"a": 1}
            )
        assert (await again(ledger, task)).snapshot is None
        assert "late" not in [event.text for event in await ledger.events(task.id)]


async def test_a_late_result_is_kept_as_an_event_and_never_as_the_outcome(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await bound(ledger)
        await ledger.release(task.id, attempt=1, owner=ME, text="its engine died")
        await bound(ledger, task.id, owner="other")
        with pytest.raises(TransitionRefused):
            await finished(ledger, task)
        late = (await ledger.events(task.id))[-1]
        assert (late.kind, late.attempt) == ("late_result", 1)
        assert late.data == {"state": "completed", "result": "done", "error": None}
        assert await result_of(ledger, task.id) is None
        assert (await finished(ledger, task, attempt=2, owner="other")).state is TaskState.COMPLETED


async def test_the_end_of_a_task_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        with pytest.raises(TransitionRefused):
            await ledger.finish("nothing", attempt=1, owner=ME, state=TaskState.FAILED, outcome=DONE)


# waiting and going on


async def test_a_fault_is_counted_only_where_it_is_one(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await begun(ledger)
        assert (await parked(ledger, task, WaitingFor.CLOUD)).faults == 0
        task = await begun(ledger, (await resumed(ledger, task, consent=False)).id)
        assert (await parked(ledger, task, fault=True)).faults == 1
        task = await begun(ledger, (await resumed(ledger, task, consent=False)).id)
        assert await ledger.release(task.id, attempt=3, owner=ME, text="x") is None
        assert (await again(ledger, task)).faults == 1


async def test_what_is_due_wakes_and_the_rest_sleeps_on(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        soon = await parked(ledger, await begun(ledger), due_at=clock.now() + HOUR)
        late = await parked(ledger, await begun(ledger), due_at=clock.now() + 2 * HOUR)
        never = await parked(ledger, await begun(ledger), WaitingFor.CONSENT)
        idle = await submitted(ledger)
        await ledger.hold(idle.id, waiting_for=WaitingFor.EXECUTOR, text="nobody", due_at=clock.now() + HOUR)
        held = await again(ledger, idle)
        assert (held.state, held.waiting_for, held.text) == (TaskState.WAITING, WaitingFor.EXECUTOR, "nobody")
        assert await ledger.wake_due(cloud=True) == 0
        clock.advance(HOUR)
        assert await ledger.wake_due(cloud=True) == 2
        assert await ledger.wake_due(cloud=True) == 0
        states = [(await again(ledger, task)).state for task in (soon, held, late, never)]
        assert states == [TaskState.IDLE, TaskState.IDLE, TaskState.WAITING, TaskState.WAITING]
        woken = await again(ledger, soon)
        assert (woken.waiting_for, woken.due_at) == (None, None)


async def test_consent_is_given_once_for_one_attempt(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await parked(ledger, await begun(ledger), WaitingFor.CONSENT)
        with pytest.raises(TransitionRefused):
            await ledger.resume(task.id, consent=False)
        assert (await resumed(ledger, task, consent=True)).consented
        with pytest.raises(TransitionRefused):
            await ledger.resume(task.id, consent=True)
        assert not (await begun(ledger, task.id)).consented


async def test_consent_is_not_given_by_resuming_what_asks_for_none(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await parked(ledger, await begun(ledger), WaitingFor.BUDGET)
        assert not (await resumed(ledger, task, consent=True)).consented


async def test_a_free_task_is_cancelled_at_once_and_says_so(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        for task in (await submitted(ledger), await parked(ledger, await begun(ledger), due_at=START)):
            gone = await ledger.request_cancel(task.id, reason="changed my mind")
            assert (gone.state, gone.text, gone.due_at) == (TaskState.CANCELLED, "cancelled: changed my mind", None)
            result = await result_of(ledger, task.id)
            assert result is not None
            assert (result.text, result.error) == ("cancelled: changed my mind", FailureClass.CANCELLED)


async def test_a_held_task_is_cancelled_by_its_engine_which_finds_word_of_it(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        for task in (await begun(ledger), await bound(ledger)):
            asked = await ledger.request_cancel(task.id, reason=None)
            assert (asked.state, asked.cancel_requested_at) == (task.state, clock.now())
        clock.advance(HOUR)
        assert (await ledger.request_cancel(task.id, reason=None)).cancel_requested_at == START


async def test_cancelling_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        with pytest.raises(TaskNotFound):
            await ledger.request_cancel("nothing", reason=None)


async def test_a_renewal_extends_all_claims_of_an_owner_and_nobody_elses(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        mine = {(await begun(ledger)).id, (await bound(ledger)).id}
        other = await begun(ledger, owner="other")
        await finished(ledger, await bound(ledger))
        clock.advance(HOUR)
        assert set(await ledger.renew(ME, lease=HOUR)) == mine
        leases = {task.id: task.lease_until for task in await ledger.held()}
        assert leases == {**dict.fromkeys(mine, START + 2 * HOUR), other.id: other.lease_until}


# idempotency


async def test_the_same_key_with_the_same_arguments_is_the_first_task(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        spec = a_spec(idempotency_key="k", options={"a": 1, "b": 2})
        first = await ledger.submit(spec, task_id=new_id(), choice=CHOICE)
        second = await ledger.submit(replace(spec, options={"b": 2, "a": 1}), task_id=new_id(), choice=None)
        assert (first.deduplicated, second.deduplicated) == (False, True)
        assert second.task == first.task


@pytest.mark.parametrize(
    "change",
    [{"description": "other"}, {"type": "x"}, {"executor": "x"}, {"model": "x"}, {"cwd": "/"}, {"priority": 1}],
)
async def test_the_same_key_with_other_arguments_is_a_conflict(change: dict[str, Any], tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        first = await submitted(ledger, idempotency_key="k")
        with pytest.raises(IdempotencyConflict) as conflict:
            await submitted(ledger, **{"idempotency_key": "k", **change})
        assert first.id in (conflict.value.next_step or "")
        assert await ledger.counts() == {TaskState.IDLE: 1}


async def test_a_key_is_its_principals_own(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        first = await submitted(ledger, idempotency_key="k")
        second = await submitted(ledger, idempotency_key="k", description="other", principal="somebody")
        assert first.id != second.id


async def test_callers_with_one_key_at_once_get_one_task(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        ids: list[str] = []

        async def submit() -> None:
            ids.append((await submitted(ledger, idempotency_key="k")).id)

        async with anyio.create_task_group() as callers:
            for _ in range(20):
                callers.start_soon(submit)
        assert len(set(ids)) == 1


# finding


async def test_a_unique_beginning_of_an_id_is_enough_in_any_case(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await submitted(ledger)
        for said in (task.id, task.id[:6], f" {task.id.upper()[:9]} "):
            assert (await ledger.find(said, principal=LOCAL)).id == task.id


@pytest.mark.parametrize(
    "said", ["", "abcde", "abc%%%%", "abc___", "abc*??", "写写写写写写", "\ud800aaaaaa", "abcdef\0", "'; --xx"]
)
async def test_what_is_no_beginning_of_an_id_is_not_found(said: str, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        await ledger.submit(a_spec(), task_id="abcdefghij", choice=None)
        with pytest.raises(TaskNotFound):
            await ledger.find(said, principal=LOCAL)


async def test_an_ambiguous_beginning_names_the_candidates(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        for task_id in ("abcdef", "abcdefgh", "abcdefgz"):
            await ledger.submit(a_spec(), task_id=task_id, choice=None)
        with pytest.raises(TaskAmbiguous, match="abcdefgh, abcdefgz"):
            await ledger.find("abcdefg", principal=LOCAL)
        assert (await ledger.find("abcdef", principal=LOCAL)).id == "abcdef"


async def test_another_principals_task_is_not_found(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await submitted(ledger, principal="somebody")
        for said in (task.id, task.id[:8]):
            with pytest.raises(TaskNotFound):
                await ledger.find(said, principal=LOCAL)
        assert (await ledger.find(task.id, principal="somebody")).id == task.id


# reading


async def test_pages_show_each_task_once_newest_first(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        ids = [(await submitted(ledger, description="x" * 500)).id for _ in range(7)]
        await submitted(ledger, principal="somebody")
        seen: list[str] = []
        cursor = None
        for size in (3, 3, 1):
            page = await ledger.page(principal=LOCAL, limit=3, cursor=cursor)
            assert len(page.tasks) == size
            seen += [task.id for task in page.tasks]
            cursor = page.cursor
            await submitted(ledger)
        assert cursor is None
        assert seen == ids[::-1]
        assert len(page.tasks[0].spec.description) == 200


async def test_pages_of_some_states(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        idle = await submitted(ledger)
        waiting = await parked(ledger, await begun(ledger))
        await bound(ledger)
        page = await ledger.page(principal=LOCAL, states=[TaskState.IDLE, TaskState.WAITING])
        assert [task.id for task in page.tasks] == [waiting.id, idle.id]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "²", "1.5", "9" * 30])
async def test_an_invented_cursor_is_refused_with_the_way_out(cursor: str, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        with pytest.raises(BadRequest) as error:
            await ledger.page(principal=LOCAL, cursor=cursor)
        assert "without a cursor" in (error.value.next_step or "")


async def test_claimable_is_idle_by_priority_then_by_arrival(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, ToldClock()) as ledger:
        tasks = [await submitted(ledger, priority=priority) for priority in (0, 5, 0, -5, 5)]
        await begun(ledger)
        order = [tasks[n].id for n in (1, 4, 0, 2, 3)]
        assert [task.id for task in await ledger.claimable(limit=10)] == order
        assert [task.id for task in await ledger.claimable(limit=2)] == order[:2]


async def test_counts_are_of_open_tasks(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        assert await ledger.counts() == {}
        await submitted(ledger)
        await submitted(ledger)
        await bound(ledger)
        await finished(ledger, await bound(ledger))
        assert await ledger.counts() == {TaskState.IDLE: 2, TaskState.EXECUTING: 1}


async def test_events_are_read_on_from_where_one_was(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await bound(ledger)
        for reason in ("no longer wanted", "said twice"):
            await ledger.request_cancel(task.id, reason=reason)
        assert [event.seq for event in await ledger.events(task.id, limit=2)] == [1, 2]
        (note,) = await ledger.events(task.id, since_seq=3)
        assert (note.seq, note.kind, note.text) == (4, "note", "asked to be cancelled: no longer wanted")
        assert await ledger.events(task.id, since_seq=4) == []


async def test_known_costs_are_summed_and_unknown_ones_stay_unknown(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await bound(ledger)
        usage = Usage(task_id=task.id, attempt=1, model="m")
        calls = [await ledger.open_usage(usage) for _ in range(3)]
        await ledger.close_usage(calls[0], replace(usage, input_tokens=1))
        assert (await again(ledger, task)).cost_usd is None
        await ledger.close_usage(calls[1], replace(usage, cost_usd=0.25))
        await ledger.close_usage(calls[2], replace(usage, cost_usd=0.5))
        await ledger.close_usage(calls[2], replace(usage, cost_usd=9.0))
        assert (await again(ledger, task)).cost_usd == 0.75
        assert (await ledger.page(principal=LOCAL)).tasks[0].cost_usd == 0.75
        with pytest.raises(LedgerError):
            await ledger.open_usage(replace(usage, task_id="nothing"))


# engines


def a_mark(owner: str, clock: ToldClock) -> EngineMark:
    return EngineMark(owner=owner, pid=1, version="1", log="log", address="127.0.0.1:1", started_at=clock.now())


async def test_an_engine_is_announced_and_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        assert await ledger.engine() is None
        await ledger.announce(a_mark("old", clock))
        await ledger.report_health(ExecutorHealth(name="e", usable=False, detail="broken", seen_at=clock.now()))
        assert (await ledger.health())["e"].detail == "broken"
        await ledger.announce(a_mark("new", clock))
        assert await ledger.engine() == a_mark("new", clock)
        assert await ledger.health() == {}
        health = ExecutorHealth(name="e", usable=True, detail="1.0", seen_at=clock.now() + HOUR)
        for seen in (replace(health, usable=False), health):
            await ledger.report_health(seen)
        assert await ledger.health() == {"e": health}


async def test_an_engine_retires_only_when_nothing_is_open_and_the_next_submit_sees_it(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        assert (await ledger.submit(a_spec(), task_id=new_id(), choice=None)).engine is None
        await ledger.announce(a_mark(ME, clock))
        seen = await ledger.submit(a_spec(), task_id=new_id(), choice=None)
        task = seen.task
        assert seen.engine == a_mark(ME, clock)
        assert a_mark(ME, clock).there
        for open_task in await ledger.claimable(limit=10):
            assert not await ledger.retire(ME, only_if_idle=True)
            await ledger.request_cancel(open_task.id, reason=None)
        assert not await ledger.retire("other", only_if_idle=True)
        assert await ledger.retire(ME, only_if_idle=True)
        mark = await ledger.engine()
        assert mark is not None
        assert mark.gone_at == clock.now()
        assert (await again(ledger, task)).terminal
        late = await ledger.submit(a_spec(), task_id=new_id(), choice=None)
        assert late.engine is not None
        assert not late.engine.there
        assert await ledger.retire(ME, only_if_idle=False)


# being told


async def test_a_change_by_this_process_or_another_wakes_who_waits(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger, ledger_for_tests(tmp_path) as other:
        for writer in (ledger, other):
            seen = await ledger.watermark()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(submitted, writer))
                with anyio.fail_after(10):
                    assert await ledger.changed(seen, timeout=HOUR)


@pytest.mark.sqlite
async def test_a_change_by_this_process_wakes_at_once_and_not_at_the_next_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_mcp.ledger.sqlite.POLL", 1000)
    async with ledger_for_tests(tmp_path) as ledger:
        seen = await ledger.watermark()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(ledger.changed, seen, timeout=HOUR))
                await anyio.wait_all_tasks_blocked()
                await submitted(ledger)


async def test_what_is_written_between_the_watermark_and_the_waiting_is_not_lost(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger, ledger_for_tests(tmp_path) as other:
        for writer in (ledger, other):
            seen = await ledger.watermark()
            await submitted(writer)
            assert await ledger.changed(seen, timeout=timedelta(0.1))
        assert not await ledger.changed(await ledger.watermark(), timeout=timedelta(seconds=0.02))


# across processes

ACKNOWLEDGE = """
import sys
from pathlib import Path
import anyio
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import TaskSpec, new_id

async def main():
    async with SqliteLedger(Path(sys.argv[1])) as ledger, anyio.create_task_group() as callers:
        for _ in range(20):
            callers.start_soon(submit, ledger)

async def submit(ledger):
    while True:
        submitted = await ledger.submit(TaskSpec(description="x"), task_id=new_id(), choice=None)
        print(submitted.task.id, flush=True)

anyio.run(main)
"""

RACE = """
import sys
from pathlib import Path
import anyio
from omni_mcp.ledger.sqlite import SqliteLedger

async def main():
    async with SqliteLedger(Path(sys.argv[1])) as ledger:
        tasks = await ledger.claimable(limit=1000)
        print("ready", flush=True)
        sys.stdin.readline()
        async with anyio.create_task_group() as callers:
            for task in tasks:
                callers.start_soon(claim, ledger, task.id)

async def claim(ledger, task_id):
    if await ledger.begin(task_id, owner=sys.argv[2]) is not None:
        print(task_id, flush=True)

anyio.run(main)
"""


@contextmanager
def python(script: str, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run a script; it is killed at the end."""
    argv = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged_until_killed(path: Path, count: int) -> Sequence[str]:
    """Have a process submit tasks, kill it after `count` acknowledgements, and return the ids that it acknowledged."""
    with python(ACKNOWLEDGE, str(path)) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(count)]
        os.kill(process.pid, signal.SIGKILL)
        return [line.strip() for line in [*first, *process.stdout] if line.endswith("\n")]


@pytest.mark.sqlite
async def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    ids = await run_sync(acknowledged_until_killed, tmp_path / "ledger.db", 100)
    async with ledger_for_tests(tmp_path) as ledger:
        assert len(ids) >= 100
        for task_id in ids:
            assert (await ledger.find(task_id, principal=LOCAL)).state is TaskState.IDLE
        await submitted(ledger)


def raced(path: Path) -> Sequence[Sequence[str]]:
    """Have two processes begin the same tasks at once; returns what each got."""
    with python(RACE, str(path), "a") as a, python(RACE, str(path), "b") as b:
        for process in (a, b):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (a, b):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [process.communicate(timeout=30)[0].split() for process in (a, b)]


@pytest.mark.sqlite
async def test_of_two_processes_that_race_for_tasks_each_task_is_begun_by_one(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        ids = {(await submitted(ledger)).id for _ in range(200)}
        a, b = await run_sync(raced, tmp_path / "ledger.db")
        assert len(a) + len(b) == 200
        assert {*a, *b} == ids
        owners = {task.id: task.owner for task in await ledger.held()}
        assert owners == {**dict.fromkeys(a, "a"), **dict.fromkeys(b, "b")}


# when the disk says no


async def refused(ledger: SqliteLedger, kind: type[OmniError], sign: str) -> OmniError:
    """Return the error that writing and reading both raise."""
    for call in (partial(submitted, ledger), ledger.counts):
        with pytest.raises(kind, match=sign) as error:
            await call()
        assert error.value.next_step
    return error.value


@pytest.mark.sqlite
async def test_a_file_that_is_no_ledger_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await run_sync(path.write_bytes, b"garbage" * 1000)
    async with ledger_for_tests(tmp_path) as ledger:
        await refused(ledger, LedgerUnusable, "not a ledger")
        assert await run_sync(path.read_bytes) == b"garbage" * 1000
        await run_sync(path.unlink)
        assert await submitted(ledger)


@pytest.mark.sqlite
async def test_a_ledger_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        task = await submitted(ledger)
    newest = await run_sync(newest_version)
    await run_sync(execute, tmp_path / "ledger.db", "pragma user_version = 99")
    async with ledger_for_tests(tmp_path) as ledger:
        error = await refused(ledger, LedgerTooNew, "version 99")
        assert "upgrade" in (error.next_step or "")
        await run_sync(execute, tmp_path / "ledger.db", f"pragma user_version = {newest}")
        assert (await again(ledger, task)).id == task.id


@pytest.mark.sqlite
async def test_a_deleted_ledger_is_missed_by_who_writes_and_by_who_reads(tmp_path: Path) -> None:
    for call in ("write", "read"):
        folder = tmp_path / call
        async with ledger_for_tests(folder, clock := ToldClock()) as ledger:
            await submitted(ledger)
            assert await ledger.counts()
            await run_sync((folder / "ledger.db").unlink)
            clock.advance(HOUR)
            with pytest.raises(LedgerUnusable, match="deleted or replaced") as error:
                await (submitted(ledger) if call == "write" else ledger.counts())
            assert "backup" in (error.value.next_step or "")
            assert await ledger.counts() == {}
            await submitted(ledger)
            assert await ledger.counts() == {TaskState.IDLE: 1}


@pytest.mark.sqlite
async def test_a_replaced_ledger_is_read_after_it_was_noticed(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path / "backup") as backup:
        kept = await submitted(backup)
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        task = await submitted(ledger)
        assert await again(ledger, task)
        await run_sync(shutil.copy, tmp_path / "backup" / "ledger.db", tmp_path / "restored")
        await run_sync((tmp_path / "restored").replace, tmp_path / "ledger.db")
        with pytest.raises(LedgerUnusable, match="replaced"):
            await submitted(ledger)
        assert (await again(ledger, kept)).id == kept.id
        clock.advance(HOUR)
        assert (await again(ledger, kept)).id == kept.id
        with pytest.raises(TaskNotFound):
            await again(ledger, task)


@pytest.mark.sqlite
async def test_a_damaged_ledger_works_again_when_it_was_put_right_in_place(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger_for_tests(tmp_path) as ledger:
        task = await submitted(ledger)
    good = await run_sync(path.read_bytes)
    async with ledger_for_tests(tmp_path) as ledger:
        assert await again(ledger, task)
        await run_sync(path.write_bytes, b"\1" * len(good))
        with pytest.raises(LedgerUnusable):
            await submitted(ledger)
        await run_sync(path.write_bytes, good)
        assert await submitted(ledger)
        assert await again(ledger, task)


@asynccontextmanager
async def a_folder_nobody_may_write() -> AsyncGenerator[Path]:
    """Make a folder that this process can look at but not write, also when root runs it."""
    folder = Path(await run_sync(tempfile.mkdtemp))
    await run_sync(folder.chmod, 0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        await run_sync(shutil.rmtree, folder)


@pytest.mark.sqlite
async def test_many_that_read_first_open_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    connect = aiosqlite.connect

    def noted(*args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return connect(*args, **kwargs)

    async with ledger_for_tests(tmp_path, ToldClock()) as ledger:
        task = await submitted(ledger)
    monkeypatch.setattr(aiosqlite, "connect", noted)
    found: list[str] = []
    async with ledger_for_tests(tmp_path, ToldClock()) as ledger, anyio.create_task_group() as tasks:

        async def reads() -> None:
            found.append((await ledger.find(task.id, principal=LOCAL)).id)

        for _ in range(50):
            tasks.start_soon(reads)
    assert found == [task.id] * 50
    assert len(opened) == 1


@pytest.mark.sqlite
@pytest.mark.skipif(sys.platform == "win32", reason="permission bits of POSIX")
async def test_a_read_only_folder_is_an_answer_and_works_when_it_was_made_writable() -> None:
    async with a_folder_nobody_may_write() as folder, ledger_for_tests(folder) as ledger:
        error = await refused(ledger, LedgerUnusable, "cannot be written")
        assert "writable" in (error.next_step or "")


def execute(path: Path, statement: str) -> None:
    """Run one statement as another program would."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute(statement)
    finally:
        db.close()


# indexes


async def test_what_waits_for_a_cloud_is_woken_only_when_one_may_serve_the_most_urgent_first(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        ids = [(await submitted(ledger, priority=priority)).id for priority in (0, 5, 0)]
        for task_id in ids:
            await ledger.hold(task_id, waiting_for=WaitingFor.CLOUD, text="dark", due_at=clock.now())
        other = (await submitted(ledger)).id
        await ledger.hold(other, waiting_for=WaitingFor.RESET, text="limit", due_at=clock.now())
        assert await ledger.waits() == {WaitingFor.CLOUD: 3, WaitingFor.RESET: 1}
        assert await ledger.wake_due(cloud=False) == 1
        assert await ledger.wake_held(limit=2) == 2
        assert [task.id for task in await ledger.claimable(limit=9)] == [ids[1], ids[0], other]
        assert await ledger.wake_due(cloud=True) == 1
        assert await ledger.wake_held(limit=9) == 0


async def test_only_who_has_the_right_to_probe_writes_the_mode(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        until = clock.now() + HOUR
        said: dict[str, Any] = {"state": "{}", "mode": Mode.DEGRADED, "cause": "it broke", "notice": "mode degraded"}
        assert not await ledger.save_mode(ME, **said)
        assert await ledger.lead(ME, over=None, until=until)
        assert not await ledger.lead("other", over=None, until=until)
        assert await ledger.save_mode(ME, **said)
        assert await ledger.save_mode(ME, **said)
        assert not await ledger.save_mode("other", **{**said, "mode": Mode.NORMAL})
        assert [(line.was, line.mode) for line in await ledger.mode_changes(limit=9)] == [(Mode.NORMAL, Mode.DEGRADED)]
        assert await ledger.lead("other", over=ME, until=until)
        clock.advance(HOUR * 2)
        assert await ledger.lead(ME, over=None, until=until + HOUR * 3)


async def test_a_notice_is_told_once(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        await ledger.lead(ME, over=None, until=clock.now() + HOUR)
        await ledger.save_mode(ME, state="{}", mode=Mode.BRAINSTEM, cause="dark", notice="mode brainstem: dark")
        (notice,) = await ledger.untold()
        assert (notice.kind, notice.text) == ("mode", "mode brainstem: dark")
        assert [await ledger.told(notice.number) for _ in range(2)] == [True, False]
        assert not await ledger.untold()


PLANS = {
    sql.CLAIMABLE: "SEARCH tasks USING COVERING INDEX idle_tasks (principal=?)",
    sql.OVERDUE: "SEARCH tasks USING INDEX deadlines",
    sql.FREE_DEPENDANTS: "SEARCH dependencies USING COVERING INDEX dependants",
    sql.HELD: "SEARCH tasks USING COVERING INDEX open_tasks",
    sql.RENEW: "USING INDEX asking_tasks",
    sql.of_whom(sql.COUNTS, None)[0]: "USING COVERING INDEX open_tasks",
    sql.ANY_DUE: "SEARCH tasks USING INDEX due_tasks",
    sql.WAKE_DUE: "SEARCH tasks USING INDEX due_tasks",
    sql.ANY_HELD: "USING INDEX cloud_tasks",
    sql.of_whom(sql.WAITS, None)[0]: "SEARCH tasks USING INDEX open_tasks",
    sql.FIND: "SEARCH tasks USING INDEX sqlite_autoindex_tasks_1",
    sql.PAGE.format(states="", seen=sql.page_of("mine")): "SEARCH t USING INDEX newest_tasks",
    sql.PAGE.format(states="", seen=sql.page_of(LOCAL)): "SEARCH t USING INTEGER PRIMARY KEY",
    sql.PAGE.format(
        states=f"and t.n in ({sql.OF_STATE.format(name='id', open=0, seen=sql.page_of(LOCAL))})",
        seen=sql.page_of(LOCAL),
    ): "SEARCH t USING INDEX over_tasks (state=? AND n<?)",
    sql.PAGE.format(
        states=f"and t.n in ({sql.OF_STATE.format(name='id', open=1, seen=sql.page_of(LOCAL))})",
        seen=sql.page_of(LOCAL),
    ): "SEARCH t USING INDEX open_tasks (state=? AND n<?)",
    sql.BEGIN: "SEARCH tasks USING INDEX sqlite_autoindex_tasks_1",
}


@pytest.mark.parametrize(("statement", "plan"), PLANS.items())
@pytest.mark.sqlite
def test_no_hot_statement_scans_or_sorts_the_tasks(statement: str, plan: str) -> None:
    db = sqlite3.connect(":memory:")
    try:
        migrate(db)
        names = ["limit", "now", "until", "owner", "low", "high", "principal", "before", "id", "full", "needs", "cloud"]
        values = dict.fromkeys([*names, "living", "known"], 1)
        steps = [row["detail"] for row in db.execute(f"explain query plan {statement}", values)]
    finally:
        db.close()
    assert any(plan in step for step in steps), steps
    assert not any(step in ("SCAN tasks", "SCAN t") for step in steps), steps


@pytest.mark.sqlite
def test_statements_are_in_the_ledger_alone_but_for_the_proof_of_the_demo():
    root = Path(sql.__file__).parents[1]
    others = [file for file in root.rglob("*.py") if not {"ledger", "demo"} & set(file.relative_to(root).parts)]
    said = re.compile(r'"\s*(select|update|insert|delete)\s[^"]*\s(from|set|into)\s')
    assert [file.name for file in others if said.search(file.read_text())] == []

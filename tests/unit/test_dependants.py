"""Tasks that run after others, and the end of those that are overdue."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.errors import BadRequest, TaskAmbiguous, TaskNotFound, TransitionRefused
from omni_mcp.ledger.base import Ledger
from omni_mcp.task import LOCAL, Choice, Completed, Failed, FailureClass, Task, TaskState, WaitingFor, new_id
from omni_mcp.testing import START, ToldClock, a_spec, ledger_for_tests, result_of

LEDGERS = "all"
"""What is said here holds for each kind of ledger."""

CHOICE = Choice(executor="fake", requested="fake", model=None, reason="because")
HOUR = timedelta(hours=1)
OUTCOMES = {
    TaskState.COMPLETED: Completed(text="done"),
    TaskState.FAILED: Failed(kind=FailureClass.TASK, message="no"),
    TaskState.CANCELLED: Failed(kind=FailureClass.CANCELLED, message="stopped"),
}


async def submitted(ledger: Ledger, *after: str, task_id: str | None = None, **changes: Any) -> Task:
    spec = a_spec(after=after, **changes)
    return (await ledger.submit(spec, task_id=task_id or new_id(), choice=CHOICE)).task


async def ended(ledger: Ledger, task_id: str, state: TaskState = TaskState.COMPLETED) -> None:
    task = await ledger.begin(task_id, owner="me")
    assert task is not None
    await ledger.bind(task_id, attempt=task.attempt, owner="me", choice=CHOICE, endpoint="", run_id="")
    await ledger.finish(task_id, attempt=task.attempt, owner="me", state=state, outcome=OUTCOMES[state])


async def look(ledger: Ledger, task: Task) -> Task:
    return await ledger.find(task.id, principal=LOCAL)


async def test_a_task_waits_until_all_that_it_runs_after_have_completed(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        one, other = await submitted(ledger), await submitted(ledger)
        last = await submitted(ledger, one.id[:8], other.id, one.id)
        assert (last.state, last.waiting_for) == (TaskState.WAITING, WaitingFor.DEPENDENCY)
        assert await ledger.needs(last.id) == {one.id: TaskState.IDLE, other.id: TaskState.IDLE}
        assert last.id not in {task.id for task in await ledger.claimable(limit=9)}
        await ended(ledger, one.id)
        assert (await look(ledger, last)).waiting_for is WaitingFor.DEPENDENCY
        await ended(ledger, other.id)
        assert ((await look(ledger, last)).state, (await look(ledger, last)).text) == (TaskState.IDLE, None)
        assert (await ledger.events(last.id))[0].text.startswith("→ waiting (dependency): runs after ")


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.CANCELLED])
async def test_who_waits_for_one_that_does_not_complete_fails_and_so_does_who_waits_for_that(
    state: TaskState, tmp_path: Path
) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        first = await submitted(ledger)
        second = await submitted(ledger, first.id)
        third = await submitted(ledger, second.id, (await submitted(ledger)).id)
        await ended(ledger, first.id, state)
        for task, cause in ((second, f"{first.id}, which it was to run after, is {state}"), (third, second.id)):
            seen, result = await look(ledger, task), await result_of(ledger, task.id)
            assert seen.state is TaskState.FAILED
            assert cause in (seen.text or "")
            assert result is not None
            assert result.error is FailureClass.DEPENDENCY


async def test_a_long_chain_fails_to_its_end(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        first = last = await submitted(ledger)
        for _ in range(1100):
            last = await submitted(ledger, last.id)
        await ledger.request_cancel(first.id, reason=None)
        assert (await look(ledger, last)).state is TaskState.FAILED
        assert not await ledger.counts()


async def test_what_it_runs_after_may_be_over_already(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        good, bad = await submitted(ledger), await submitted(ledger)
        await ended(ledger, good.id)
        await ended(ledger, bad.id, TaskState.FAILED)
        assert (await submitted(ledger, good.id)).state is TaskState.IDLE
        late = await submitted(ledger, good.id, bad.id)
        assert late.state is TaskState.FAILED
        assert "dependency_failed" in (late.text or "")


async def test_to_run_after_what_is_not_there_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        for task_id in ("abcdef1111", "abcdef2222"):
            await submitted(ledger, task_id=task_id)
        strangers = await submitted(ledger, principal="other")
        for said, error in (("abcdef", TaskAmbiguous), ("nosuchtask", TaskNotFound), (strangers.id, TaskNotFound)):
            with pytest.raises(error):
                await submitted(ledger, said)
        with pytest.raises(BadRequest, match="101 tasks, the limit is 100"):
            await submitted(ledger, *(["abcdef1111"] * 101))
        assert len((await ledger.page(principal=LOCAL)).tasks) == 2


async def test_a_waiting_dependant_is_cancelled_but_not_resumed(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        last = await submitted(ledger, (await submitted(ledger)).id)
        with pytest.raises(TransitionRefused):
            await ledger.resume(last.id, consent=True)
        assert (await ledger.request_cancel(last.id, reason=None)).state is TaskState.CANCELLED


async def test_purging_what_completed_leaves_who_ran_after_it_alone(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        one, other = await submitted(ledger), await submitted(ledger)
        last = await submitted(ledger, one.id, other.id)
        await ended(ledger, one.id)
        clock.advance(HOUR)
        assert await ledger.purge(clock.now()) == 1
        await ended(ledger, other.id)
        assert (await look(ledger, last)).state is TaskState.IDLE


# deadlines


async def test_what_is_not_over_by_its_deadline_fails_with_its_story(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        soon = await submitted(ledger, deadline=START + HOUR)
        later = await submitted(ledger, deadline=START + HOUR * 3)
        tried = await submitted(ledger, deadline=START + HOUR)
        begun = await ledger.begin(tried.id, owner="me")
        assert begun is not None
        await ledger.bind(tried.id, attempt=1, owner="me", choice=CHOICE, endpoint="", run_id="")
        await ledger.park(tried.id, attempt=1, owner="me", waiting_for=WaitingFor.CLOUD, text="no cloud answers")
        after = await submitted(ledger, soon.id)
        assert await ledger.expire() == 0
        clock.advance(HOUR)
        assert await ledger.expire() == 2
        assert (await look(ledger, later)).state is TaskState.IDLE
        for task, story in (
            (soon, "its deadline 2026-01-01T13:00:00+00:00 came while it was idle; never begun"),
            (tried, "was waiting (cloud); no cloud answers; attempt 1 on fake: waiting (cloud)"),
            (after, f"dependency_failed: task {soon.id}"),
        ):
            seen, result = await look(ledger, task), await result_of(ledger, task.id)
            assert seen.state is TaskState.FAILED
            assert story in (seen.text or "")
            assert result is not None
            assert result.error is (FailureClass.DEPENDENCY if task is after else FailureClass.DEADLINE)


async def test_what_runs_is_not_failed_behind_the_back_of_its_engine(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        task = await submitted(ledger, deadline=START + HOUR)
        await ledger.begin(task.id, owner="me")
        clock.advance(HOUR * 2)
        assert await ledger.expire() == 0
        assert (await look(ledger, task)).state is TaskState.DISPATCHING


async def test_a_deadline_that_has_passed_is_refused(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, ToldClock()) as ledger:
        with pytest.raises(BadRequest, match="has passed already"):
            await submitted(ledger, deadline=START)
        assert not await ledger.counts()

"""A check finds what must never be, and nothing in a ledger that was only written by its verbs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from omni_mcp.errors import LedgerError, LedgerUnusable
from omni_mcp.ledger.check import INVARIANTS, check
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.question import Asked, QuestionKind
from omni_mcp.task import Choice, Completed, TaskState, WaitingFor, new_id
from omni_mcp.testing import a_spec, ledger_for_tests

CHOICE = Choice(executor="fake", requested="fake", model=None, reason="because")


async def submitted(ledger: SqliteLedger, *after: str) -> str:
    return (await ledger.submit(a_spec(after=after), task_id=new_id(), choice=None)).task.id


async def a_ledger(folder: Path) -> Path:
    """Write a ledger with a task in every state."""
    async with ledger_for_tests(folder) as ledger:
        idle = await submitted(ledger)
        await submitted(ledger, idle)
        await ledger.request_cancel(await submitted(ledger), reason=None)
        for state in ("dispatching", "executing", "waiting", "asking", "completed"):
            task_id = await submitted(ledger)
            await ledger.begin(task_id, owner="me")
            if state != "dispatching":
                await ledger.bind(task_id, attempt=1, owner="me", choice=CHOICE, endpoint="", run_id="")
            if state == "waiting":
                await ledger.park(task_id, attempt=1, owner="me", waiting_for=WaitingFor.RETRY, text="x")
            if state == "asking":
                asked = Asked(kind=QuestionKind.INPUT, text="which?")
                await ledger.ask(
                    task_id, attempt=1, owner="me", asked=asked, for_people=False, text="asks", notice="asks"
                )
            if state == "completed":
                done = Completed(text="done")
                await ledger.finish(task_id, attempt=1, owner="me", state=TaskState.COMPLETED, outcome=done)
    return folder / "ledger.db"


def broken(path: Path, *statements: str) -> None:
    """Write what no verb writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            assert db.execute(statement).rowcount, statement


async def test_a_ledger_that_was_written_by_its_verbs_is_sound(tmp_path: Path) -> None:
    found = await run_sync(check, await a_ledger(tmp_path))
    assert (found.tasks, list(found.problems)) == (8, [])


BREAKS = {
    "history with a gap": "delete from events where seq = 1",
    "history that ends in another state": "update events set text = 'x' where kind = 'state'",
    "over, but without a result": "delete from results",
    "with a result, but not over": "insert into results (task, text) select n, 'x' from tasks where state = 'idle'",
    "waiting without a reason": "update tasks set text = null where waiting_for = 'retry'",
    "waiting for tasks that are all over": "delete from dependencies",
    "at work, but nobody's": "update tasks set owner = null where state = 'executing'",
    "nobody's work, but with an owner": "update tasks set owner = 'me' where state = 'idle'",
    "with attempts that are not counted": "update tasks set attempt = 7 where state = 'idle'",
    "waiting for an answer without a question, or with one and not waiting": "update questions set gone_at = 1",
    "with an attempt that nobody ends": "update attempts set ended_at = null",
}


def test_each_invariant_is_broken_here() -> None:
    assert set(BREAKS) == set(INVARIANTS)


@pytest.mark.parametrize("name", BREAKS)
async def test_what_must_never_be_is_found_and_named(name: str, tmp_path: Path) -> None:
    path = await a_ledger(tmp_path)
    await run_sync(broken, path, BREAKS[name])
    found = await run_sync(check, path)
    assert [problem for problem in found.problems if problem.startswith(f"tasks {name}: ")], found.problems


async def test_a_row_that_belongs_to_nothing_is_found(tmp_path: Path) -> None:
    path = await a_ledger(tmp_path)
    await run_sync(broken, path, "insert into checkpoints values (99, 'x')")
    assert "checkpoints: row 99 belongs to nothing in tasks" in (await run_sync(check, path)).problems


async def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    path = await a_ledger(tmp_path)

    def damage() -> None:
        data = bytearray(path.read_bytes())
        data[-4096:] = b"\xff" * 4096
        path.write_bytes(data)

    await run_sync(damage)
    with pytest.raises(LedgerUnusable, match="damaged"):
        await run_sync(check, path)


@pytest.mark.parametrize("content", [None, b"garbage" * 100, b""])
async def test_what_is_no_ledger_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if content is not None:
        await run_sync(path.write_bytes, content)
    with pytest.raises(LedgerError) as error:
        await run_sync(check, path)
    assert error.value.next_step

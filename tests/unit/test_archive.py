"""Copies of a ledger, out of a home and into it."""

import errno
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from omni_mcp.archive import backup, restore, soundness
from omni_mcp.errors import BadRequest, EngineRunning, LedgerError, LedgerTooNew, LedgerUnusable
from omni_mcp.home import Home
from omni_mcp.ledger.owners import try_hold
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import LOCAL, TERMINAL, Choice, Completed, TaskState, WaitingFor, new_id
from omni_mcp.testing import a_spec
from omni_mcp.views.ledger import CopyView
from tests.unit.test_check import broken

CHOICE = Choice(executor="fake", requested="fake", model=None, reason="because")


async def submitted(ledger: SqliteLedger, *after: str, **changes: Any) -> str:
    return (await ledger.submit(a_spec(after=after, **changes), task_id=new_id(), choice=None)).task.id


async def executing(ledger: SqliteLedger) -> str:
    task_id = await submitted(ledger)
    await ledger.begin(task_id, owner="me")
    await ledger.bind(task_id, attempt=1, owner="me", choice=CHOICE, endpoint="", run_id="")
    return task_id


async def finished(ledger: SqliteLedger, task_id: str) -> str:
    done = Completed(text="done")
    await ledger.finish(task_id, attempt=1, owner="me", state=TaskState.COMPLETED, outcome=done)
    return task_id


def found_in(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def test_a_backup_while_others_write_is_a_sound_ledger_of_one_moment(tmp_path: Path) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as ledger:
        before = [await submitted(ledger) for _ in range(20)]
        copies: list[CopyView] = []
        async with anyio.create_task_group() as callers:
            for _ in range(200):
                callers.start_soon(submitted, ledger)
            copies.append(await run_sync(backup, home, file))
        tasks = copies[0].tasks
        assert tasks >= len(before)
    found = await run_sync(soundness, file)
    assert (found.tasks, found.problems) == (tasks, [])
    assert (await run_sync(file.stat)).st_mode & 0o777 == 0o600
    assert sorted(path.name for path in await run_sync(found_in, tmp_path, "copy*")) == ["copy.db"]


async def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    with pytest.raises(LedgerError, match="there is no ledger"):
        await run_sync(backup, home, file)
    await run_sync(file.write_text, "mine")
    async with SqliteLedger(home.ledger) as ledger:
        await submitted(ledger)
        with pytest.raises(BadRequest, match="is there already"):
            await run_sync(backup, home, file)
        with pytest.raises(LedgerUnusable):
            await run_sync(backup, home, tmp_path / "no such folder" / "copy.db")
    assert await run_sync(file.read_text) == "mine"


async def test_what_was_open_in_a_backup_waits_for_consent_and_the_ledger_before_is_kept(tmp_path: Path) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as ledger:
        done, ran = await finished(ledger, await executing(ledger)), await executing(ledger)
        free = await submitted(ledger)
        last = await submitted(ledger, free)
        await run_sync(backup, home, file)
        await finished(ledger, ran)
        later = await submitted(ledger)
    copy = await run_sync(restore, home, file)
    assert (copy.tasks, "3 open tasks wait for consent" in copy.text) == (4, True)
    async with SqliteLedger(home.ledger) as ledger:
        assert not await ledger.claimable(limit=9)
        assert (await ledger.find(done, principal=LOCAL)).state is TaskState.COMPLETED
        for task_id in (ran, free, last):
            task = await ledger.find(task_id, principal=LOCAL)
            assert (task.waiting_for, task.owner) == (WaitingFor.CONSENT, None)
            assert "restored from a backup" in (task.text or "")
        assert later not in {task.id for task in (await ledger.page(principal=LOCAL)).tasks}
        await ledger.resume(last, consent=True)
        resumed = await ledger.find(last, principal=LOCAL)
        assert (resumed.waiting_for, resumed.consented) == (WaitingFor.DEPENDENCY, True)
        await ledger.resume(free, consent=True)
        assert [task.id for task in await ledger.claimable(limit=9)] == [free]
    assert (await run_sync(soundness, home.ledger)).problems == []
    (kept,) = await run_sync(found_in, tmp_path, "ledger.db.before-*")
    async with SqliteLedger(kept) as before:
        assert (await before.find(later, principal=LOCAL)).state is TaskState.IDLE


async def test_a_face_that_is_open_at_a_restore_goes_on_with_the_restored_ledger(tmp_path: Path) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as face:
        old = await submitted(face)
        await run_sync(backup, home, file)
        new = await submitted(face)
        await run_sync(restore, home, file)
        with pytest.raises(LedgerUnusable, match="deleted or replaced"):
            await submitted(face)
        added = await submitted(face)
        seen = {task.id for task in (await face.page(principal=LOCAL)).tasks}
        assert seen == {old, added}, new
    assert (await run_sync(soundness, home.ledger)).problems == []


@pytest.mark.parametrize("lock", ["engine_lock", "engine_start"])
async def test_while_an_engine_lives_or_starts_nothing_is_restored(lock: str, tmp_path: Path) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as ledger:
        await submitted(ledger)
    await run_sync(backup, home, file)
    held = await run_sync(try_hold, getattr(home, lock))
    assert held is not None
    with held, pytest.raises(EngineRunning):
        await run_sync(restore, home, file)
    assert not await run_sync(found_in, tmp_path, "*.before-*")


async def test_a_backup_is_restored_into_an_empty_home(tmp_path: Path) -> None:
    home, file = Home(tmp_path / "one"), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as ledger:
        done = await finished(ledger, await executing(ledger))
    await run_sync(backup, home, file)
    other = Home(tmp_path / "other")
    copy = await run_sync(restore, other, file)
    assert copy.text == "0 open tasks wait for consent"
    async with SqliteLedger(other.ledger) as ledger:
        assert (await ledger.find(done, principal=LOCAL)).state in TERMINAL


def garbage(file: Path) -> None:
    file.write_bytes(b"garbage" * 100)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8192])


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("pragma user_version = 99")


def emptied(file: Path) -> None:
    broken(file, "delete from events")


@pytest.mark.parametrize(
    ("harm", "error"), [(garbage, LedgerUnusable), (cut, LedgerError), (newer, LedgerTooNew), (emptied, LedgerError)]
)
async def test_what_is_no_sound_backup_is_refused_and_the_ledger_stays(
    harm: Callable[[Path], None], error: type[Exception], tmp_path: Path
) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as ledger:
        task_id = await submitted(ledger)
        await run_sync(backup, home, file)
        await run_sync(harm, file)
        with pytest.raises(error):
            await run_sync(restore, home, file)
        assert (await ledger.find(task_id, principal=LOCAL)).state is TaskState.IDLE
        assert await ledger.changed(await ledger.watermark(), timeout=timedelta()) is False


async def test_a_copy_that_cannot_be_put_in_place_is_kept_and_said_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, file = Home(tmp_path), tmp_path / "copy.db"
    async with SqliteLedger(home.ledger) as ledger:
        await submitted(ledger)
    await run_sync(backup, home, file)
    replace = Path.replace

    def refused(source: Path, target: Path) -> Path:
        if target == home.ledger:
            raise OSError(errno.EIO, "Input/output error")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(LedgerError, match="cannot be put in place") as caught:
        await run_sync(restore, home, file)
    _mv, staged, _ledger = (caught.value.next_step or "").split()
    assert (await run_sync(soundness, Path(staged))).tasks == 1

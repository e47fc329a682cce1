"""Folders of tasks: made together, and one that cannot be is nobody else's trouble."""

from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from omni_mcp.workplaces import Workplaces


async def test_folders_of_one_moment_are_made_in_one_visit_and_a_failure_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits: list[str] = []

    async def counted(make: partial[object]) -> object:
        visits.append("visit")
        return await run_sync(make)

    monkeypatch.setattr("omni_mcp.workplaces.run_sync", counted)
    await run_sync(partial((tmp_path / "work").mkdir))
    await run_sync(partial((tmp_path / "work" / "t7").write_text, "a file stands in the way"))
    places, made, failed = Workplaces(tmp_path / "work"), set[Path](), list[str]()

    async def ask(task_id: str) -> None:
        try:
            made.add(await places.of(task_id))
        except OSError:
            failed.append(task_id)

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(ask, f"t{n}")
    assert failed == ["t7"]
    assert len(visits) == 1
    there = await run_sync(lambda: {folder for folder in (tmp_path / "work").iterdir() if folder.is_dir()})
    assert (made, len(made)) == (there, 19)


async def test_who_is_stopped_while_folders_are_made_takes_none_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, going = anyio.CancelScope(), anyio.Event()

    async def slow(make: partial[object]) -> object:
        going.set()
        first.cancel()
        return await run_sync(make)

    monkeypatch.setattr("omni_mcp.workplaces.run_sync", slow)
    places, made = Workplaces(tmp_path / "work"), list[Path]()

    async def stopped() -> None:
        with first:
            await places.of("stopped")

    async def ask() -> None:
        made.append(await places.of("other"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stopped)
        tasks.start_soon(ask)
    assert going.is_set()
    assert await run_sync(made[0].is_dir)

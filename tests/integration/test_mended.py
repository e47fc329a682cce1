"""What once went wrong in real processes, and must not again."""

import os
import socket
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import psutil
import pytest

from omni_mcp.app.serve import serve_engine
from omni_mcp.executors.pool import Pool
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder
from omni_mcp.settings import Settings
from tests.integration.house import STUBS, call, ended, house, until


async def test_a_stop_in_the_middle_of_a_reload_leaves_nothing_and_the_next_submit_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        opened, real = [0], Pool
        async with anyio.create_task_group() as tasks:

            def stopped_at_the_second(settings: Settings, *, owner: str) -> Pool:
                opened[0] += 1
                assert holder(here.home.engine_lock) == os.getpid()
                if opened[0] == 2:
                    tasks.cancel_scope.cancel()
                return real(settings, owner=owner)

            monkeypatch.setattr("omni_mcp.executors.pool.Pool", stopped_at_the_second)
            tasks.start_soon(serve_engine, here.home)
            await until(lambda: opened[0])
            here.configure(executors={"bench": here.workshop(parallel=3)})
        assert opened == [2]
        assert holder(here.home.engine_lock) is None
        async with here.client() as client:
            task = await call(client, "submit_task", description="after", type="echo", wait_seconds=20)
            assert task["state"] == "completed"


async def test_an_edit_of_the_settings_holds_for_the_next_task_while_another_runs(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        slow = here.workshop("until", argument="path")
        here.configure(executors={"slow": slow})
        async with here.client() as client:
            running = await call(client, "submit_task", description=str(word), type="until")
            await until(here.logged)
            [old] = processes_of(here.home, "workshop.py")
            here.configure(executors={"slow": slow, "bench": here.workshop()})
            later = await call(client, "submit_task", description="x", type="echo", wait_seconds=20)
            assert later["state"] == "completed"
            assert (await call(client, "task_status", task_id=running["task_id"]))["state"] == "executing"
            word.touch()
            done = await ended(client, running["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 1)
            await until(lambda: not old.is_running())


async def test_settings_that_cannot_be_taken_up_leave_those_before_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        real, tried = Pool, list[Settings]()

        def stumbles(settings: Settings, *, owner: str) -> Pool:
            tried.append(settings)
            if len(tried) == 2:
                raise ValueError("not like this")
            return real(settings, owner=owner)

        monkeypatch.setattr("omni_mcp.executors.pool.Pool", stumbles)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_engine, here.home)
            await until(lambda: len(tried) == 1)
            here.configure(executors={"bench": here.workshop(parallel=2)})
            await until(lambda: len(tried) == 2)
            async with here.client() as client:
                still = await call(client, "submit_task", description="still", type="echo", wait_seconds=20)
                assert (still["state"], len(tried)) == ("completed", 2)
                here.configure(executors={"bench": here.workshop(parallel=3)})
                await until(lambda: len(tried) == 3)
                again = await call(client, "submit_task", description="again", type="echo", wait_seconds=20)
                assert again["state"] == "completed"
            tasks.cancel_scope.cancel()


def processes_of(home: Home, program: str) -> Sequence[psutil.Process]:
    """Return what runs a program in the log of a home."""
    return [process for process in psutil.process_iter() if _runs(process, program, str(home.root))]


def _runs(process: psutil.Process, program: str, place: str) -> bool:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return program in words and place in words


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits of POSIX")
async def test_nobody_else_may_read_what_is_in_a_home_whatever_its_folder_allows(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.home.root.chmod(0o755)
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            await call(client, "submit_task", description="x", type="echo", wait_seconds=20)
            ours = [*here.home.root.glob("ledger*"), *here.home.root.glob("*.lock"), *here.home.owners.iterdir()]
            ours += (here.home.root / "logs").rglob("*.log")
            assert {here.home.ledger, here.home.engine_log} <= set(ours)
            assert {path: mode for path in ours if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077} == {}


async def test_modules_in_a_home_are_not_imported_by_our_programs(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        for name in ("anyio", "fastmcp", "omni_mcp", "json"):
            (here.home.root / f"{name}.py").write_text("raise SystemExit('a module of a stranger')")
        here.configure(executors={"assistant": {"preset": "assistant"}, "bench": here.workshop()})
        async with here.client() as client:
            task = await call(client, "submit_task", description="x", type="echo", wait_seconds=20)
            assert task["state"] == "completed"
        assert "stranger" not in here.home.engine_log.read_text()


async def test_a_long_story_is_cut_in_the_status_and_whole_in_the_result(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        story = "it broke " * 2000
        adapter = {"command": sys.executable, "args": [str(STUBS / "adapter_server.py")], "handles": ["x"]}
        here.configure(executors={"adapter": adapter})
        async with here.client() as client:
            task = await call(client, "submit_task", description=f"tell {story}", executor="adapter")
            end = await ended(client, task["task_id"])
            assert end["state"] == "failed"
            assert len(end["text"]) <= 2100
            result = await call(client, "task_result", task_id=task["task_id"])
            assert result["total_chars"] >= len(story)
            assert len(end["progress"]) <= 500


async def test_a_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, said = await here.cli("serve", "--port", str(port))
        assert code == 1
        assert f"cannot listen on 127.0.0.1 port {port}" in said
        assert "--port" in said
        assert not here.home.engine_lock.exists()

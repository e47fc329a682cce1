"""The ledger as a file, by hand: checked, copied, brought back, emptied; a home whose engine is old or dies."""

import json
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from importlib import resources
from pathlib import Path

import anyio
from anyio.abc import Process

from omni_mcp import __version__, background
from tests.integration.house import LIMIT, House, call, ended, house, until


async def test_a_ledger_is_checked_copied_and_brought_back(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        gate, copy = tmp_path / "gate", str(tmp_path / "copy.db")
        slow = here.workshop("until", argument="path", recovery="retry")
        here.configure(executors={"bench": here.workshop(), "slow": slow})
        async with here.client() as client:
            done = await call(client, "submit_task", description="x", type="echo", wait_seconds=20)
            runs = await call(client, "submit_task", description=str(gate), type="until")
            await until(lambda: len(here.logged()) == 2)
            code, said = await here.cli("backup", copy, "--json")
            assert (code, json.loads(said)["tasks"]) == (0, 2)
            assert (await here.cli("backup", copy))[0] == 1
            code, said = await here.cli("restore", copy)
            assert (code, "an engine already runs" in said) == (1, True)
            gate.touch()
            assert (await ended(client, runs["task_id"]))["state"] == "completed"
        await here.cli("engine", "stop")
        for arguments in (("check",), ("check", copy), ("restore", copy), ("check",)):
            code, said = await here.cli(*arguments)
            assert code == 0, said
        async with here.client() as client:
            waits = await ended(client, runs["task_id"])
            assert waits["waiting_for"] == "consent"
            assert "restored from a backup" in waits["text"]
            assert (await call(client, "task_status", task_id=done["task_id"]))["state"] == "completed"
            await here.engine_pid()
            assert len(here.logged()) == 3  # nothing ran again by itself
            await call(client, "resume_pending", task_ids=[runs["task_id"]])

            async def completed() -> bool:
                return (await ended(client, runs["task_id"]))["state"] == "completed"

            await until(completed)


async def test_a_ledger_that_is_not_sound_is_told_and_not_restored(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        await here.cli("submit", "x", "--type", "echo", "--wait")
        await here.cli("engine", "stop")
        with sqlite3.connect(here.home.ledger) as db:
            db.execute("delete from results")
        db.close()
        code, said = await here.cli("check", "--json")
        assert (code, json.loads(said)["problems"][0][:35]) == (
            1,
            "tasks over, but without a result: " + json.loads(said)["problems"][0][34:35],
        )
        code, said = await here.cli("backup", str(tmp_path / "copy.db"))
        assert (code, "is not sound" in said) == (1, True)


async def test_what_is_long_over_is_purged_and_its_key_is_not_run_again(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        await here.cli("submit", "x", "--type", "echo", "--idempotency-key", "k", "--wait")
        assert "removed 0 tasks" in (await here.cli("purge", "--older-than", "1h"))[1]
        with closing(sqlite3.connect(here.home.ledger, isolation_level=None)) as db:
            db.execute("update tasks set since = since - 2000000")
        assert "would remove 1 tasks" in (await here.cli("purge", "--older-than", "1s", "--dry-run"))[1]
        code, said = await here.cli("purge", "--older-than", "1s", "--json")
        assert (code, json.loads(said)["tasks"]) == (0, 1)
        assert json.loads((await here.cli("list", "--json"))[1])["tasks"] == []
        code, said = await here.cli("submit", "x", "--type", "echo", "--idempotency-key", "k")
        assert (code, "is completed and was purged" in said) == (1, True)
        code, said = await here.cli("purge", "--older-than", "long")
        assert (code, "no span of time" in said) == (1, True)


# an engine of an older release


@asynccontextmanager
async def older_engine(here: House) -> AsyncGenerator[Process]:
    """Run an engine that says it is of an older release."""
    program = "import omni_mcp; omni_mcp.__version__ = '0.0.9'; from omni_mcp.cli import app; app()"
    argv = [sys.executable, "-c", program, "--home", str(here.home.root), "engine", "run"]
    with (here.home.root / "old.log").open("w") as log:
        async with await anyio.open_process(argv, env=here.env, stdin=None, stdout=log, stderr=log) as process:
            with ended_at_last(process):

                async def is_up() -> bool:
                    return "version 0.0.9" in (await here.cli("mode"))[1]

                await until(is_up)
                yield process
                with anyio.fail_after(LIMIT):
                    assert await process.wait() == 0


@contextmanager
def ended_at_last(process: Process) -> Generator[None]:
    """End a process that should have ended by itself."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_newer_face_relieves_an_older_engine_which_finishes_first(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        gate = tmp_path / "gate"
        here.configure(executors={"slow": here.workshop("until", argument="path"), "bench": here.workshop()})
        async with older_engine(here) as old:
            code, said = await here.cli("submit", str(gate), "--type", "until", "--json")
            assert (code, "version 0.0.9" in json.loads(said)["engine"]) == (0, True)
            async with here.client() as client:
                during = await call(client, "submit_task", description="during", type="echo")
                assert f"then version {__version__} takes over" in during["engine"]
                gate.touch()
                assert (await ended(client, json.loads(said)["task_id"]))["attempt"] == 1
                assert (await ended(client, during["task_id"]))["state"] == "completed"

                async def is_replaced() -> bool:
                    return f"version {__version__}" in (await call(client, "system_mode"))["engine"]

                await until(is_replaced)  # an older one that finished both is only just being replaced
                assert background.view(here.home).pid not in (None, old.pid)
        assert len([line for line in here.logged() if line["tool"] == "until"]) == 1


async def test_an_idle_older_engine_is_relieved_as_soon_as_a_newer_face_opens(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with older_engine(here) as old, here.client():
            await until(lambda: background.view(here.home).pid not in (None, old.pid))


HOLDS_THE_LOCK = """
import pathlib, signal, sys
from omni_mcp.ledger.owners import try_hold
held = try_hold(pathlib.Path(sys.argv[1]))
signal.pause()
"""


async def test_a_ledger_of_an_older_release_is_upgraded_after_its_engine_has_gone(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        first = resources.files("omni_mcp.ledger").joinpath("sql/0001_initial.sql").read_text(encoding="utf-8")
        with sqlite3.connect(here.home.ledger) as db:
            db.executescript(f"{first}; pragma user_version = 1;")
        db.close()
        argv = [sys.executable, "-c", HOLDS_THE_LOCK, str(here.home.engine_lock)]
        async with await anyio.open_process(argv, stdin=None, stdout=None, stderr=None) as old:
            with ended_at_last(old):
                await until(lambda: background.view(here.home).pid == old.pid)
                code, said = await here.cli("list")
                assert (code, "an older release" in said, "engine stop" in said) == (1, True, True)
                async with here.client() as client:
                    with anyio.fail_after(LIMIT):
                        assert await old.wait() == -signal.SIGTERM
                    task = await call(client, "submit_task", description="x", type="echo")
                    assert (await ended(client, task["task_id"]))["state"] == "completed"


# an engine that dies


async def test_an_engine_that_dies_at_its_start_is_told_with_the_reason_and_comes_back(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        here.home.owners.write_text("in the way")
        async with here.client() as client:
            task = await call(client, "submit_task", description="x", type="echo")

            async def died_again() -> bool:
                return "times in a row" in (await call(client, "system_mode"))["engine"]

            await until(died_again)
            told = (await call(client, "task_status", task_id=task["task_id"]))["engine"]
            assert "right after its start: " in told
            assert "File exists" in told
            assert "right after its start" in (await here.cli("mode"))[1]
            here.home.owners.unlink()
            assert (await ended(client, task["task_id"]))["state"] == "completed"
            assert (await call(client, "system_mode"))["engine"].startswith("pid ")

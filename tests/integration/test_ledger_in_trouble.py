"""A ledger that others lock, freeze, cut or replace: a clear error, then recovery; nothing acknowledged is lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from tests.integration.house import call, ended, house, refused, until

HOLD = """
import sys
from pathlib import Path
from omni_mcp.ledger.gate import WriteGate
with WriteGate(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def frozen_with_the_gate(gate: Path) -> Generator[None]:
    """Have a process hold the write gate and freeze it there."""
    argv = [sys.executable, "-c", HOLD, str(gate)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            process.kill()


async def test_a_frozen_holder_of_the_gate_stops_no_reader_and_refuses_writers_clearly(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            kept = await call(client, "submit_task", description="kept", type="echo", wait_seconds=20)
        with frozen_with_the_gate(here.home.root / "ledger.gate"):
            async with here.client() as client:
                listed = await call(client, "list_tasks")
                assert [task["task_id"] for task in listed["tasks"]] == [kept["task_id"]]
                busy = await refused(client, "submit_task", description="x", type="echo", idempotency_key="k")
                assert (busy["code"], busy["retryable"]) == ("ledger_busy", True)
        async with here.client() as client:
            again = await call(
                client, "submit_task", description="x", type="echo", idempotency_key="k", wait_seconds=20
            )
            assert again["state"] == "completed"
            assert len((await call(client, "list_tasks"))["tasks"]) == 2


async def test_a_ledger_that_another_program_locks_refuses_clearly_and_the_running_task_ends_well(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(word), type="until")
            await until(here.logged)
            with closing(sqlite3.connect(here.home.ledger, isolation_level=None, timeout=20)) as other:
                other.execute("begin immediate")
                word.touch()
                await until(lambda: len(here.logged()) == 2)
                busy = await refused(client, "submit_task", description="x", type="until")
                assert (busy["code"], busy["retryable"]) == ("ledger_busy", True)
                assert (await call(client, "task_status", task_id=task["task_id"]))["state"] == "executing"
                other.execute("rollback")
            done = await ended(client, task["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 1)


async def test_a_truncated_ledger_is_named_as_damaged_and_works_again_when_it_is_put_back(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"nobody": {"command": "no-such-program", "tool": "t"}})
        async with here.client() as client:
            task = await call(client, "submit_task", description="kept", executor="nobody")
            await ended(client, task["task_id"])
        await here.cli("engine", "stop")
        whole = here.home.ledger.read_bytes()
        with here.home.ledger.open("r+b") as file:
            file.truncate(len(whole) // 2 // 4096 * 4096)
        async with here.client() as client:
            for tool, arguments in (("list_tasks", {}), ("submit_task", {"description": "x"})):
                error = await refused(client, tool, **arguments)
                assert error["code"] == "ledger_unusable", error
                assert "restore a backup" in error["next_step"]
            await run_sync(here.home.ledger.write_bytes, whole)
            assert (await call(client, "task_status", task_id=task["task_id"]))["description"] == "kept"


async def test_a_ledger_that_is_replaced_under_a_face_is_told_once_and_then_the_new_one_serves(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"nobody": {"command": "no-such-program", "tool": "t"}})
        async with here.client() as client:
            task = await call(client, "submit_task", description="in the backup", executor="nobody")
            await ended(client, task["task_id"])
        await here.cli("engine", "stop")
        shutil.copy(here.home.ledger, tmp_path / "backup.db")
        async with here.client() as client:
            await call(client, "submit_task", description="lost with the file", executor="nobody")
            (tmp_path / "backup.db").replace(here.home.ledger)
            error = await refused(client, "submit_task", description="x", executor="nobody")
            assert (error["code"], "deleted or replaced" in error["message"]) == ("ledger_unusable", True)
            with anyio.fail_after(30):
                await call(client, "submit_task", description="goes on", executor="nobody")
            shown = {each["description"] for each in (await call(client, "list_tasks"))["tasks"]}
            assert shown == {"in the backup", "goes on"}

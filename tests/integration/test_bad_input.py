"""Bad input gets a clear error that names the next call, and never costs a task."""

import json
import sqlite3
import sys
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.to_thread import run_sync

from omni_mcp.archive import backup
from omni_mcp.errors import LedgerUnusable
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import TaskSpec
from tests.integration.house import STUBS, House, call, ended, house, refused
from tests.small_disk import fill


async def test_unknown_and_ambiguous_ids_are_told_apart(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            unknown = await refused(client, "task_status", task_id="zzzzzzzz")
            assert unknown["code"] == "task_not_found"
            assert "list_tasks" in unknown["next_step"]
            short = await refused(client, "task_result", task_id="z")
            assert short["code"] == "task_not_found"


async def test_a_result_of_an_open_task_names_the_call_to_wait(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(tmp_path / "never"), type="until")
            error = await refused(client, "task_result", task_id=task["task_id"])
            assert "task_status" in error["next_step"]


REFUSED: tuple[tuple[dict[str, object], str, str], ...] = (
    ({"description": "   "}, "bad_request", "empty"),
    ({"description": "x" * (10 << 20)}, "bad_request", "10485760 bytes"),
    ({"description": "x", "executor": "nobody"}, "unknown_executor", "bench"),
    ({"description": "x", "cwd": "relative"}, "bad_request", "not absolute"),
    ({"description": "x", "cwd": "/nowhere/at/all"}, "bad_request", "not a folder"),
    ({"description": "x", "priority": 1000}, "bad_request", "less than or equal to 100"),
    ({"description": "x", "surprise": 1}, "bad_request", "surprise"),
    ({"description": 3}, "bad_request", "string"),
    ({}, "bad_request", "description"),
    ({"description": "x", "deadline": "tomorrow"}, "bad_request", "neither a time"),
    ({"description": "x", "after": ["nobody-knows-it"]}, "task_not_found", "nobody-knows-it"),
    ({"description": "x", "budget_usd": -1}, "bad_request", "no amount in USD"),
    ({"description": "x", "budget_usd": 0}, "bad_request", "no amount in USD"),
    ({"description": "x", "budget_usd": 1e12}, "bad_request", "up to 1,000,000"),
    ({"description": "x", "budget_usd": "much"}, "bad_request", "number"),
    ({"description": "x", "budget_usd": "nan"}, "bad_request", "no amount in USD"),
    ({"description": "x", "budget_usd": "-inf"}, "bad_request", "no amount in USD"),
    ({"description": "x", "type": "echo", "budget_usd": 1.0}, "bad_request", "bench costs is not known"),
    ({"description": "x", "type": "system_repair"}, "bad_request", "engine's own"),
)


async def test_a_submit_that_cannot_be_is_refused_and_leaves_no_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            for arguments, code, said in REFUSED:
                error = await refused(client, "submit_task", **arguments)
                assert (error["code"], said in error["message"]) == (code, True), error
                assert error["next_step"]
            assert (await call(client, "list_tasks"))["tasks"] == []


async def test_a_broken_servers_file_is_named_by_line_and_the_task_waits(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.home.servers.write_text("executors:\n  bench: {command: x\n  other: [\n")
        async with here.client() as client:
            mode = await call(client, "system_mode")
            assert "line 3" in mode["problems"][0]
            task = await call(client, "submit_task", description="keep me")
            waiting = await ended(client, task["task_id"])
            assert (waiting["state"], waiting["waiting_for"]) == ("waiting", "executor")
            assert "line 3" in waiting["text"]
            here.configure(executors={"assistant": here.workshop()}, routing={"rules": [], "default": "assistant"})
            await call(client, "resume_pending")
            with anyio.fail_after(30):
                while (done := await ended(client, task["task_id"]))["state"] == "waiting":
                    await call(client, "resume_pending")
            assert done["state"] == "completed"


async def test_a_missing_binary_waits_with_the_install_command(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"claude_code": {"preset": "claude-code", "command": "/nowhere/claude"}})
        async with here.client() as client:
            task = await call(client, "submit_task", description="fix it", executor="claude_code")
            waiting = await ended(client, task["task_id"])
            assert (waiting["state"], waiting["waiting_for"]) == ("waiting", "executor")
            assert "npm install -g @anthropic-ai/claude-code" in waiting["text"]


async def test_an_executor_that_says_error_fails_the_task_with_its_words(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop("refuse")})
        async with here.client() as client:
            task = await call(client, "submit_task", description="x", type="refuse")
            done = await ended(client, task["task_id"])
            assert done["state"] == "failed"
            assert "this cannot be done" in done["text"]


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "import time; time.sleep(600)"])
async def test_an_executor_that_ends_or_stays_mute_at_its_start_costs_no_task(tmp_path: Path, code: str) -> None:
    async with house(tmp_path) as here:
        odd = {"command": sys.executable, "args": ["-c", code], "tool": "t", "handles": ["odd"], "connect_timeout": 2}
        here.configure(executors={"odd": odd})
        async with here.client() as client:
            task = await call(client, "submit_task", description="x", type="odd")
            waiting = await ended(client, task["task_id"])
            assert (waiting["state"], waiting["waiting_for"]) == ("waiting", "executor")
            assert (await call(client, "cancel_task", task_id=task["task_id"]))["state"] == "cancelled"


async def test_a_ledger_of_a_newer_release_is_refused_and_the_face_stays_up(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        with sqlite3.connect(here.home.ledger) as db:
            db.execute("pragma user_version = 9999")
        db.close()
        await _refuses_all(here, "ledger_too_new")


async def test_a_file_that_is_no_ledger_is_refused_and_the_face_stays_up(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.home.ledger.write_bytes(b"this is not a database, however long one looks at it" * 50)
        await _refuses_all(here, "ledger_unusable")


async def _refuses_all(here: House, code: str) -> None:
    async with here.client() as client:
        for tool, arguments in (("submit_task", {"description": "x"}), ("list_tasks", {}), ("system_mode", {})):
            error = await refused(client, tool, **arguments)
            assert error["code"] == code
            assert error["next_step"]


async def test_a_second_engine_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            await call(client, "submit_task", description="x", type="echo")
            pid = await here.engine_pid()
            code, said = await here.cli("engine", "run")
            assert code == 1
            assert str(pid) in said
            assert "engine stop" in said


async def test_garbage_on_an_executors_stdout_is_not_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(
            executors={
                "bad": {
                    "command": sys.executable,
                    "args": [str(STUBS / "garbage.py")],
                    "tool": "echo",
                    "arguments": {"text": "{description}"},
                    "handles": ["bad"],
                    "timeout": 20,
                }
            }
        )
        async with here.client() as client:
            task = await call(client, "submit_task", description="through the noise", type="bad")
            done = await ended(client, task["task_id"])
            assert done["state"] == "completed"
            assert (await call(client, "task_result", task_id=task["task_id"]))["text"] == "through the noise"


async def test_a_full_disk_refuses_new_tasks_keeps_the_old_ones_and_goes_on_when_there_is_space(
    small_disk: Path,
) -> None:
    async with house(small_disk) as here:
        here.configure(executors={"nobody": {"command": "no-such-program", "tool": "t", "handles": ["x"]}})
        async with here.client() as client:
            kept = await call(client, "submit_task", description="first", type="x")
            filler = small_disk / "filler"
            fill(filler)
            error = await refused(client, "submit_task", description="y" * 200_000, type="x")
            assert error["code"] == "ledger_unusable"
            assert "full" in error["message"]
            assert "free some space" in error["next_step"]
            assert (await call(client, "task_status", task_id=kept["task_id"]))["description"] == "first"
            with pytest.raises(LedgerUnusable, match="full"):
                await run_sync(backup, here.home, small_disk / "copy.db")
            assert not list(small_disk.glob("copy.db*"))
            filler.unlink()
            await call(client, "submit_task", description="y" * 200_000, type="x")
            assert len((await call(client, "list_tasks"))["tasks"]) == 2


PING = '{"jsonrpc": "2.0", "id": 10, "method": "ping"}'
UNREADABLE = (
    ('{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "half \\ud800 pair"}}', 7, "hex escape"),
    (
        '{"jsonrpc": "2.0", "id": "a", "method": "ping", "params": {"deep": ' + "[" * 5000 + "]" * 5000 + "}}",
        "a",
        "recurs",
    ),
    ('{"method": "ping", "id": 9, "jsonrpc": "2.0"', 9, "EOF"),
    ('{"jsonrpc": "2.0", "id": 8, "method": 5}', 8, "string"),
)


async def test_a_request_that_cannot_be_read_is_refused_at_once_and_the_face_serves_on(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        said = "\n".join(["no message at all", *(line for line, *_ in UNREADABLE), PING, ""])
        with (tmp_path / "stderr").open("w") as stderr:
            face = await anyio.open_process([sys.executable, "-m", "omni_mcp"], env=here.env, stderr=stderr)
        async with face:
            assert face.stdin is not None
            assert face.stdout is not None
            await face.stdin.send(said.encode())
            heard = BufferedByteReceiveStream(face.stdout)
            with anyio.fail_after(50):
                answers = [json.loads(await heard.receive_until(b"\n", 10_000)) for _ in range(len(UNREADABLE) + 1)]
            await face.stdin.aclose()
    *errors, last = answers
    assert [error["id"] for error in errors] == [number for _, number, _ in UNREADABLE]
    for error, (_, _, why) in zip(errors, UNREADABLE, strict=True):
        assert (error["error"]["code"] in (-32700, -32600), why in error["error"]["message"]) == (True, True), error
    assert last == {"jsonrpc": "2.0", "id": 10, "result": {}}
    assert "a line on stdin that is no message" in (tmp_path / "stderr").read_text()


async def test_a_home_that_cannot_be_written_is_refused_and_the_face_stays_up(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        (here.home.root / "ledger.db").mkdir()
        await _refuses_all(here, "ledger_unusable")


async def test_an_ambiguous_id_names_the_tasks_it_could_mean(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        async with SqliteLedger(here.home.ledger) as ledger:
            for task_id in ("abcdef1111", "abcdef2222"):
                await ledger.submit(TaskSpec(description="x"), task_id=task_id, choice=None)
        async with here.client() as client:
            error = await refused(client, "task_status", task_id="abcdef")
            assert error["code"] == "task_ambiguous"
            assert "abcdef1111, abcdef2222" in error["message"]

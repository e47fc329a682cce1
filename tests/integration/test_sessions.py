"""A session keeps its word with servers that do not."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import fastmcp
import pytest
from anyio.abc import TaskGroup
from mcp.types import CallToolResult

from omni_mcp.contract import OWNER_MARK
from omni_mcp.errors import ExecutorLost, ExecutorUnusable
from omni_mcp.executors.link import opened
from omni_mcp.executors.session import Session
from omni_mcp.executors.transport import StderrLog
from omni_mcp.home import Home
from omni_mcp.processes import marked, sweep
from omni_mcp.task import Failed, FailureClass, new_id
from tests.integration.executors import (
    Heard,
    bad,
    ends,
    http_adapter,
    lives,
    pid_of,
    remote_adapter,
    said,
    session_of,
    spec_of,
)
from tests.integration.house import LIMIT, free_port, until


async def echo(session: Session, text: str = "hello") -> CallToolResult | Failed:
    return await session.call("echo", {"text": text}, timeout=LIMIT)


async def started(tasks: TaskGroup, session: Session, tool: str, end: Callable[[Any], None]) -> Heard:
    """Begin a call that tells when it has begun; `end` takes what it came to."""
    heard = Heard()

    async def call() -> None:
        try:
            end(await session.call(tool, {}, timeout=LIMIT, on_progress=heard))
        except ExecutorLost as error:
            end(error)

    tasks.start_soon(call)
    await heard.first()
    return heard


async def test_a_session_is_opened_by_its_first_use_and_then_kept(tmp_path: Path) -> None:
    owner = new_id()
    async with session_of(tmp_path, bad(), owner=owner) as session:
        assert marked(OWNER_MARK, owner) == []
        first = pid_of(await echo(session))
        assert pid_of(await echo(session)) == first
        assert [process.pid for process in marked(OWNER_MARK, owner)] == [first]
    assert marked(OWNER_MARK, owner) == []


@pytest.mark.parametrize(("tool", "text"), [("garbage", "after garbage"), ("binary", "after binary")])
async def test_garbage_on_stdout_costs_nothing(tmp_path: Path, tool: str, text: str) -> None:
    async with session_of(tmp_path, bad("noise")) as session:
        pid = pid_of(await echo(session))
        assert said(await session.call(tool, {}, timeout=LIMIT)) == text
        assert pid_of(await echo(session)) == pid


@pytest.mark.parametrize(
    ("tool", "kind", "text"),
    [
        ("protocol_error", FailureClass.UNKNOWN, "it.protocol_error gave error -32050: rpc boom"),
        ("refuses", FailureClass.TASK, "text is missing"),
        ("malformed", FailureClass.UNKNOWN, "it.malformed gave a malformed result"),
        ("mismatch", FailureClass.TASK, "it.mismatch broke its own output schema"),
    ],
)
async def test_an_answer_that_is_no_result_is_told_and_the_session_goes_on(
    tmp_path: Path, tool: str, kind: FailureClass, text: str
) -> None:
    async with session_of(tmp_path, bad()) as session:
        pid = pid_of(await echo(session))
        failed = await session.call(tool, {}, timeout=LIMIT)
        assert isinstance(failed, Failed)
        assert failed.kind is kind
        assert text in failed.message
        assert pid_of(await echo(session)) == pid


async def test_an_error_of_a_tool_is_an_answer(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        answer = await session.call("fails", {}, timeout=LIMIT)
        assert said(answer) == "boom"
        assert isinstance(answer, CallToolResult)
        assert answer.is_error


async def test_a_tool_that_never_answers_is_cancelled_and_the_session_goes_on(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        pid = pid_of(await echo(session))
        failed = await session.call("never", {}, timeout=0.2)
        assert isinstance(failed, Failed)
        assert failed.kind is FailureClass.TASK
        assert "did not answer in 0.2 s" in failed.message
        assert pid_of(await echo(session)) == pid
        assert said(await session.call("heard", {}, timeout=LIMIT)) == "1"


async def test_cancelling_a_call_tells_the_server_and_returns_at_once(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        with anyio.fail_after(1):
            async with anyio.create_task_group() as tasks:
                await started(tasks, session, "never", pytest.fail)
                tasks.cancel_scope.cancel()
        assert said(await session.call("heard", {}, timeout=LIMIT)) == "1"


async def test_progress_comes_in_order(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        heard = Heard()
        await session.call("steps", {}, timeout=LIMIT, on_progress=heard)
        assert heard.lines == [f"step {number}" for number in range(1, 6)]


async def test_several_calls_run_at_once(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        answers: list[CallToolResult | Failed] = []

        async def meet() -> None:
            answers.append(await session.call("meet", {}, timeout=LIMIT))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(meet)
        assert [said(answer) for answer in answers] == ["met"] * 3


async def test_a_server_that_dies_in_mid_call_loses_all_its_calls_and_is_started_anew(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        pid = pid_of(await echo(session))
        ended: list[Any] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                await started(tasks, session, "never", ended.append)
            os.kill(pid, signal.SIGKILL)
        assert [type(end) for end in ended] == [ExecutorLost] * 3
        assert "its outcome is unknown" in ended[0].message
        assert pid_of(await echo(session)) != pid


async def test_nothing_of_a_lost_session_is_left_when_that_is_said(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        heard = Heard()
        with pytest.raises(ExecutorLost):
            await session.call("begin_and_die", {}, timeout=LIMIT, on_progress=heard)
        assert not lives(int(heard.lines[0]))


async def test_a_server_that_died_while_nobody_used_it_costs_no_call(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        pid = pid_of(await echo(session))
        os.kill(pid, signal.SIGKILL)
        await ends(pid)
        assert pid_of(await echo(session)) != pid


async def test_a_frozen_server_is_told_from_a_slow_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_mcp.executors.link.PROBE_LIMIT", 0.2)
    async with session_of(tmp_path, bad()) as session:
        pid = pid_of(await echo(session))
        with pytest.raises(ExecutorLost):
            await session.call("freeze", {}, timeout=0.2)
        assert not lives(pid)


async def test_a_server_that_exits_at_once_is_quoted(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad("exit")) as session:
        with pytest.raises(ExecutorUnusable, match="cannot start: its config is missing") as refused:
            await echo(session)
    assert "logs/executors/it.log" in (refused.value.next_step or "")


async def test_a_server_that_is_mute_is_unusable_and_not_left_behind(tmp_path: Path) -> None:
    owner = new_id()
    async with session_of(tmp_path, bad("mute", connect_timeout=0.5), owner=owner) as session:
        with pytest.raises(ExecutorUnusable, match="cannot be reached"):
            await echo(session)
        assert marked(OWNER_MARK, owner) == []


async def test_giving_up_while_a_stubborn_server_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    owner, log = new_id(), tmp_path / "logs" / "executors" / "it.log"
    async with session_of(tmp_path, bad("mute", "deaf"), owner=owner) as session:
        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(echo, session)
                await until(lambda: log.exists() and "deaf" in log.read_text())
                tasks.cancel_scope.cancel()
        assert marked(OWNER_MARK, owner) == []


async def test_a_server_that_is_gone_from_the_disk_is_unusable(tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    async with session_of(tmp_path, bad().model_copy(update={"command": str(program)})) as session:
        program.unlink()
        with pytest.raises(ExecutorUnusable):
            await echo(session)


async def test_a_server_that_cannot_be_reached_is_tried_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_mcp.executors.session.BACKOFF", (0.0, 60.0))
    async with session_of(tmp_path, bad("exit")) as session:
        assert "next try" not in await refusal(session)
        again = await refusal(session)
        assert "next try" not in again
        assert again.count("cannot start") == 1
        assert "config is missing (next try in" in await refusal(session)


async def refusal(session: Session) -> str:
    with pytest.raises(ExecutorUnusable) as refused:
        await echo(session)
    return refused.value.message


@pytest.mark.parametrize("flag", ["polite", "deaf"])
async def test_closing_ends_the_server_and_all_that_it_started(tmp_path: Path, flag: str) -> None:
    async with session_of(tmp_path, bad(flag)) as session:
        pid = pid_of(await echo(session))
        child = int(said(await session.call("child", {}, timeout=LIMIT)))
        assert lives(child)
        with anyio.fail_after(10):
            await session.close()
        assert not lives(pid)
        assert not lives(child)


async def test_a_close_that_the_client_library_cuts_short_still_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastmcp.settings, "client_disconnect_timeout", 0.1)
    async with session_of(tmp_path, bad("deaf")) as session:
        pid = pid_of(await echo(session))
        with anyio.fail_after(LIMIT):
            await session.close()
        assert not lives(pid)


async def test_a_connection_is_closed_even_while_its_caller_is_being_cancelled(tmp_path: Path) -> None:
    owner = new_id()
    link = await opened(spec_of(tmp_path, bad()), owner=owner, home=Home(tmp_path), log=StderrLog(tmp_path / "log"))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await link.bury()
    assert marked(OWNER_MARK, owner) == []


async def test_a_child_sees_its_own_keys_and_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-of-ours")
    async with session_of(tmp_path, bad(env={"ITS_KEY": "its own"}), owner="its owner") as session:
        env = json.loads(said(await session.call("environment", {}, timeout=LIMIT)))
    assert env["ITS_KEY"] == "its own"
    assert env[OWNER_MARK] == "its owner"
    assert "sk-secret-of-ours" not in str(env)


async def test_what_a_child_writes_to_stderr_is_kept_within_bounds(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "executors" / "it.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (6 << 20))
    async with session_of(tmp_path, bad("exit")) as session:
        await refusal(session)
    assert log.read_text().strip() == "cannot start: its config is missing"


OWNER = """
import sys, anyio
from pathlib import Path
from tests.integration.executors import bad, said, session_of

async def main():
    async with session_of(Path(sys.argv[1]), bad("deaf"), owner=sys.argv[2]) as session:
        print(said(await session.call("child", {}, timeout=10)), flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


async def test_what_a_killed_engine_leaves_behind_is_found_by_its_mark(tmp_path: Path) -> None:
    owner = new_id()
    root = Path(__file__).parent.parent.parent
    argv = [sys.executable, "-c", OWNER, str(tmp_path), owner]
    async with await anyio.open_process(argv, cwd=root, stderr=None) as engine:
        assert engine.stdout is not None
        with anyio.fail_after(LIMIT):
            child = int(await engine.stdout.receive())
        engine.kill()
        await engine.wait()
    assert lives(child)
    assert sweep(OWNER_MARK, owner).remaining == []
    assert not lives(child)
    assert marked(OWNER_MARK, owner) == []


async def test_an_http_server_that_was_killed_is_reached_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_mcp.executors.session.BACKOFF", (0.0,))
    port = free_port()
    async with session_of(tmp_path, remote_adapter(port)) as session:
        async with http_adapter(port):
            assert isinstance(await session.call("health", {}, timeout=LIMIT), CallToolResult)
        with pytest.raises(ExecutorUnusable, match="cannot be reached"):
            await session.call("health", {}, timeout=LIMIT)
        async with http_adapter(port):
            assert isinstance(await session.call("health", {}, timeout=LIMIT), CallToolResult)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_an_http_server_that_was_restarted_between_two_calls_costs_neither(tmp_path: Path, protocol: str) -> None:
    port = free_port()
    async with session_of(tmp_path, remote_adapter(port, protocol=protocol)) as session:
        for _ in range(2):
            async with http_adapter(port):
                assert isinstance(await session.call("health", {}, timeout=LIMIT), CallToolResult)


async def test_an_http_server_that_dies_in_mid_call_loses_it(tmp_path: Path) -> None:
    port, heard = free_port(), Heard()
    async with session_of(tmp_path, remote_adapter(port)) as session, anyio.create_task_group() as tasks:
        async with http_adapter(port) as server:

            async def call() -> None:
                with pytest.raises(ExecutorLost):
                    await session.call(
                        "run_task", {"request": {"description": "wait"}}, timeout=LIMIT, on_progress=heard
                    )

            tasks.start_soon(call)
            await heard.first()
            server.kill()


async def test_a_secret_header_reaches_its_server_only(tmp_path: Path) -> None:
    port = free_port()
    row = remote_adapter(port, token="s3cret", headers={"X-Key": "k3y"})
    async with session_of(tmp_path, row) as session:
        async with http_adapter(port):
            answer = await session.call("headers", {}, timeout=LIMIT)
        assert isinstance(answer, CallToolResult)
        assert answer.structured_content == {"authorization": "Bearer s3cret", "x-key": "k3y"}
        assert "s3cret" not in await refusal(session)

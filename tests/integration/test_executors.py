"""Both kinds of executor, run against real processes: a foreign tool, and the adapter contract."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from omni_mcp.contract import OWNER_MARK, Endpoint, RunRef
from omni_mcp.errors import ExecutorLost
from omni_mcp.executors.executor import Executor
from omni_mcp.executors.pool import executor_for
from omni_mcp.executors.session import Session
from omni_mcp.processes import marked
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.task import Completed, Failed, FailureClass, Recovery, new_id
from tests.integration.executors import (
    Heard,
    a_request,
    bad,
    lives,
    session_of,
    stub_adapter,
)

EVERYTHING = Path(__file__).parents[2] / ".cache/npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"


def executor_of(session: Session) -> Executor:
    return executor_for(session.spec, session)


def ignore(_line: str) -> None:
    """Take no notice of progress."""


async def failure(executor: Executor, description: str = "hello") -> Failed:
    """Run a task that has to fail."""
    outcome = await executor.run(a_request(description), ignore)
    assert isinstance(outcome, Failed), outcome
    return outcome


async def test_a_tool_is_called_with_the_task(tmp_path: Path) -> None:
    row = bad(arguments={"text": "{description}, please ({attempt})"})
    async with session_of(tmp_path, row) as session:
        outcome = await executor_of(session).run(a_request("hello"), ignore)
    assert isinstance(outcome, Completed)
    assert outcome.text == "hello, please (1)"


async def test_the_words_of_a_failed_tool_are_the_failure(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad(tool="fails")) as session:
        assert await failure(executor_of(session)) == Failed(kind=FailureClass.TASK, message="boom")


async def test_a_tool_that_does_not_exist_is_a_fault_of_the_settings_and_the_others_are_named(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad(tool="ehco")) as session:
        executor = executor_of(session)
        failed, health = await failure(executor), await executor.health()
    assert failed.kind is FailureClass.CONFIG
    assert "no tool 'ehco'; there are: begin_and_die, binary" in failed.message
    assert (health.ok, health.detail) == (False, failed.message)


async def test_a_tool_that_is_there_makes_its_server_healthy(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        executor = executor_of(session)
        health, tools = await executor.health(), await executor.tools()
    assert (health.ok, health.version) == (True, "bad 1")
    assert ("echo", "Say it back, with the process id.") in [(tool.name, tool.description) for tool in tools]


async def test_an_mcp_server_cannot_confirm_that_it_stopped(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad()) as session:
        result = await executor_of(session).cancel(RunRef(task_id="t", attempt=1, run_id="r"))
    assert not result.stopped


async def test_an_adapter_runs_a_task_with_the_endpoint_of_its_attempt(tmp_path: Path) -> None:
    endpoint = Endpoint(base_url="http://127.0.0.1:1", token=SecretStr("of this attempt"))
    async with session_of(tmp_path, stub_adapter()) as session:
        outcome = await executor_of(session).run(a_request("echo", endpoint=endpoint), ignore)
    assert isinstance(outcome, Completed)
    assert outcome.text == "of this attempt"
    assert outcome.notes


async def test_a_failed_run_keeps_its_class_its_time_and_its_partial_result(tmp_path: Path) -> None:
    async with session_of(tmp_path, stub_adapter()) as session:
        failed = await failure(executor_of(session), "fail")
    assert (failed.kind, failed.message, failed.partial) == (FailureClass.RATE_LIMIT, "limit reached", "half of it")
    assert failed.retry_at == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("description", "said"),
    [("lie", "lying executor: it answered with something that is no RunResult: status"), ("stumble", "a bug in the")],
)
async def test_an_adapter_that_breaks_the_contract_fails_closed(tmp_path: Path, description: str, said: str) -> None:
    async with session_of(tmp_path, stub_adapter()) as session:
        failed = await failure(executor_of(session), description)
    assert failed.kind is FailureClass.UNKNOWN
    assert said in failed.message


@pytest.mark.parametrize(
    ("recovery", "resume", "asks_again"), [("attach", True, True), ("attach", False, False), ("resume", True, False)]
)
async def test_only_a_run_that_lives_elsewhere_and_may_be_there_is_asked_for_again(
    tmp_path: Path, recovery: str, resume: bool, asks_again: bool
) -> None:
    request = a_request("tell me", resume=resume)
    async with session_of(tmp_path, stub_adapter(recovery=recovery)) as session:
        outcome = await executor_of(session).run(request, ignore)
    assert isinstance(outcome, Completed) == asks_again, outcome
    if isinstance(outcome, Completed):
        assert outcome.text == f"found {request.run_id} for tell me"


async def test_an_adapter_that_cannot_attach_leaves_what_may_still_run_alone(tmp_path: Path) -> None:
    args = ("-P", "-m", "omni_mcp.adapters.assistant")
    row = ExecutorRow(command=sys.executable, args=args, recovery=Recovery.ATTACH, handles=("x",))
    async with session_of(tmp_path, row) as session:
        outcome = await executor_of(session).run(a_request(resume=True), ignore)
        health = await executor_of(session).health()
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureClass.UNKNOWN
    assert "no tool attach" in outcome.message
    assert (health.ok, health.detail) == (False, outcome.message)


async def test_what_speaks_no_contract_is_told_so(tmp_path: Path) -> None:
    async with session_of(tmp_path, bad(tool=None, handles=("x",))) as session:
        failed, health = await failure(executor_of(session)), await executor_of(session).health()
    assert "it has no tool run_task, but: echo" in failed.message
    assert not health.ok


async def test_the_tree_of_a_task_is_gone_when_its_adapter_is_said_to_be_lost(tmp_path: Path) -> None:
    owner, heard = new_id(), Heard()
    async with session_of(tmp_path, stub_adapter(), owner=owner) as session, anyio.create_task_group() as tasks:

        async def run() -> None:
            with pytest.raises(ExecutorLost):
                await executor_of(session).run(a_request("orphan"), heard)
            assert not lives(int(heard.lines[0]))

        tasks.start_soon(run)
        await heard.first()
        (adapter,) = marked(OWNER_MARK, owner)
        adapter.kill()


async def test_a_run_is_stopped_and_the_adapter_says_so(tmp_path: Path) -> None:
    request, heard = a_request("wait"), Heard()
    async with session_of(tmp_path, stub_adapter()) as session:
        executor = executor_of(session)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(executor.run, request, heard)
            await heard.first()
            tasks.cancel_scope.cancel()
        assert (await executor.cancel(request)).stopped


async def test_a_cancel_that_kills_the_adapter_still_ends_with_proof(tmp_path: Path) -> None:
    async with session_of(tmp_path, stub_adapter()) as session:
        ref = RunRef(task_id="t-of-nobody", attempt=1, run_id="die")
        assert (await executor_of(session).cancel(ref)).stopped


async def test_an_adapter_says_how_it_is(tmp_path: Path) -> None:
    async with session_of(tmp_path, stub_adapter()) as session:
        health = await executor_of(session).health()
    assert (health.ok, health.version) == (True, "stub 7")


@pytest.mark.npm
@pytest.mark.skipif(not EVERYTHING.exists(), reason="server-everything is not installed: make test installs it")
async def test_the_public_everything_server_serves_a_task(tmp_path: Path) -> None:
    node = shutil.which("node")
    more: dict[str, Any] = {"tool": "echo", "arguments": {"message": "{description}"}}
    row = ExecutorRow.model_validate({"command": node, "args": (str(EVERYTHING), "stdio"), **more})
    async with session_of(tmp_path, row) as session:
        executor = executor_of(session)
        health, outcome = await executor.health(), await executor.run(a_request("你好"), ignore)
    assert health.ok
    assert isinstance(outcome, Completed)
    assert outcome.text == "Echo: 你好"

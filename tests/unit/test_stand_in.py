"""The stand-in for Claude Code really works, goes on in its session, and never says that it is the real one."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client
from pydantic import SecretStr

from omni_mcp.adapters.serving import server
from omni_mcp.contract import HEALTH, Endpoint, Health, RunRef, RunRequest, RunResult
from omni_mcp.demo.answers import MARK, WORK_LOG
from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.demo.stand_in import StandIn, begin, go_on
from omni_mcp.question import Action, Answer, Asked
from omni_mcp.task import FailureClass
from tests.integration.house import until

HELLO = "写一个 Hello World 函数"


def request(tmp_path: Path, cloud: Cloud | None, text: str = HELLO, **fields: Any) -> RunRequest:
    endpoint = None if cloud is None else Endpoint(base_url=cloud.url, token=SecretStr("t"))
    named: dict[str, Any] = {"task_id": "task", "attempt": 1, "run_id": "run", "cwd": str(tmp_path)}
    return RunRequest(**named, description=text, endpoint=endpoint, **fields)


def scripted(*commands: str) -> str:
    steps = [{"tool": "Bash", "input": {"command": command, "description": command}} for command in commands]
    return f"Do it. {MARK}{json.dumps([*steps, {'text': 'all done'}])}"


def logged(tmp_path: Path) -> list[str]:
    log = tmp_path / WORK_LOG
    return [" ".join(line.split()[:2]) for line in log.read_text().splitlines()] if log.exists() else []


async def nobody(_asked: Asked) -> Answer:
    return Answer(action=Action.CANCEL)


async def run(agent: StandIn, asked: RunRequest, told: list[str] | None = None) -> RunResult:
    async def tell(line: str) -> None:
        if told is not None:
            told.append(line)

    with anyio.fail_after(20):
        return await agent.run(asked, tell, nobody)


async def run_until_cancelled(agent: StandIn, asked: RunRequest) -> None:
    assert (await run(agent, asked)).failure is FailureClass.CANCELLED


async def cancel_in_step_2(agent: StandIn, tmp_path: Path) -> None:
    await until(lambda: "2-run begin" in logged(tmp_path))
    assert (await agent.cancel(RunRef(task_id="task", attempt=1, run_id="run"))).stopped


async def test_it_runs_what_the_model_wants_and_tells_it_what_came_of_that(tmp_path: Path):
    told = list[str]()
    async with running_cloud() as cloud:
        asked = request(tmp_path, cloud, scripted("echo hi > hi.txt", "cat hi.txt; exit 3"))
        result = await run(StandIn(tmp_path / "sessions"), asked, told)
    assert (tmp_path / "hi.txt").read_text() == "hi\n"
    assert told == ["Bash: echo hi > hi.txt", "Bash: cat hi.txt; exit 3"]
    assert result.text.startswith("all done\n(a stand-in")
    talk = json.loads((tmp_path / "sessions/run.json").read_text())
    results = [block for message in talk for block in message["content"] if block["type"] == "tool_result"]
    assert [(block["content"], block["is_error"]) for block in results] == [("exit code 0", False), ("hi\n", True)]


async def test_a_run_that_was_stopped_in_mid_step_goes_on_with_that_step(tmp_path: Path):
    agent = StandIn(tmp_path / "sessions")
    async with running_cloud() as cloud:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_until_cancelled, agent, request(tmp_path, cloud))
            await cancel_in_step_2(agent, tmp_path)
        again = await run(agent, request(tmp_path, cloud, resume=True))
    assert (again.status, again.notes["resumed"], again.notes["session_id"]) == ("completed", True, "run")
    begun = ["1-write begin", "1-write end", "2-run begin", "2-run begin", "2-run end", "3-test begin", "3-test end"]
    assert logged(tmp_path) == begun


async def test_a_cancel_ends_what_the_command_has_started(tmp_path: Path):
    agent = StandIn(tmp_path / "sessions")
    async with running_cloud() as cloud, anyio.create_task_group() as tasks:
        asked = request(tmp_path, cloud, scripted(f"echo 2-run begin >> {WORK_LOG}; (sleep 300; true) & wait"))
        tasks.start_soon(run_until_cancelled, agent, asked)
        await cancel_in_step_2(agent, tmp_path)
    # That no process is left is checked for every test.


async def test_a_cancel_in_the_middle_of_a_start_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    start, stopping = anyio.open_process, anyio.Event()

    async def slow(*argv: Any, **options: Any) -> Any:
        process = await start(*argv, **options)
        await stopping.wait()
        await anyio.lowlevel.checkpoint()
        return process

    monkeypatch.setattr(anyio, "open_process", slow)
    agent = StandIn(tmp_path / "sessions")
    async with running_cloud() as cloud, anyio.create_task_group() as tasks:
        asked = request(tmp_path, cloud, scripted(f"echo 2-run begin >> {WORK_LOG}; (sleep 300; true) & wait"))
        tasks.start_soon(run_until_cancelled, agent, asked)
        await until(lambda: "2-run begin" in logged(tmp_path))
        stopping.set()
        assert (await agent.cancel(RunRef(task_id="task", attempt=1, run_id="run"))).stopped
    # That no process is left is checked for every test.


async def test_a_resume_without_a_session_begins(tmp_path: Path):
    async with running_cloud() as cloud:
        result = await run(StandIn(tmp_path), request(tmp_path, cloud, scripted("true"), resume=True))
    assert (result.status, result.notes["resumed"]) == ("completed", False)


def test_only_a_command_without_a_result_counts_as_cut_off():
    call: dict[str, Any] = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "Bash"}]}
    assert go_on(begin("task")) == begin("task")
    [result] = go_on([*begin("task"), call])[-1]["content"]
    assert (result["tool_use_id"], result["is_error"]) == ("c", True)


async def test_without_a_model_it_says_what_its_row_lacks(tmp_path: Path):
    result = await run(StandIn(tmp_path), request(tmp_path, None))
    assert result.failure is FailureClass.CONFIG
    assert "login: relay" in (result.message or "")


@pytest.mark.parametrize("fault", ["503", "drop"])
async def test_a_model_that_does_not_answer_is_the_providers_failure(tmp_path: Path, fault: str):
    async with running_cloud() as cloud:
        cloud.fail(fault)
        assert (await run(StandIn(tmp_path), request(tmp_path, cloud))).failure is FailureClass.PROVIDER


async def test_its_health_says_what_it_is(tmp_path: Path):
    async with Client(server("stand-in", StandIn(tmp_path))) as client:
        health = Health.model_validate((await client.call_tool(HEALTH)).structured_content)
    assert health.ok
    assert "stand-in" in (health.detail or "")

"""The Claude Code adapter against the real `claude` binary: real MCP over stdio, real processes, a stub cloud.

`npm install --prefix .cache/npm @anthropic-ai/claude-code` provides the binary; nothing leaves loopback.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import psutil
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp import MCPError

from omni_mcp.contract import CANCEL, HEALTH, RUN_TASK, TASK_MARK, CancelResult, Health, RunResult, RunUsage
from omni_mcp.demo.answers import MARK
from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.task import FailureClass, new_id

ROOT = Path(__file__).parents[2]
BINARY = shutil.which("claude", path=str(ROOT / ".cache/npm/node_modules/.bin"))
TOKEN = "token-of-this-attempt"

pytestmark = [
    pytest.mark.claude,
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]


def adapter(tmp_path: Path, *args: str, **env: str) -> Client[StdioTransport]:
    """Return a client of an adapter process with a home of its own."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    transport = StdioTransport(
        command=sys.executable,
        args=["-m", "omni_mcp.adapters.claude_code", "--binary", str(BINARY), *args],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **covered, **env},
        cwd=str(ROOT),
        keep_alive=False,
    )
    return Client(transport)


def request(tmp_path: Path, cloud: Cloud | None, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an attempt at a task in a folder of its own whose agent does these steps."""
    cwd = tmp_path / "repo"
    cwd.mkdir(exist_ok=True)
    endpoint = None if cloud is None else {"base_url": cloud.url, "token": TOKEN}
    given = {"task_id": new_id(), "attempt": 1, "run_id": str(uuid4()), "cwd": str(cwd), "endpoint": endpoint}
    return {**given, "description": f"Do it. {MARK}{json.dumps(steps)}", **fields}


def shell(command: str) -> dict[str, Any]:
    return {"tool": "Bash", "input": {"command": command, "description": "a step"}}


def write(path: Path) -> dict[str, Any]:
    return {"tool": "Write", "input": {"file_path": str(path), "content": "print('hello')\n"}}


async def run(client: Client[Any], asked: dict[str, Any], told: list[str] | None = None) -> RunResult:
    async def note(_progress: float, _total: float | None, message: str | None) -> None:
        if told is not None:
            told.append(message or "")

    answer = await client.call_tool(RUN_TASK, {"request": asked}, progress_handler=note)
    return RunResult.model_validate(answer.structured_content)


async def until(holds: Callable[[], bool], *, limit: float = 20) -> None:
    with anyio.fail_after(limit):
        while not holds():
            await anyio.sleep(0.02)


def living(task_id: str) -> list[psutil.Process]:
    """Return the processes of a task, found without the adapter's help."""

    def marked(process: psutil.Process) -> bool:
        try:
            return process.environ().get(TASK_MARK) == task_id
        except (psutil.Error, OSError):
            return False

    return [process for process in psutil.process_iter() if marked(process)]


def adapter_pid() -> int:
    children = psutil.Process().children()
    return next(child.pid for child in children if "omni_mcp.adapters.claude_code" in child.cmdline())


async def kill_when(holds: Callable[[], bool]) -> None:
    await until(holds)
    os.kill(adapter_pid(), signal.SIGKILL)


def logged(log: Path) -> Sequence[str]:
    return log.read_text().split() if log.exists() else []


async def test_a_task_changes_a_real_file_and_tells_what_it_does(tmp_path: Path):
    hello, told = tmp_path / "repo/hello.py", list[str]()
    async with running_cloud() as cloud:
        async with adapter(tmp_path) as client:
            asked = request(tmp_path, cloud, write(hello), shell("python3 hello.py > out.txt"), {"text": "written"})
            result = await run(client, asked, told)
    assert (result.status, result.text) == ("completed", "written")
    assert (tmp_path / "repo/out.txt").read_text() == "hello\n"
    assert told[0].startswith("session started with")
    assert told[1:] == [f"Write: {hello}", "Bash: python3 hello.py > out.txt", "written"]
    assert result.notes["session_id"] == asked["run_id"]
    assert result.usage is None  # the relay meters
    assert {seen.key for seen in cloud.requests} == {TOKEN[-4:]}
    assert not living(asked["task_id"])


async def test_a_login_of_its_own_is_used_and_metered_when_there_is_no_relay(tmp_path: Path):
    async with running_cloud() as cloud:
        async with adapter(tmp_path, ANTHROPIC_BASE_URL=cloud.url, ANTHROPIC_API_KEY="own-key") as client:
            result = await run(client, request(tmp_path, None, {"text": "hi"}, model="some-model"))
    [seen] = cloud.requests
    assert seen.key == "-key"
    used = RunUsage(model="some-model", input_tokens=seen.input_tokens, output_tokens=seen.output_tokens)
    assert result.usage == used


async def test_a_missing_login_is_an_auth_failure_that_names_the_fix(tmp_path: Path):
    async with adapter(tmp_path) as client:
        result = await run(client, request(tmp_path, None, {"text": "hi"}))
    assert result.failure is FailureClass.AUTH
    assert result.fix is not None
    assert "/login" in result.fix


async def test_what_the_permissions_denied_is_in_the_notes(tmp_path: Path):
    outside = tmp_path / "outside.txt"
    async with running_cloud() as cloud:
        async with adapter(tmp_path) as client:
            result = await run(client, request(tmp_path, cloud, write(outside), {"text": "could not"}))
    assert result.status == "completed"
    assert result.notes["permission_denials"] == [f"Write: {outside}"]
    assert not outside.exists()


async def test_a_read_only_run_neither_writes_nor_runs_whatever_the_user_allows_elsewhere(tmp_path: Path):
    inside = tmp_path / "repo/inside.txt"
    (tmp_path / "home/.claude").mkdir(parents=True)
    allowed = {"permissions": {"allow": ["Bash", "Write"], "defaultMode": "bypassPermissions"}}
    (tmp_path / "home/.claude/settings.json").write_text(json.dumps(allowed))
    async with running_cloud() as cloud:
        async with adapter(tmp_path, "--permissions", "read-only") as client:
            steps = (write(inside), shell("touch inside.txt"), {"text": "looked"})
            result = await run(client, request(tmp_path, cloud, *steps, options={"permissions": "full"}))
    assert result.status == "completed"
    assert not inside.exists()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, FailureClass.PROVIDER),
        (401, FailureClass.AUTH),
        (404, FailureClass.CONFIG),
        (429, FailureClass.RATE_LIMIT),
    ],
)
async def test_a_refused_model_call_is_told_apart_by_its_status(tmp_path: Path, status: int, kind: FailureClass):
    told = list[str]()
    async with running_cloud() as cloud:
        cloud.fail(str(status), retry_after=600 if status == 429 else None)
        async with adapter(tmp_path) as client:
            result = await run(client, request(tmp_path, cloud, {"text": "never said"}), told)
    assert result.failure is kind
    assert str(status) in (result.message or "") or kind is FailureClass.CONFIG
    assert (f"model call failed ({status}), retry 1 of 2" in told) is (status in (503, 401))


async def test_nothing_answering_at_the_endpoint_is_the_providers_failure(tmp_path: Path):
    async with running_cloud() as cloud:
        gone = request(tmp_path, cloud, {"text": "never said"})
    async with adapter(tmp_path) as client:
        assert (await run(client, gone)).failure is FailureClass.PROVIDER


async def test_a_cancel_leaves_no_process(tmp_path: Path):
    log = tmp_path / "log"
    async with running_cloud() as cloud:
        async with adapter(tmp_path) as client, anyio.create_task_group() as tasks:
            asked = request(tmp_path, cloud, shell(f"echo s1 >> {log}; sleep 300; echo s2 >> {log}"))
            ended = list[RunResult]()

            async def play() -> None:
                ended.append(await run(client, asked))

            tasks.start_soon(play)
            await until(lambda: logged(log) == ["s1"])
            ref = {key: asked[key] for key in ("task_id", "attempt", "run_id")}
            answer = await client.call_tool(CANCEL, {"request": ref})
            left = living(asked["task_id"])
    assert CancelResult.model_validate(answer.structured_content) == CancelResult(stopped=True)
    assert not left
    assert ended[0].failure is FailureClass.CANCELLED
    assert logged(log) == ["s1"]


async def test_a_call_that_the_client_gives_up_leaves_no_process(tmp_path: Path):
    log = tmp_path / "log"
    async with running_cloud() as cloud:
        async with adapter(tmp_path) as client:
            asked = request(tmp_path, cloud, shell(f"echo s1 >> {log}; sleep 300"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, client, asked)
                await until(lambda: logged(log) == ["s1"])
                tasks.cancel_scope.cancel()
            await until(lambda: not living(asked["task_id"]))
            assert (await client.call_tool(HEALTH)).structured_content is not None


async def test_a_killed_adapter_leaves_no_process_and_a_new_one_goes_on_in_the_same_session(tmp_path: Path):
    log = tmp_path / "log"
    steps = (shell(f"echo s1 >> {log}"), shell(f"echo s2 >> {log}; sleep 300"), shell(f"echo s3 >> {log}"))
    async with running_cloud() as cloud:
        asked = request(tmp_path, cloud, *steps, {"text": "all done"})
        async with adapter(tmp_path) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill_when, lambda: logged(log) == ["s1", "s2"])
                with pytest.raises(MCPError):
                    await run(client, asked)
        await until(lambda: not living(asked["task_id"]))
        async with adapter(tmp_path) as client:
            result = await run(client, {**asked, "attempt": 2, "resume": True})
    assert (result.status, result.text) == ("completed", "all done")
    assert result.notes["resumed"] is True
    assert result.notes["session_id"] == asked["run_id"]
    assert logged(log) == ["s1", "s2", "s3"]

"""The real `claude` binary on both sides of our MCP face: as a client that hands off work, and as the executor."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from fastmcp import Client

from omni_mcp.contract import TASK_MARK
from omni_mcp.demo.answers import MARK
from omni_mcp.demo.cloud import Cloud, running_cloud
from tests.integration.asking import asking_server
from tests.integration.house import LIMIT, House, call, ended, house, until

ROOT = Path(__file__).parents[2]
BINARY = shutil.which("claude", path=str(ROOT / ".cache/npm/node_modules/.bin"))

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(180),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"tool": "Bash", "input": {"command": command, "description": "a step"}, **more}


def script(*steps: dict[str, Any]) -> str:
    return f"Do it. {MARK}{json.dumps(steps)}"


def configure(here: House, cloud: Cloud, **more: Any) -> None:
    """Claude Code behind the relay, LiteLLM's Router behind that, the stub cloud behind all; `more` of its row."""
    coder = {"model": "anthropic/demo", "api_base": cloud.url, "api_key": "not-a-key"}
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    here.configure(
        executors={
            "claude_code": {
                "preset": "claude-code",
                "command": BINARY,
                "handles": ["coding"],
                "login": "relay",
                **more,
            }
        },
        models={"model_list": [{"model_name": "coder", "litellm_params": {**coder, **prices}}]},
    )


def is_alive(process: psutil.Process) -> bool:
    """Whether it does anything; one that only its new parent has not taken note of yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.litellm
async def test_claude_adapter_and_engine_killed_in_turn_in_mid_tool_go_on_in_one_session(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    log, word = repo / "steps", repo / "word"
    slow = f"echo begin-2 >> {log}; while [ ! -e {word} ]; do sleep 0.1; done; echo end-2 >> {log}"
    steps = (
        shell(f"echo step-1 >> {log}"),
        shell(slow, insists=True),
        {"tool": "Write", "input": {"file_path": str(repo / "hello.txt"), "content": "hello\n"}},
        {"text": "written"},
    )
    async with house(tmp_path) as here, running_cloud() as cloud:
        configure(here, cloud)
        async with here.client() as client:
            task = await call(client, "submit_task", description=script(*steps), type="coding", cwd=str(repo))
            await begun(client, log, 1)
            for times, kill in enumerate((a_claude, an_adapter, an_engine), start=2):
                before = of_task(task["task_id"])
                (await kill(here, before)).kill()
                await begun(client, log, times)
                assert [process for process in before if is_alive(process)] == []
            word.touch()
            done = await ended(client, task["task_id"])
            result = await call(client, "task_result", task_id=task["task_id"])
    assert (done["state"], done["attempt"], done["endpoint"]) == ("completed", 4, "litellm-router")
    assert result["text"] == "written"
    assert (repo / "hello.txt").read_text() == "hello\n"
    assert log.read_text().split() == ["step-1", *["begin-2"] * 4, "end-2"]
    assert done["cost_usd"] == pytest.approx(cloud_bill(cloud))
    assert len(list(here.home.root.glob(".claude/projects/*/*.jsonl"))) == 1


def of_task(task_id: str) -> Sequence[psutil.Process]:
    """Return the processes of a task's attempt: `claude` and what that has started."""

    def is_of(process: psutil.Process) -> bool:
        try:
            return process.environ().get(TASK_MARK) == task_id
        except (psutil.Error, OSError):
            return False

    return [process for process in psutil.process_iter() if is_of(process)]


async def a_claude(_here: House, attempt: Sequence[psutil.Process]) -> psutil.Process:
    """Return the `claude` of an attempt: the one that no other process of it has started."""
    [top] = [process for process in attempt if process.ppid() not in {each.pid for each in attempt}]
    return top


async def an_adapter(here: House, attempt: Sequence[psutil.Process]) -> psutil.Process:
    """Return the adapter that has started an attempt."""
    return psutil.Process((await a_claude(here, attempt)).ppid())


async def an_engine(here: House, _attempt: Sequence[psutil.Process]) -> psutil.Process:
    """Return the engine."""
    return psutil.Process(await here.engine_pid())


async def begun(client: Client[Any], log: Path, times: int, *, limit: float = LIMIT) -> None:
    """Wait until the second step has begun so often, and let nothing wait for its turn meanwhile."""

    async def has_begun() -> bool:
        await call(client, "resume_pending")
        return log.exists() and log.read_text().count("begin-2") >= times

    await until(has_begun, limit=limit)


def cloud_bill(cloud: Cloud) -> float:
    return sum(seen.input_tokens * 1e-6 + seen.output_tokens * 2e-6 for seen in cloud.requests)


async def claude(here: House, cloud: Cloud, prompt: str) -> str:
    """Run `claude -p` as a client of our face, in a clean environment; returns its events."""
    server = {"command": sys.executable, "args": ["-m", "omni_mcp"], "env": here.env}
    tools = ["submit_task", "task_status", "task_result", "answer_task", "cancel_task"]
    argv = [
        str(BINARY),
        "-p",
        "--output-format",
        "stream-json",
        "--verbose",
        "--strict-mcp-config",
        "--mcp-config",
        json.dumps({"mcpServers": {"omni": server}}),
        "--allowedTools",
        *(f"mcp__omni__{tool}" for tool in tools),
    ]
    quiet = {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    env = {**here.env, **quiet, "ANTHROPIC_BASE_URL": cloud.url, "ANTHROPIC_API_KEY": "not-a-key"}
    with anyio.fail_after(LIMIT * 3):
        done = await anyio.run_process(argv, input=prompt.encode(), env=env, cwd=here.home.root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.decode()


async def test_claude_code_hands_off_a_task_and_a_later_session_reads_its_result(tmp_path: Path) -> None:
    async with house(tmp_path) as here, running_cloud() as cloud:
        here.configure(executors={"bench": here.workshop()})
        submit = {"tool": "mcp__omni__submit_task", "input": {"description": "from claude", "type": "echo"}}
        await claude(here, cloud, script(submit, {"text": "handed off"}))
        code, listed = await here.cli("list", "--json")
        assert code == 0
        [task] = json.loads(listed)["tasks"]
        ask = {"task_id": task["task_id"]}
        wait = {"tool": "mcp__omni__task_status", "input": {**ask, "wait_seconds": 20}}
        read = {"tool": "mcp__omni__task_result", "input": ask}
        told = await claude(here, cloud, script(wait, read, {"text": "done"}))
        assert [line["text"] for line in here.logged()] == ["from claude"]
        assert "completed" in told
        assert "echo: from claude" in told


async def test_claude_code_answers_a_question_and_cancels_another_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here, running_cloud() as cloud:
        slow = here.workshop("until", argument="path")
        here.configure(executors={"asker": asking_server(), "slow": slow})
        async with here.client() as client:
            asks = {"task_id": (await call(client, "submit_task", description="which", type="ask"))["task_id"]}
            lasts = {"task_id": (await call(client, "submit_task", description="/nowhere", type="until"))["task_id"]}
        wait = {"tool": "mcp__omni__task_status", "input": {**asks, "wait_seconds": 40}}
        given = {**asks, "question_id": "q1", "action": "accept", "content": {"which": "A"}}
        steps = (
            wait,
            {"tool": "mcp__omni__answer_task", "input": given},
            wait,
            {"tool": "mcp__omni__task_result", "input": asks},
            {"tool": "mcp__omni__cancel_task", "input": lasts},
            {"text": "both are over"},
        )
        told = await claude(here, cloud, script(*steps))
        assert "accept {'which': 'A'}" in told
        assert "both are over" in told
        listed = {task["task_id"]: task["state"] for task in json.loads((await here.cli("list", "--json"))[1])["tasks"]}
        assert listed == {asks["task_id"]: "completed", lasts["task_id"]: "cancelled"}

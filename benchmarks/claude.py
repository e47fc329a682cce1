"""What Claude Code costs behind us: a task from its submit to its result against bare `claude -p`, and eight at once.

The real binary on both sides, the stub cloud as its model, so that what a model thinks is not in the figures. Ours and
bare take turns, so that a busy machine is busy for both; the CPU that both took says most there. Ours goes the whole
way: face, ledger, engine, adapter, relay, LiteLLM's Router; its session and LiteLLM are warm, as they are from the
second task on.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import yaml
from anyio.to_thread import run_sync
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from benchmarks.first_task import CLAUDE, environment, stub_cloud
from benchmarks.rows import pair
from omni_mcp import background
from omni_mcp.contract import TASK_MARK
from omni_mcp.demo.answers import MARK
from omni_mcp.home import Home

PAIRS = 9
"""Runs of each, after one of each that is not counted."""
AT_ONCE = 8
GOAL = 1.2
"""Times bare `claude -p`."""
LIMIT = 120.0
"""Seconds that one task may take."""
PROMPT = f"Do it. {MARK}" + json.dumps([{"text": "done"}])
TOGETHER = [
    {
        "tool": "Bash",
        "input": {"command": "touch began; while [ ! -e word ]; do sleep 0.2; done", "description": "wait"},
    },
    {"text": "done"},
]


def bare(env: Mapping[str, str], cwd: Path, cloud: str) -> float:
    """Run `claude -p` as a shell does; returns its seconds."""
    argv = [str(CLAUDE), "-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits"]
    login = {"ANTHROPIC_BASE_URL": cloud, "ANTHROPIC_API_KEY": "not-a-key"}
    began = time.perf_counter()
    subprocess.run(
        argv, input=PROMPT.encode(), env={**env, **login}, cwd=cwd, check=True, capture_output=True, timeout=LIMIT
    )
    return time.perf_counter() - began


@asynccontextmanager
async def face(root: Path, env: Mapping[str, str], cloud: str) -> AsyncGenerator[Client[Any]]:
    """Open a client of a face whose engine has one executor, and stop that at the end."""
    home = Home(root)
    route = {"model": "anthropic/demo", "api_base": cloud, "api_key": "not-a-key"}
    row = {"preset": "claude-code", "command": str(CLAUDE), "login": "relay", "parallel": AT_ONCE}
    settings = {"executors": {"coder": row}, "models": {"model_list": [{"model_name": "m", "litellm_params": route}]}}
    home.servers.write_text(yaml.safe_dump(settings))
    argv = ["-P", "-m", "omni_mcp", "--home", str(root)]
    with (root / "face.log").open("a") as log:
        transport = StdioTransport(sys.executable, argv, env=dict(env), keep_alive=False, log_file=log)
        try:
            async with Client(transport, timeout=LIMIT) as client:
                yield client
        finally:
            await run_sync(background.stop, home)


async def asked(client: Client[Any], tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool; returns its answer."""
    answer = await client.call_tool(tool, arguments)
    return answer.structured_content or {}


async def submitted(client: Client[Any], cwd: Path, description: str, *, wait: float = 0) -> dict[str, Any]:
    """Submit a task for the executor."""
    given = {"description": description, "executor": "coder", "cwd": str(cwd), "wait_seconds": wait}
    return await asked(client, "submit_task", **given)


async def ours(client: Client[Any], cwd: Path) -> float:
    """Run one task to its result; returns its seconds."""
    began = time.perf_counter()
    task = await submitted(client, cwd, PROMPT, wait=50)
    while task["state"] not in ("completed", "failed"):
        task = await asked(client, "task_status", task_id=task["task_id"], wait_seconds=50)
    assert task["state"] == "completed", task
    await asked(client, "task_result", task_id=task["task_id"])
    return time.perf_counter() - began


async def starts(client: Client[Any], env: Mapping[str, str], cwd: Path, cloud: str) -> Sequence[dict[str, Any]]:
    """Compare a task with bare `claude -p`."""
    await ours(client, cwd)
    await run_sync(bare, env, cwd, cloud)
    spent = _cpu(env), _cpu_of(psutil.Process(), children=True)
    pairs = [(await ours(client, cwd), await run_sync(bare, env, cwd, cloud)) for _ in range(PAIRS)]
    with_us, alone = (statistics.median(side) for side in zip(*pairs, strict=True))
    cpu = (_cpu(env) - spent[0]) / PAIRS
    cpu_alone = (_cpu_of(psutil.Process(), children=True) - spent[1]) / PAIRS
    return [
        _against("Claude Code: CPU of a task, from submit to result, against claude -p", cpu, cpu_alone),
        _against("  seconds of it", with_us, alone),
    ]


def _against(name: str, with_us: float, alone: float) -> dict[str, Any]:
    return {"name": name, "unit": "s", **pair(with_us, alone), "at_most": GOAL}


def _cpu(env: Mapping[str, str]) -> float:
    """Return the seconds of CPU of all processes of a home, and of those that have ended there."""
    processes = [process for process in psutil.process_iter() if _variable(process, "HOME") == env["HOME"]]
    return sum(_cpu_of(process, children=False) + _cpu_of(process, children=True) for process in processes)


def _cpu_of(process: psutil.Process, *, children: bool) -> float:
    times = process.cpu_times()
    return times.children_user + times.children_system if children else times.user + times.system


def of_tasks(ids: Sequence[str]) -> Sequence[psutil.Process]:
    """Return all processes of these tasks."""
    return [process for process in psutil.process_iter() if _variable(process, TASK_MARK) in ids]


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except (psutil.Error, OSError):
        return None


def _pss(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss
    except psutil.Error:  # a `sleep` that has ended
        return 0


async def together(client: Client[Any], folder: Path) -> Sequence[dict[str, Any]]:
    """Run eight tasks at once, weigh them, then cancel all."""
    places = _places(folder)
    ids = [(await submitted(client, p, f"Do it. {MARK}{json.dumps(TOGETHER)}"))["task_id"] for p in places]
    await run_sync(_all_begun, places)
    weight = sum(_pss(process) for process in of_tasks(ids)) / 1e6
    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for task_id in ids:
            tasks.start_soon(_cancelled, client, task_id)
    took, left = time.perf_counter() - began, of_tasks(ids)
    return [
        {"name": f"  memory of each of {AT_ONCE} at once (proportional)", "unit": "MB", "ours": weight / AT_ONCE},
        {"name": f"  until all {AT_ONCE} were cancelled", "unit": "s", "ours": took, "goal": 25},
        {"name": "  processes of them left then", "unit": "", "ours": len(left), "goal": 0},
    ]


def _all_begun(places: Sequence[Path]) -> None:
    deadline = time.monotonic() + LIMIT
    while not all((place / "began").exists() for place in places):
        assert time.monotonic() < deadline, "they do not begin"
        time.sleep(0.1)


async def _cancelled(client: Client[Any], task_id: str) -> None:
    answer = await asked(client, "cancel_task", task_id=task_id)
    assert answer["state"] == "cancelled", answer


async def measured(folder: Path, env: Mapping[str, str], cloud: str) -> list[dict[str, Any]]:
    """Measure in a home of its own."""
    async with face(Path(env["OMNI_HOME"]), env, cloud) as client:
        return [*await starts(client, env, folder, cloud), *await together(client, folder)]


def main() -> list[dict[str, Any]]:
    """Return the lines of the table; none without Claude Code."""
    if not CLAUDE.exists():
        return []
    with tempfile.TemporaryDirectory(prefix="omni-claude-") as folder, stub_cloud() as cloud:
        home = Path(folder, "home")
        for place in (home, *_places(Path(folder))):
            place.mkdir()
        return anyio.run(measured, Path(folder), {**environment(home), "OMNI_HOME": str(home)}, cloud)


def _places(folder: Path) -> Sequence[Path]:
    return [folder / str(number) for number in range(AT_ONCE)]


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))

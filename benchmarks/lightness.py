"""How light it is: what is installed, what face and engine hold resident, what both cost while nothing happens."""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import Any

import psutil

from benchmarks.empty import ROOT, environment
from benchmarks.face import Connection, Contender, a_home, initialized
from benchmarks.first_task import stub_cloud
from omni_mcp import background
from omni_mcp.home import Home

SECONDS = float(os.environ.get("OMNI_BENCH_IDLE", "60"))
"""How long they are watched while nothing happens."""
SETTLE = 5.0
"""Seconds until they are."""
IDLE_GOAL = 0.5
"""Per cent of a core, face and engine together."""
SERVERS = """\
executors:
  assistant: {{preset: assistant, handles: [general]}}
  nobody: {{command: /a-program-that-is-not-there, tool: run, handles: [bench]}}
models:
  model_list: [{{model_name: stub, litellm_params: {{model: openai/stub, api_base: "{cloud}/v1", api_key: not-a-key}}}}]
"""


def installed(env: Path) -> Iterator[dict[str, Any]]:
    """Say what an installation brings along."""
    [packages] = env.glob("lib/*/site-packages")
    direct = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    yield {"name": "dependencies, direct", "unit": "", "ours": len(direct)}
    yield {"name": "dependencies, all", "unit": "", "ours": len(list(packages.glob("*.dist-info"))) - 1}
    yield {"name": "installed, compiled", "unit": "MB", "ours": _megabytes(packages)}
    yield {"name": "  of which litellm", "unit": "MB", "ours": _megabytes(packages / "litellm")}
    yield {"name": "  of which omni_mcp", "unit": "MB", "ours": _megabytes(packages / "omni_mcp")}


def _megabytes(folder: Path) -> float:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) / 1e6


def idle(processes: Mapping[str, psutil.Process], when: str) -> Iterator[dict[str, Any]]:
    """Watch processes while nothing happens; say what each holds and what all cost."""
    sleep(SETTLE)
    before = [_seconds(process) for process in processes.values()]
    sleep(SECONDS)
    spent = sum(_seconds(process) for process in processes.values()) - sum(before)
    for name, process in processes.items():
        yield {"name": f"{name}, resident, {when}", "unit": "MB", "ours": process.memory_info().rss / 1e6}
    share = spent / SECONDS * 100
    yield {"name": f"idle CPU, all, {when}", "unit": "%", "ours": share, "goal": IDLE_GOAL}


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def submit(connection: Connection, **task: Any) -> Mapping[str, Any]:
    """Submit a task and wait until it is over or held."""
    arguments = {**task, "wait_seconds": 50}
    return connection.ask("tools/call", {"name": "submit_task", "arguments": arguments})["structuredContent"]


def watched(face: Contender, home: Home) -> Iterator[dict[str, Any]]:
    """Measure a face and its engine, first as they come up, then when a model was called."""
    with initialized(face) as connection:
        submit(connection, description="nobody takes it", type="bench")
        engine = psutil.Process(background.view(home).pid)
        both = {"face": psutil.Process(connection.process.pid), "engine": engine}
        yield from idle(both, "fresh")
        done = submit(connection, description="查一下天气")
        assert done["state"] == "completed", done
        more = {f"executor {number}": child for number, child in enumerate(engine.children(recursive=True), 1)}
        yield from idle({**both, **more}, "after a model call")


def main() -> Sequence[dict[str, Any]]:
    """Measure everything; returns the lines of the table."""
    with environment() as env, a_home() as home, stub_cloud() as cloud:
        home.servers.write_text(SERVERS.format(cloud=cloud), encoding="utf-8")
        variables = {"PATH": os.environ["PATH"], "HOME": str(home.root), "OMNI_HOME": str(home.root)}
        command = [str(env / "bin/python"), "-P", "-m", "omni_mcp"]
        face = Contender(command=command, environment=variables, tool="list_tasks", arguments={})
        return [*installed(env), *watched(face, home)]


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))

"""The adapters of docs/executors.md, taken out of its text and run as executors through our MCP face."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastmcp import Client

from tests.integration.house import House, call, ended, house, progressed, refused, until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/executors.md"
NODE_MODULES = ROOT / ".cache/npm/node_modules"
AGENT = """
import sys, time
task = sys.stdin.read()
for word in task.split():
    print(word.upper(), flush=True)
    while word == "wait":
        time.sleep(600)
    if word == "fail":
        sys.exit(3)
"""
"""Says the words of its task, one a line."""


def example(language: str) -> str:
    """Return the one block of the page in that language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found


def in_python(here: House) -> list[str]:
    """Write the example; returns its command."""
    (file := here.home.root / "program.py").write_text(example("python"), encoding="utf-8")
    return [sys.executable, str(file)]


def in_javascript(here: House) -> list[str]:
    (file := here.home.root / "program.mjs").write_text(example("javascript"), encoding="utf-8")
    (here.home.root / "node_modules").symlink_to(NODE_MODULES)
    return [shutil.which("node") or "node", str(file)]


NPM = [
    pytest.mark.npm,
    pytest.mark.skipif(
        not (NODE_MODULES / "@modelcontextprotocol/sdk").exists(), reason="no SDK: make test installs it"
    ),
]


def configure(here: House, command: Sequence[str]) -> Path:
    """Write the rows of an example, one for an agent and one for a program that is not there; returns the agent."""
    (agent := here.home.root / "agent.py").write_text(AGENT)
    row = {"command": command[0], "timeout": 600, "recovery": "retry"}
    here.configure(
        executors={
            "mine": {**row, "args": [*command[1:], sys.executable, str(agent)], "handles": ["mine"]},
            "missing": {**row, "args": [*command[1:], "no-such-program"], "handles": ["none"]},
        }
    )
    return agent


async def submitted(client: Client[Any], text: str, **more: Any) -> str:
    return (await call(client, "submit_task", description=text, **{"executor": "mine", **more}))["task_id"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("written", [in_python, pytest.param(in_javascript, marks=NPM)])
async def test_an_adapter_of_the_page_runs_tasks(tmp_path: Path, written: Callable[[House], list[str]]) -> None:
    async with house(tmp_path) as here:
        agent = configure(here, written(here))
        async with here.client() as client:
            await completes(client, await submitted(client, "one two"))
            await fails(client, await submitted(client, "so fail"))
            absent = await ended(client, await submitted(client, "x", executor="missing"))
            assert (absent["waiting_for"], "install it" in absent["text"]) == ("executor", True)
            limited = await ended(client, await submitted(client, "x", options={"max_turns": 3}))
            assert "cannot keep the options max_turns" in limited["text"]
            too_long = {"description": "x", "executor": "mine", "options": {"timeout": 601}}
            assert "up to 600" in str(await refused(client, "submit_task", **too_long))
            await is_cancelled(client, await submitted(client, "please wait"), agent)


async def completes(client: Client[Any], task: str) -> None:
    done, result = await ended(client, task), await call(client, "task_result", task_id=task)
    assert (done["state"], result["text"].split(), done["progress"]) == ("completed", ["ONE", "TWO"], "TWO")
    assert result["notes"]["usage"]["output_tokens"] == 2


async def fails(client: Client[Any], task: str) -> None:
    end = await ended(client, task)
    assert (end["state"], "it ended with 3" in end["text"]) == ("failed", True)
    assert "SO" in (await call(client, "task_result", task_id=task))["text"]


async def is_cancelled(client: Client[Any], task: str, agent: Path) -> None:
    await progressed(client, task, "WAIT")
    [process] = [child for child in psutil.process_iter(["cmdline"]) if is_agent(child, agent)]
    cancelled = await call(client, "cancel_task", task_id=task)
    assert (cancelled["state"], cancelled["text"]) == ("cancelled", "stopped on request")
    await until(lambda: not process.is_running())


def is_agent(process: psutil.Process, agent: Path) -> bool:
    return str(agent) in (process.info["cmdline"] or []) and "program" not in " ".join(process.info["cmdline"])

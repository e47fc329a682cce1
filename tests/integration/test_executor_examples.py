"""The adapters of docs/executors.md, taken out of its text and run as executors through our MCP face."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.house import House, call, ended, house, refused, until

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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("written", [in_python, pytest.param(in_javascript, marks=NPM)])
async def test_an_adapter_of_the_page_runs_tasks(tmp_path: Path, written: Any) -> None:
    async with house(tmp_path) as here:
        command, *args = written(here)
        (agent := tmp_path / "agent.py").write_text(AGENT)
        row = {"command": command, "handles": ["mine"], "timeout": 600, "recovery": "retry"}
        here.configure(
            executors={
                "program": {**row, "args": [*args, sys.executable, str(agent)]},
                "missing": {**row, "args": [*args, "no-such-program"], "handles": ["none"]},
            }
        )
        async with here.client() as client:

            async def submitted(text: str, **more: Any) -> str:
                task = await call(client, "submit_task", description=text, **{"executor": "program", **more})
                return task["task_id"]

            good, bad = await submitted("one two"), await submitted("so fail")
            absent, limited = await submitted("x", executor="missing"), await submitted("x", options={"max_turns": 3})
            done = await ended(client, good)
            result = await call(client, "task_result", task_id=good)
            assert (done["state"], result["text"].split(), done["progress"]) == ("completed", ["ONE", "TWO"], "TWO")
            assert result["notes"]["usage"]["output_tokens"] == 2
            failed = await ended(client, bad)
            assert (failed["state"], "it ended with 3" in failed["text"]) == ("failed", True)
            assert "SO" in (await call(client, "task_result", task_id=bad))["text"]
            waits = await ended(client, absent)
            assert (waits["waiting_for"], "install it" in waits["text"]) == ("executor", True)
            assert "cannot keep the options max_turns" in (await ended(client, limited))["text"]
            assert "up to 600" in str(
                await refused(client, "submit_task", description="x", executor="program", options={"timeout": 601})
            )
            held = await submitted("please wait")
            while (await call(client, "task_status", task_id=held, wait_seconds=1))["progress"] != "WAIT":
                pass
            [process] = [child for child in psutil.process_iter(["cmdline"]) if is_agent(child, agent)]
            cancelled = await call(client, "cancel_task", task_id=held)
            assert (cancelled["state"], cancelled["text"]) == ("cancelled", "stopped on request")
            await until(lambda: not process.is_running())


def is_agent(process: psutil.Process, agent: Path) -> bool:
    return str(agent) in (process.info["cmdline"] or []) and "program" not in " ".join(process.info["cmdline"])

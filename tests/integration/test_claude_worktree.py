"""What a task may say to Claude Code, through our MCP face: worktree, permissions, turns; real claude, real git."""

from pathlib import Path
from typing import Any

import pytest

from omni_mcp.demo.cloud import running_cloud
from tests.integration.house import call, ended, house, refused
from tests.integration.repository import git, repository
from tests.integration.test_claude_code import BINARY, an_adapter, begun, configure, of_task, script, shell

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(360),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]


PATIENCE = 120
"""Seconds that anything may take here: an engine with LiteLLM, and claude, start on a machine that may be busy."""


def watched(tmp_path: Path) -> Path:
    """Return a repository with a file that the user is at, whose file system monitor is a trap."""
    repo = repository(tmp_path)
    (repo / "kept.txt").write_text("the user is at it\n")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    monitor.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(monitor))
    return repo


def slow(tmp_path: Path) -> dict[str, Any]:
    """Return a step that works until it is told to end, and then writes."""
    wait = f"while [ ! -e {tmp_path}/word ]; do sleep 0.1; done"
    return shell(f"echo begin-2 >> {tmp_path}/log; {wait}; echo two >> new.txt", insists=True)


@pytest.mark.slow
@pytest.mark.litellm
async def test_a_task_keeps_to_its_worktree_over_a_kill(tmp_path: Path) -> None:
    repo, log = watched(tmp_path), tmp_path / "log"
    steps = (shell("echo one >> new.txt; git status"), slow(tmp_path), {"text": "written"})
    async with house(tmp_path) as here, running_cloud() as cloud:
        configure(here, cloud, roots=[str(repo)])
        async with here.client() as client:
            asked = {"description": script(*steps), "type": "coding", "cwd": str(repo)}
            task = await call(client, "submit_task", **asked, options={"worktree": True, "max_turns": 20})
            await begun(client, log, 1, limit=PATIENCE)
            (await an_adapter(here, of_task(task["task_id"]))).kill()
            await begun(client, log, 2, limit=PATIENCE)
            (tmp_path / "word").touch()
            done = await ended(client, task["task_id"], limit=PATIENCE)
            result = await call(client, "task_result", task_id=task["task_id"])
    assert not (tmp_path / "sprung").exists()
    assert (done["state"], done["attempt"]) == ("completed", 2)
    assert result["text"].startswith("written\n\n---\nKept: worktree ")
    assert "+one\n+two\n" in result["text"]
    assert result["notes"]["worktree"]["branch"] == f"omni/{task['task_id']}"
    assert git(repo, "status", "--porcelain") == " M kept.txt\n"


@pytest.mark.litellm
async def test_a_task_is_kept_to_what_it_lowers_and_refused_what_it_raises(tmp_path: Path) -> None:
    steps = (shell("true"), shell("true"), {"text": "done"})
    async with house(tmp_path) as here, running_cloud() as cloud:
        configure(here, cloud)
        async with here.client() as client:
            asked = {"description": script(*steps), "type": "coding", "cwd": str(tmp_path)}
            for options, why in (({"permissions": "full"}, "up to edit"), ({"timeout": 9999}, "up to 3600")):
                assert why in str(await refused(client, "submit_task", **asked, options=options))
            for options, why in (({"max_turns": 1}, "max_turns"), ({"worktree": True}, "is in no git repository")):
                task = await call(client, "submit_task", **asked, options=options)
                end = await ended(client, task["task_id"], limit=PATIENCE)
                assert (end["state"], why in end["text"]) == ("failed", True), end

"""What a task may say to Claude Code, through our MCP face: worktree, permissions, turns; real claude, real git."""

from pathlib import Path

import pytest

from omni_mcp.demo.cloud import running_cloud
from tests.integration.house import call, ended, house, refused, until
from tests.integration.repository import git, repository
from tests.integration.test_claude_code import (
    an_adapter,
    begun_again,
    configure,
    of_task,
    pytestmark,  # noqa: F401  # pyright: ignore[reportUnusedImport] - the same marks hold here
    script,
    shell,
)


@pytest.mark.litellm
async def test_a_task_keeps_to_its_worktree_over_a_kill_and_to_its_options(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    (repo / "kept.txt").write_text("the user is at it\n")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    monitor.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(monitor))
    log, word = tmp_path / "log", tmp_path / "word"
    slow = f"echo begin-2 >> {log}; while [ ! -e {word} ]; do sleep 0.1; done; echo two >> new.txt"
    steps = (shell("echo one >> new.txt; git status"), shell(slow, insists=True), {"text": "written"})
    async with house(tmp_path) as here, running_cloud() as cloud:
        configure(here, cloud)
        async with here.client() as client:
            asked = {"description": script(*steps), "type": "coding", "cwd": str(repo)}
            for options, why in (({"permissions": "full"}, "up to edit"), ({"timeout": 9999}, "up to 3600")):
                assert why in str(await refused(client, "submit_task", **asked, options=options))
            task = await call(client, "submit_task", **asked, options={"worktree": True, "max_turns": 20})
            await until(lambda: log.exists() and "begin-2" in log.read_text())
            (await an_adapter(here, of_task(task["task_id"]))).kill()
            await begun_again(client, log, 2)
            word.touch()
            done = await ended(client, task["task_id"], limit=90)
            result = await call(client, "task_result", task_id=task["task_id"])
            few = await call(client, "submit_task", **asked, options={"max_turns": 1})
            short = await ended(client, few["task_id"], limit=90)
            nowhere = await call(
                client, "submit_task", **{**asked, "cwd": str(here.home.root)}, options={"worktree": True}
            )
            lost = await ended(client, nowhere["task_id"], limit=90)
    assert not (tmp_path / "sprung").exists()
    assert (done["state"], done["attempt"]) == ("completed", 2)
    assert result["text"].startswith("written\n\n---\nKept: worktree ")
    assert "+one\n+two\n" in result["text"]
    assert result["notes"]["worktree"]["branch"] == f"omni/{task['task_id']}"
    assert git(repo, "status", "--porcelain") == " M kept.txt\n?? new.txt\n", "the one without worktree wrote here"
    assert (short["state"], "max_turns" in short["text"]) == ("failed", True)
    assert (lost["state"], "is in no git repository" in lost["text"]) == ("failed", True)

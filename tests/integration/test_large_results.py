"""Results of megabytes: kept whole, read by the page, shown by head and tail."""

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastmcp import Client

from tests.integration.house import LIMIT, STUBS, House, call, ended, house

MOST = 768 << 20
"""Bytes that no process of ours may come to."""
WHOLE = 20_000_000
"""Characters of the result in the stand-in."""


async def done(client: Client[Any], text: str, executor: str) -> dict[str, Any]:
    """Have a task done; returns where it stands then."""
    task = await call(client, "submit_task", description=text, executor=executor)
    end = await ended(client, task["task_id"], limit=LIMIT * 3)
    assert end["state"] == "completed", end
    return end


def configure(here: House, share: int) -> None:
    """Claude Code is a stand-in that prints much; beside it a tool that gives much."""
    claude = here.home.root / "claude"
    program = (STUBS / "big_claude.py").read_text().replace("SHARE = 1\n", f"SHARE = {share}\n")
    claude.write_text(f"#!{sys.executable}\n{program}")
    claude.chmod(0o755)
    row = {"preset": "claude-code", "command": str(claude), "handles": ["coding"], "login": "own", "parallel": 1}
    row["approvals"] = "none"  # it reads its prompt to the end
    here.configure(executors={"claude_code": row, "bench": here.workshop("heap", argument="size")})


@pytest.mark.timeout(240)
@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a first line")
@pytest.mark.parametrize("share", [20, pytest.param(1, marks=pytest.mark.slow)])
async def test_large_lines_of_claude_cost_nothing_but_their_size(share: int, tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        configure(here, share)
        async with here.client() as client:
            for said in ("tool", "garbage"):
                assert (await done(client, said, "claude_code"))["summary"] == "short"
            await is_read_by_the_page(client, await done(client, "whole", "claude_code"), WHOLE // share)
            await has_its_data_apart(client, (await done(client, "60000", "bench"))["task_id"])
            family = [psutil.Process(await here.engine_pid()), *psutil.Process().children(recursive=True)]
            assert [process for process in family if process.memory_info().rss > MOST] == []


async def is_read_by_the_page(client: Client[Any], end: dict[str, Any], size: int) -> None:
    assert end["summary"].startswith("begin 写\n写")
    assert end["summary"].endswith("写\n the end")
    assert "characters left out; task_result has them" in end["summary"]
    first = await call(client, "task_result", task_id=end["task_id"])
    total = first["total_chars"]
    assert (len(first["text"]), total > size * 0.95) == (20_000, True)
    last = await call(client, "task_result", task_id=end["task_id"], offset=total - 10)
    assert (last["text"], last.get("next_offset")) == ("写\n the end", None)


async def has_its_data_apart(client: Client[Any], task: str) -> None:
    page = await call(client, "task_result", task_id=task)
    assert (page["text"][:7], list(page["left_out"])) == ('{"kind"', ["structured"])
    assert page["next_step"] == "task_result with offset 20000; task_result with part structured"
    part = await call(client, "task_result", task_id=task, part="structured", offset=60_000)
    assert part["text"].endswith('"}')

"""Results of megabytes: kept whole, read by the page, shown by head and tail."""

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.house import LIMIT, STUBS, call, ended, house

MOST = 768 << 20
"""Bytes that no process of ours may come to."""


@pytest.mark.timeout(240)
@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a first line")
async def test_large_lines_of_claude_cost_nothing_but_their_size(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        claude = here.home.root / "claude"
        claude.write_text(f"#!{sys.executable}\n{(STUBS / 'big_claude.py').read_text()}")
        claude.chmod(0o755)
        row = {"preset": "claude-code", "command": str(claude), "handles": ["coding"], "login": "own", "parallel": 1}
        bench = here.workshop("heap", argument="size")
        here.configure(executors={"claude_code": row, "bench": bench})
        async with here.client() as client:

            async def done(text: str, **more: Any) -> dict[str, Any]:
                task = await call(client, "submit_task", description=text, **more)
                return await ended(client, task["task_id"], limit=LIMIT * 3)

            for said in ("tool", "garbage"):
                end = await done(said, executor="claude_code")
                assert (end["state"], end["summary"]) == ("completed", "short"), end
            whole = await done("whole", executor="claude_code")
            assert whole["summary"].startswith("begin 写\n写")
            assert whole["summary"].endswith("写\n the end")
            assert "characters left out; task_result has them" in whole["summary"]
            first = await call(client, "task_result", task_id=whole["task_id"])
            total = first["total_chars"]
            assert (len(first["text"]), total > 19_000_000) == (20_000, True)
            last = await call(client, "task_result", task_id=whole["task_id"], offset=total - 10)
            assert (last["text"], last.get("next_offset")) == ("写\n the end", None)
            large = await done("60000", executor="bench")
            page = await call(client, "task_result", task_id=large["task_id"])
            assert (page["text"][:7], list(page["left_out"])) == ('{"kind"', ["structured"])
            assert page["next_step"] == "task_result with offset 20000; task_result with part structured"
            part = await call(client, "task_result", task_id=large["task_id"], part="structured", offset=60_000)
            assert part["text"].endswith('"}')
            family = [psutil.Process(await here.engine_pid()), *psutil.Process().children(recursive=True)]
            assert [process for process in family if process.memory_info().rss > MOST] == []

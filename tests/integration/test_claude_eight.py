"""Eight tasks of the real `claude` binary at once: they run side by side, and a cancel of all leaves nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client

from omni_mcp.demo.cloud import running_cloud
from tests.integration.house import call, house, until
from tests.integration.test_claude_code import BINARY, is_alive, of_task, script, shell

pytestmark = [
    pytest.mark.claude,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]

EIGHT = range(8)
LIMIT = 120.0
"""Seconds until all of them work."""
GONE = 25.0
"""Seconds in which `cancel_task` answers, as it promises."""


ENDLESS = script(shell("tail -f /dev/null & touch begun; while [ ! -e word ]; do sleep 0.2; done"))


async def test_a_cancel_of_eight_at_once_leaves_no_process_within_its_limit(tmp_path: Path) -> None:
    places = [tmp_path / str(number) for number in EIGHT]
    for place in places:
        place.mkdir()
    async with house(tmp_path) as here, running_cloud() as cloud:
        login = {"ANTHROPIC_BASE_URL": cloud.url, "ANTHROPIC_API_KEY": "own-key"}
        row = {"preset": "claude-code", "command": BINARY, "login": "own", "env": login, "parallel": len(EIGHT)}
        here.configure(executors={"claude": row})
        async with here.client() as client:
            given = {"description": ENDLESS, "executor": "claude"}
            tasks = [(await call(client, "submit_task", **given, cwd=str(place)))["task_id"] for place in places]
            await until(lambda: all((place / "begun").exists() for place in places), limit=LIMIT)
            before = [process for task in tasks for process in of_task(task)]
            ends = await cancelled(client, tasks)
            await until(lambda: not [process for process in before if is_alive(process)])
    assert len(before) >= 3 * len(EIGHT)
    assert {end["state"] for end in ends} == {"cancelled"}, ends
    assert [task for task in tasks if of_task(task)] == []


async def cancelled(client: Client[Any], tasks: Sequence[str]) -> Sequence[dict[str, Any]]:
    """Cancel all at once; returns what each cancel was answered with."""
    ends: list[dict[str, Any]] = []

    async def cancel(task_id: str) -> None:
        with anyio.fail_after(GONE + 10):
            ends.append(await call(client, "cancel_task", task_id=task_id))

    async with anyio.create_task_group() as cancels:
        for task in tasks:
            cancels.start_soon(cancel, task)
    return ends

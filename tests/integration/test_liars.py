"""Executors that lie, babble or break the line: each costs a clear word, never a task and never the engine."""

import sys
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client

from tests.integration.house import STUBS, House, call, ended, house, progressed

LIES = (
    ("surrogate", "completed", "half ? pair"),
    ("deep", "consent", "an answer that cannot be read (Invalid JSON: recursion limit exceeded"),
    ("malformed", "consent", "gave a malformed result"),
    ("twice", "completed", "one"),
    ("nothing", "completed", ""),
    ("flood", "completed", "after the flood"),
    ("binary", "completed", "after binary"),
    ("exit_well", "consent", "its outcome is unknown"),
    ("fails", "failed", "boom"),
)


def liar(tool: str, **row: Any) -> dict[str, Any]:
    """Return the row of a server that misbehaves in one way."""
    return {"command": sys.executable, "args": [str(STUBS / "bad_server.py")], "tool": tool, "timeout": 20, **row}


async def told(client: Client[Any], here: House, task: str, end: dict[str, Any]) -> str:
    """Return the words of a task's end."""
    if end["state"] == "completed":
        return (await call(client, "task_result", task_id=task))["text"]
    return end["text"]


async def test_each_lie_is_told_and_the_engine_serves_on(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={tool: liar(tool) for tool, *_ in LIES} | {"bench": here.workshop()})
        async with here.client() as client:
            ids = {
                tool: (await call(client, "submit_task", description="x", executor=tool))["task_id"]
                for tool, *_ in LIES
            }
            for tool, expected, words in LIES:
                end = await ended(client, ids[tool])
                assert expected in (end["state"], end.get("waiting_for")), end
                assert words in await told(client, here, ids[tool], end), end
            flood = await call(client, "task_status", task_id=ids["flood"], since_seq=0)
            assert len(flood["events"]) < 50
            pid = await here.engine_pid()
            last = await call(client, "submit_task", description="still there", executor="bench", wait_seconds=20)
            assert last["state"] == "completed"
            assert await here.engine_pid() == pid


async def test_a_result_after_a_cancel_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"late": liar("late"), "echo": liar("echo", arguments={"text": "{description}"})})
        async with here.client() as client:
            task = (await call(client, "submit_task", description="x", executor="late"))["task_id"]
            await progressed(client, task, "began")
            cancelled = await call(client, "cancel_task", task_id=task)
            assert cancelled["state"] == "cancelled"
            after = await call(client, "submit_task", description="after", executor="echo", wait_seconds=20)
            assert after["state"] == "completed"
            assert (await call(client, "task_status", task_id=task))["state"] == "cancelled"


@pytest.mark.timeout(180)
async def test_fifty_megabytes_are_a_result_in_pages(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"huge": liar("huge", timeout=120), "bench": here.workshop()})
        async with here.client() as client:
            task = (await call(client, "submit_task", description="x", executor="huge"))["task_id"]
            meanwhile = await call(client, "submit_task", description="meanwhile", executor="bench", wait_seconds=50)
            assert meanwhile["state"] == "completed"
            assert (await ended(client, task))["state"] == "completed"
            last = await call(client, "task_result", task_id=task, offset=49_999_990)
            assert (last["total_chars"], last["text"]) == (50_000_000, "x" * 10)


async def test_an_adapter_that_claims_success_without_a_result_is_not_believed(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        adapter = {"command": sys.executable, "args": [str(STUBS / "adapter_server.py")], "handles": ["x"]}
        here.configure(executors={"adapter": adapter})
        async with here.client() as client:
            task = await call(client, "submit_task", description="empty", executor="adapter")
            end = await ended(client, task["task_id"])
            assert (end["state"], end["waiting_for"]) == ("waiting", "consent")
            assert "brought no result" in end["text"]

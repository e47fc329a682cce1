"""A tool of a foreign MCP server asks in the middle of a task: clients and people answer, the first one wins."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client

from tests.forkserver import command
from tests.integration.asking import asking_server
from tests.integration.house import LIMIT, House, call, ended, house, refused


def configure(here: House) -> None:
    here.configure(executors={"asker": asking_server(times=2)})


async def answered(client: Client[Any], told: list[str], **answer: Any) -> None:
    said = await client.call_tool_mcp("answer_task", {"action": "accept", **answer})
    assert said.structured_content is not None
    told.append(said.structured_content.get("code", "taken"))


async def says(here: House, code: int, text: str, *arguments: str) -> None:
    """Run a command that ends with this code and says this text."""
    ended_with, said = await here.cli(*arguments)
    assert (ended_with, text in said) == (code, True), said


async def by_hand(here: House, typed: str, *arguments: str) -> tuple[int, str]:
    """Run `omni-mcp …` at a terminal where somebody types."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, typed.encode())
        argv = command(*arguments)
        with anyio.fail_after(LIMIT * 2):
            done = await anyio.run_process(argv, stdin=theirs, env=here.env, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
@pytest.mark.timeout(300)
async def test_a_tools_questions_are_answered_once_by_whoever_is_first(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        configure(here)
        async with here.client() as client:
            task_id = (await call(client, "submit_task", description="which one", type="ask"))["task_id"]
            asks = await ended(client, task_id, limit=LIMIT * 2)
            assert (asks["waiting_for"], asks["text"]) == ("input", "asker asks: which one 0")
            (question,) = asks["questions"]
            assert question["form"]["properties"] == {"which": {"type": "string", "enum": ["A", "B"]}}
            assert (await call(client, "resume_pending", task_ids=[task_id]))["counts"] == {"left alone": 1}

            await says(here, 1, "│ which one 0", "answer", task_id)
            await says(here, 1, "nobody sits at this terminal", "answer", task_id)
            await says(here, 1, "none of 'A', 'B'", "answer", task_id[:8], "--content", '{"which": "C"}')
            await says(here, 1, "exclude each other", "answer", task_id, "--allow", "--deny")

            told: list[str] = []
            async with anyio.create_task_group() as tasks:
                for which in "AAA":
                    answer = {"task_id": task_id, "question_id": "q1", "content": {"which": which}}
                    tasks.start_soon(partial(answered, client, told, **answer))
            assert sorted(told) == ["question_gone", "question_gone", "taken"]

            assert (await ended(client, task_id))["questions"][0]["question_id"] == "q2"
            code, said = await by_hand(here, "y\nB\n", "answer", task_id[:8])
            assert (code, "│ > which: A | B" in said) == (0, True), said
            assert (await ended(client, task_id))["state"] == "completed"
            result = await call(client, "task_result", task_id=task_id)
            assert result["text"] == "accept {'which': 'A'}; accept {'which': 'B'}"
            await says(here, 1, "has no open question 'q2'", "answer", task_id, "q2", "--allow")

            other = (await call(client, "submit_task", description="and now", type="ask"))["task_id"]
            assert (await ended(client, other))["waiting_for"] == "input"
            assert (await call(client, "cancel_task", task_id=other))["state"] == "cancelled"
            late = await refused(client, "answer_task", task_id=other, question_id="q1", action="decline")
            assert late["code"] == "question_gone"

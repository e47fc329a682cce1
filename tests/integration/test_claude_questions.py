"""The real `claude` asks in the middle of a task: for a permission, and for what it does not know."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from omni_mcp.adapters.claude_ask import NO, NOBODY
from omni_mcp.contract import QUESTION
from omni_mcp.demo.cloud import Cloud, running_cloud
from tests.integration import test_claude_code as engine_tests
from tests.integration import test_claude_code_adapter as adapter_tests
from tests.integration.house import LIMIT, House, call, ended, house, refused, until
from tests.integration.test_claude_code_adapter import request, run, shell, start, write

pytestmark = engine_tests.pytestmark
BINARY = adapter_tests.BINARY

WHICH = "Which database?"
ASK = {
    "tool": "AskUserQuestion",
    "insists": True,
    "input": {
        "questions": [
            {
                "question": WHICH,
                "header": "Database",
                "multiSelect": False,
                "options": [
                    {"label": "test", "description": "may be lost"},
                    {"label": "live", "description": "may not"},
                ],
            }
        ]
    },
}


def configure(here: House, cloud: Cloud, **row: Any) -> None:
    """Claude Code with a login of its own, which leads to the stub cloud."""
    env = {"ANTHROPIC_BASE_URL": cloud.url, "ANTHROPIC_API_KEY": "not-a-key"}
    coder = {"preset": "claude-code", "command": BINARY, "handles": ["coding"], "login": "own", "env": env, **row}
    here.configure(executors={"claude_code": coder})


async def history(client: Client[Any], task_id: str) -> list[str]:
    return [each["text"] for each in (await call(client, "task_status", task_id=task_id, since_seq=0))["events"]]


async def asks(client: Client[Any], task_id: str, **expected: Any) -> dict[str, Any]:
    """Wait until a task asks its one question; returns what answers it, but for the content."""
    seen = await ended(client, task_id, limit=LIMIT * 3)
    assert (seen["state"], seen["waiting_for"]) == ("waiting", "input")
    (question,) = seen["questions"]
    assert {name: question.get(name) for name in expected} == expected
    return {"task_id": task_id, "question_id": question["question_id"], "action": "accept"}


async def kill_the_engine(here: House, client: Client[Any], task_id: str) -> None:
    """Kill it, and wait until another one has taken over."""
    os.kill(await here.engine_pid(), signal.SIGKILL)

    async def told() -> bool:
        return any(text.startswith("its engine died") for text in await history(client, task_id))

    await until(told, limit=LIMIT * 2)


@pytest.mark.timeout(300)
async def test_a_permission_question_survives_its_engine_and_the_answer_resumes_the_session(tmp_path: Path) -> None:
    repo, outside = tmp_path / "repo", tmp_path / "outside.txt"
    repo.mkdir()
    steps = (shell(f"echo once >> {repo}/log"), {**write(outside), "insists": True}, ASK, {"text": "all done"})
    async with house(tmp_path) as here, running_cloud() as cloud:
        configure(here, cloud)
        async with here.client() as client:
            script = engine_tests.script(*steps)
            task_id = (await call(client, "submit_task", description=script, type="coding", cwd=str(repo)))["task_id"]
            answer = await asks(client, task_id, kind="permission", for_people=True)
            refusal = await refused(client, "answer_task", **answer)
            assert (refusal["code"], f"omni-mcp answer {task_id}" in refusal["next_step"]) == ("for_people", True)
            await kill_the_engine(here, client, task_id)
            assert not outside.exists()
        status = await here.cli("status", task_id)
        assert (status[0], f"│ Write: {outside}" in status[1], f"answer {task_id[:8]}" in status[1]) == (0, True, True)
        assert json.loads((await here.cli("answer", task_id, "--allow", "--json"))[1])["task_id"] == task_id
        async with here.client() as client:
            answer = await asks(client, task_id, kind="input", for_people=None)
            assert outside.read_text() == "print('hello')\n"
            refusal = await refused(client, "answer_task", **answer, content={WHICH: "any"})
            assert "none of 'test', 'live'" in refusal["message"]
            assert (await call(client, "answer_task", **answer, content={WHICH: "test"}))["state"] == "executing"
            refusal = await refused(client, "answer_task", **answer, content={WHICH: "live"})
            assert refusal["code"] == "question_gone"
            done = await ended(client, task_id, limit=LIMIT * 3)
            assert (done["state"], done["attempt"]) == ("completed", 2)
            assert (await call(client, "task_result", task_id=task_id))["text"] == "all done"
        assert (repo / "log").read_text() == "once\n"
        (session,) = here.home.root.glob(".claude/projects/*/*.jsonl")
        assert f'\\"{WHICH}\\"=\\"test\\"' in session.read_text()


async def test_a_no_reaches_the_model_with_its_reason_and_where_nobody_listens_it_is_told_so(tmp_path: Path) -> None:
    outside, asked = tmp_path / "outside.txt", list[Mapping[str, Any]]()

    async def person(message: str, _type: Any, params: Any, _context: Any) -> Any:
        asked.append({"message": message, **params.meta[QUESTION]})
        from fastmcp.client.elicitation import ElicitResult

        return ElicitResult(action="decline", content={"message": "write it below the repository"})

    async with running_cloud() as cloud:
        wanted = request(tmp_path, cloud, write(outside), {**ASK, "insists": False}, {"text": "could not"})
        transport = StdioTransport(**start(tmp_path, "--ask"))
        async with Client(transport, mode="legacy", elicitation_handler=person) as client:
            result = await run(client, wanted)
        async with adapter_tests.adapter(tmp_path, "--ask") as client:
            alone = await run(client, request(tmp_path, cloud, write(outside), {"text": "could not"}))
    assert (result.status, alone.status, outside.exists()) == ("completed", "completed", False)
    assert [each["kind"] for each in asked] == ["permission", "input"]
    assert {each["task_id"] for each in asked} == {wanted["task_id"]}
    assert result.notes["permission_denials"][0] == f"Write: {outside}"
    sessions = [path.read_text() for path in (tmp_path / "home/.claude/projects").glob("*/*.jsonl")]
    assert any(f"{NO} write it below the repository" in text for text in sessions)
    assert any(NOBODY in text for text in sessions)

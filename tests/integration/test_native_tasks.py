"""Native MCP tasks through real faces, engines and executors: a SIGKILL in between, an answer, a cancel, a restart."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp.types import ElicitResult, InputRequiredResult

from tests.forkserver import command
from tests.integration.house import LIMIT, STUBS, House, call, ended, house, until
from tests.integration.native import Driver, Drives, driving
from tests.unit.test_native_tasks import nobody

FORM = {"type": "object", "properties": {"which": {"type": "string", "enum": ["A", "B"]}}, "required": ["which"]}
ANSWER = {"action": "accept", "content": {"which": "A"}}


def a_client(here: House, **more: Any) -> Client[Any]:
    """Return a client of a new stdio face; its process is its own, so that it can be killed."""
    program, *argv = command()
    transport = StdioTransport(program, argv, env=here.env, keep_alive=False)
    return Client(transport, init_timeout=LIMIT, timeout=LIMIT * 2, **more)


def asking(tool: str = "ask_by_return", **row: Any) -> dict[str, Any]:
    """Return the row of the stub that asks."""
    return {
        "command": sys.executable,
        "args": [str(STUBS / "asking_server.py")],
        "tool": tool,
        "arguments": {"text": "{description}"},
        "handles": ["asking"],
        "protocol": "auto",
        **row,
    }


@pytest.mark.timeout(300)
async def test_a_native_task_outlives_its_client_its_face_and_a_killed_engine(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with house(tmp_path) as here:
        here.configure(executors={"shop": here.workshop("until", argument="path", recovery="retry")})
        async with driving(a_client(here, extensions=[Drives()])) as driver:
            made = await driver.submit(description=str(go), type="until")
            os.kill(await here.engine_pid(), signal.SIGKILL)
        async with driving(a_client(here, extensions=[Drives()])) as driver:
            assert (await driver.until(made.task_id, "working"))["taskId"] == made.task_id
            go.touch()
            told = await driver.until(made.task_id, "completed", "failed")
            view = await call(driver.client, "task_status", task_id=made.task_id)
            assert (told["status"], told["result"]["structuredContent"]) == ("completed", view)
            stopped = await driver.submit(description=str(tmp_path / "never"), type="until")
            await until(lambda: any(line["text"].endswith("never") for line in here.logged()))
            await driver.send("tasks/cancel", taskId=stopped.task_id)
            await driver.until(stopped.task_id, "cancelled")


@pytest.mark.timeout(300)
async def test_a_question_is_answered_by_update_and_through_the_clients_own_forms(tmp_path: Path) -> None:
    asked: list[str] = []

    async def user(message: str, *_: Any) -> dict[str, Any]:
        asked.append(message)
        return {"which": "B"}

    async with house(tmp_path) as here:
        here.configure(executors={"asks": asking()})
        async with driving(a_client(here, extensions=[Drives()], elicitation_handler=nobody)) as driver:
            made = await driver.submit(description="which?", type="asking")
            told = await driver.until(made.task_id, "input_required")
            assert told["inputRequests"]["q1"]["params"]["requestedSchema"] == FORM
            await driver.send("tasks/update", taskId=made.task_id, inputResponses={"q1": ANSWER})
            told = await driver.until(made.task_id, "completed")
            assert told["result"]["structuredContent"]["summary"] == "accept {'which': 'A'}"
        for mode in ("legacy", "auto"):
            async with a_client(here, mode=mode, elicitation_handler=user) as client:
                seen = await call(client, "submit_task", description=f"for {mode}", type="asking", wait_seconds=50)
                assert (await ended(client, seen["task_id"]))["summary"] == "accept {'which': 'B'}"
        assert asked == ["for legacy", "for auto"]
        await _over_a_restart(here)


async def _over_a_restart(here: House) -> None:
    """What one face asked, the next one takes the answer to, for the same task."""
    arguments = {"description": "once", "type": "asking", "wait_seconds": 50}
    async with a_client(here, elicitation_handler=nobody) as client:
        before = await client.session.call_tool("submit_task", arguments, allow_input_required=True)
        assert isinstance(before, InputRequiredResult)
    async with a_client(here, elicitation_handler=nobody) as client:
        said: dict[str, Any] = {"q1": ElicitResult.model_validate(ANSWER)}
        after = await client.session.call_tool(
            "submit_task", arguments, input_responses=said, request_state=before.request_state
        )
        told: dict[str, Any] = after.structured_content or {}
        assert (await ended(client, told["task_id"]))["state"] == "completed"
        tasks = (await call(client, "list_tasks"))["tasks"]
        assert [task["description"] for task in tasks].count("once") == 1


@pytest.mark.timeout(300)
async def test_a_permission_stays_with_people(tmp_path: Path) -> None:
    row = asking("ask_as", arguments={"text": "{description}", "task_id": "{task_id}"}, protocol="legacy")
    async with house(tmp_path) as here:
        here.configure(executors={"asks": row})
        async with driving(a_client(here, extensions=[Drives()], elicitation_handler=nobody)) as driver:
            made = await driver.submit(description="may I?", type="asking")
            await _waits(driver, made.task_id)
            assert (await here.cli("answer", made.task_id, "--content", '{"which": "A"}'))[0] == 0
            await driver.until(made.task_id, "completed")


async def _waits(driver: Driver, task_id: str) -> None:
    """Wait until a task waits for a person, and see that its client is not asked."""

    async def waits() -> Mapping[str, Any] | None:
        told = await driver.send("tasks/get", taskId=task_id)
        return told if "omni-mcp answer" in told.get("statusMessage", "") else None

    told = await until(waits, limit=LIMIT * 2)
    assert (told["status"], "inputRequests" in told) == ("working", False)

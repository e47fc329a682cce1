"""What a client finds beside the tools: resources, prompts, completions, a picture, instructions."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from mcp import MCPError
from mcp_types import PromptReference, ResourceTemplateReference, TextContent, TextResourceContents

from benchmarks.desk import Desk, desk
from omni_mcp.faces.icon import ICON
from omni_mcp.faces.mcp import INSTRUCTIONS, create_face
from omni_mcp.ledger.base import ExecutorHealth
from omni_mcp.task import Mode
from tests.integration.house import call
from tools.reference import nobody

WHY = "it does not start"
FORM = PromptReference(type="ref/prompt", name="hand_off")


async def read(client: Client[Any], uri: str) -> Any:
    (content,) = await client.read_resource(uri)
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return json.loads(content.text)


async def prompted(client: Client[Any], name: str, **arguments: str) -> str:
    (message,) = (await client.get_prompt(name, arguments)).messages
    assert isinstance(message.content, TextContent)
    return message.content.text


async def offered(client: Client[Any], argument: str, said: str) -> list[str]:
    return (await client.complete(FORM, {"name": argument, "value": said})).values


async def done(at: Desk, description: str) -> str:
    task = await call(at.client, "submit_task", description=description, wait_seconds=50)
    assert task["state"] == "completed"
    return task["task_id"]


async def test_everything_has_a_title_a_description_and_the_server_a_picture() -> None:
    async with Client(face := create_face(nobody)) as client:
        tools, resources = await client.list_tools(), await client.list_resources()
        templates, prompts = await client.list_resource_templates(), await client.list_prompts()
    assert (len(tools), len(resources), len(templates), len(prompts)) == (8, 3, 2, 3)
    assert all(each.title and each.description for each in (*tools, *resources, *templates, *prompts))
    assert face.icons == [ICON]
    assert ICON.src.startswith("data:image/svg+xml;base64,")
    assert len(ICON.src) < 600


def test_the_instructions_are_short_and_teach_the_way_of_a_task() -> None:
    steps = [INSTRUCTIONS.index(word) for word in ("submit_task", "task_status", "task_result")]
    assert len(INSTRUCTIONS.encode()) < 2048
    assert steps == sorted(steps)


async def test_a_task_and_its_history_are_read_under_their_address(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await done(at, "写一首俳句")
        status = await call(at.client, "task_status", task_id=task_id)
        assert await read(at.client, f"task://{task_id}") == status
        events = (await read(at.client, f"task://{task_id[:8]}/events"))["events"]
        assert events[0]["text"] == "→ idle"
        later = (await read(at.client, f"task://{task_id}/events?since_seq={events[1]['seq']}"))["events"]
        assert later == events[2:]


async def test_the_whole_is_read_mode_executors_and_costs(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.mode(Mode.DEGRADED, "LiteLLM is down")
        assert (await read(at.client, "omni://mode"))["cause"] == "LiteLLM is down"
        await at.ledger.report_health(ExecutorHealth(name="worker", usable=False, detail=WHY, seen_at=at.clock.now()))
        worker = {"name": "worker", "usable": False, "handles": ["coding", "general"], "parallel": 4, "recovery": "ask"}
        assert {**worker, "detail": WHY} in await read(at.client, "omni://executors")
        assert "total" in await read(at.client, "omni://costs")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("task://zzzzzzzz", "no task has the id 'zzzzzzzz'; next: call list_tasks"),
        ("task://zzzzzzzz/events?since_seq=-1", "since_seq '-1' is no number of a line; next: the next_seq"),
        ("task://zzzzzzzz/events?since_seq=99999999999999999", "is no number of a line"),
        ("task://..%2F..%2Fetc", "Resource not found"),
        ("omni://nothing", "Resource not found"),
    ],
)
async def test_an_address_that_leads_nowhere_is_refused_in_words(uri: str, said: str, tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        with pytest.raises(MCPError) as error:
            await at.client.read_resource(uri)
        assert said in error.value.message
        assert "Traceback" not in error.value.message


async def test_prompts_are_made_of_what_is_so_now(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        handed = await prompted(at.client, "hand_off", task="修好登录页", executor="worker")
        assert 'submit_task with {"description": "修好登录页", "executor": "worker"}' in handed
        assert "(none)" in await prompted(at.client, "what_is_waiting")
        lost = await call(at.client, "submit_task", description="crash once", type="echo", wait_seconds=50)
        waiting = await prompted(at.client, "what_is_waiting")
        assert (lost["task_id"] in waiting, '"waiting_for": "consent"' in waiting) == (True, True)
        report = await prompted(at.client, "report_task", task_id=lost["task_id"][:8])
        assert "executing → waiting" in report
        assert lost["task_id"] not in await prompted(at.client, "what_is_waiting", state="completed")


async def test_a_prompt_shows_no_more_tasks_than_a_person_reads(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for number in range(21):
            await at.add(f"{number:02d}aaaaaaaaaaaaaaaaaa".replace("0", "x").replace("1", "y"), f"hold {number}")
        idle = await prompted(at.client, "what_is_waiting", state="executing")
        assert idle.count('"task_id"') <= 20


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("report_task", {"task_id": "zzzzzzzz"}, "no task has the id 'zzzzzzzz'; next: call list_tasks"),
        ("what_is_waiting", {"state": "asleep"}, "no state is called 'asleep'; next: one of idle, "),
    ],
)
async def test_a_prompt_that_cannot_be_made_says_why(
    name: str, arguments: dict[str, str], said: str, tmp_path: Path
) -> None:
    async with desk(tmp_path) as at:
        with pytest.raises(MCPError) as error:
            await at.client.get_prompt(name, arguments)
        assert said in error.value.message


async def test_arguments_are_completed_by_what_there_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        haiku, fix = await done(at, "写一首俳句"), await done(at, "Fix the login page")
        assert await offered(at.client, "task_id", "") == [fix, haiku]
        assert await offered(at.client, "task_id", haiku[:5]) == [haiku]
        assert await offered(at.client, "task_id", "俳句") == [haiku]
        assert await offered(at.client, "task_id", "LOGIN") == [fix]
        assert await offered(at.client, "task_id", "nobody asked for this") == []
        assert await offered(at.client, "executor", "W") == ["worker"]
        assert await offered(at.client, "type", "") == ["echo", "coding", "general"]
        assert await offered(at.client, "state", "c") == ["completed", "cancelled"]
        assert await offered(at.client, "surprise", "") == []
        address = ResourceTemplateReference(type="ref/resource", uri="task://{task_id}")
        assert (await at.client.complete(address, {"name": "task_id", "value": fix[:3]})).values == [fix]


async def test_what_an_error_calls_again_is_the_tool_that_was_called(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for task_id in ("abcdef2222222222222222", "abcdef3333333333333333"):
            await at.add(task_id, "hold both")
        answer = await at.client.call_tool_mcp("task_result", {"task_id": "abcdef"})
        assert answer.structured_content is not None
        assert answer.structured_content["next_step"] == "call task_result again with more characters of the id"

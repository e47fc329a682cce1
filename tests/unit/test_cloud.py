"""The stub cloud speaks both model APIs, goes on where a script stands, and fails on demand."""

import json
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from omni_mcp.demo.answers import next_step
from omni_mcp.demo.cloud import Cloud, running_cloud

STEPS = 'Do it. SCRIPT:[{"tool": "Bash", "input": {"command": "ls"}}, {"text": "that is all"}]'

WITH_TOOLS = [{"name": "Read"}, {"name": "Bash"}]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def tool_result(text: str = "done", *, error: bool = False) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": "t", "content": text, "is_error": error}
    return {"role": "user", "content": [result]}


def asking(*messages: Mapping[str, Any], stream: bool = False, tools: Sequence[Any] = ()) -> dict[str, Any]:
    return {"model": "m", "stream": stream, "messages": list(messages), "tools": list(tools)}


@asynccontextmanager
async def caller(cloud: Cloud) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=cloud.url, headers={"x-api-key": "sk-secret-1234"}, timeout=5) as client:
        yield client


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def test_each_tool_result_moves_a_script_one_step_on():
    step, number = next_step(asking(user(STEPS)))
    assert (step.tool, number) == ("Bash", 0)
    step, number = next_step(asking(user(STEPS), tool_result()))
    assert (step.text, number) == ("that is all", 1)


def test_a_resumed_session_goes_on_where_it_stood_even_if_the_task_is_said_again():
    body = asking(user(STEPS), tool_result("interrupted"), user("Continue."), user(STEPS))
    assert next_step(body)[1] == 1


def test_a_step_that_was_cut_off_is_asked_for_again_if_the_script_insists_on_it():
    task, done, cut_off = user("写一个 Hello World 函数"), tool_result(), tool_result("Exit code 137", error=True)
    assert next_step(asking(task, done, cut_off, tools=WITH_TOOLS))[1] == 1
    assert next_step(asking(task, done, cut_off, done, tools=WITH_TOOLS))[1] == 2
    assert next_step(asking(user(STEPS), cut_off))[1] == 1


def test_a_newer_script_begins_at_its_first_step():
    body = asking(user(STEPS), tool_result(), user('SCRIPT:[{"text": "new"}]'))
    assert next_step(body)[0].text == "new"


def test_the_results_of_the_other_dialect_count_too():
    body = asking({"role": "user", "content": STEPS}, {"role": "tool", "tool_call_id": "c", "content": "done"})
    assert next_step(body)[1] == 1


def test_past_its_end_a_script_says_so():
    assert "ended" in next_step(asking(user(STEPS), tool_result(), tool_result()))[0].text


def test_hello_world_is_written_and_run_where_there_are_tools_and_shown_where_there_are_none():
    task = user("写一个 Hello World 函数")
    steps = [next_step(asking(task, *[tool_result()] * n, tools=WITH_TOOLS))[0] for n in range(4)]
    assert [step.tool for step in steps] == ["Bash", "Bash", "Bash", None]
    assert "Hello, World!" in steps[0].input["command"]
    assert "```python" in next_step(asking(task))[0].text


def test_a_reminder_around_the_task_does_not_hide_it():
    body = asking(user("查一下天气"), user("<system-reminder>be nice</system-reminder>"))
    assert "晴" in next_step(body)[0].text


@pytest.mark.parametrize(
    ("task", "expected"), [("把这段话翻译一下", "任务"), ("Plan a trip, then book it", "step by step")]
)
def test_other_tasks_are_answered_in_their_language(task: str, expected: str):
    assert expected in next_step(asking(user(task)))[0].text


async def test_whole_answers_carry_text_and_usage_in_both_dialects():
    async with running_cloud() as cloud, caller(cloud) as client:
        anthropic = (await client.post("/v1/messages", json=asking(user("查一下天气")))).json()
        openai = (await client.post("/v1/chat/completions", json=asking(user("查一下天气")))).json()
    assert anthropic["content"][0]["text"] == openai["choices"][0]["message"]["content"]
    assert anthropic["usage"]["input_tokens"] == openai["usage"]["prompt_tokens"] > 0
    assert anthropic["usage"]["output_tokens"] == openai["usage"]["completion_tokens"] > 0


async def test_a_streamed_tool_call_is_whole_in_both_dialects():
    async with running_cloud() as cloud, caller(cloud) as client:
        anthropic = events((await client.post("/v1/messages", json=asking(user(STEPS), stream=True))).text)
        openai = events((await client.post("/v1/chat/completions", json=asking(user(STEPS), stream=True))).text)
    start = next(event for event in anthropic if event["type"] == "content_block_start")
    delta = next(event for event in anthropic if event["type"] == "content_block_delta")
    assert start["content_block"]["name"] == "Bash"
    assert json.loads(delta["delta"]["partial_json"]) == {"command": "ls"}
    assert anthropic[-2]["delta"]["stop_reason"] == "tool_use"
    call = next(e for e in openai if e["choices"] and "tool_calls" in e["choices"][0]["delta"])
    assert json.loads(call["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]) == {"command": "ls"}


async def test_a_streamed_text_arrives_in_pieces_that_make_the_whole():
    async with running_cloud(delay=0.05) as cloud, caller(cloud) as client:
        answer = await client.post("/v1/chat/completions", json=asking(user("Plan it"), stream=True))
    pieces = [e["choices"][0]["delta"].get("content", "") for e in events(answer.text) if e["choices"]]
    assert len(pieces) > 5
    assert "".join(pieces) == next_step(asking(user("Plan it")))[0].text


async def test_a_status_fault_lasts_as_often_as_ordered():
    async with running_cloud() as cloud, caller(cloud) as client:
        await client.post("/_ctl", json={"mode": "429", "times": 1, "retry_after": 7})
        refused = await client.post("/v1/messages", json=asking(user("hi")))
        served = await client.post("/v1/messages", json=asking(user("hi")))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert served.status_code == 200


async def test_drop_hangs_up_before_and_cut_in_the_middle_of_the_answer():
    async with running_cloud() as cloud, caller(cloud) as client:
        cloud.fail("drop")
        with pytest.raises(httpx.TransportError):
            await client.post("/v1/messages", json=asking(user("hi")))
        cloud.fail("cut")
        async with client.stream("POST", "/v1/messages", json=asking(user("hi"), stream=True)) as answer:
            with pytest.raises(httpx.TransportError):
                await answer.aread()


async def test_hang_never_answers_and_does_not_keep_the_cloud_from_ending():
    with anyio.fail_after(5):
        async with running_cloud() as cloud, caller(cloud) as client:
            cloud.fail("hang")
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/v1/messages", json=asking(user("hi")), timeout=0.2)


async def test_a_broken_script_is_the_callers_fault():
    async with running_cloud() as cloud, caller(cloud) as client:
        assert (await client.post("/v1/messages", json=asking(user("SCRIPT:[{")))).status_code == 400
        assert (await client.post("/v1/messages", json=asking(user('SCRIPT:[{"no": 1}]')))).status_code == 400


async def test_the_log_names_the_step_and_never_the_key(tmp_path: Path):
    log = tmp_path / "cloud.jsonl"
    async with running_cloud(log=log) as cloud, caller(cloud) as client:
        await client.post("/v1/messages", json=asking(user(STEPS), tool_result()))
        assert cloud.requests[0].step == 1
    line = json.loads(log.read_text())
    assert (line["path"], line["step"], line["key"]) == ("/v1/messages", 1, "1234")
    assert "secret" not in log.read_text()


async def test_as_a_process_it_says_where_it_listens():
    command = [sys.executable, "-m", "omni_mcp.demo.cloud", "--port", "0"]
    async with await anyio.open_process(command) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(20):
                word, port = (await process.stdout.receive()).decode().split()
            async with httpx.AsyncClient() as client:
                answer = await client.post(f"http://127.0.0.1:{port}/v1/messages", json=asking(user("hi")))
            assert (word, answer.status_code) == ("listening", 200)
        finally:
            process.terminate()

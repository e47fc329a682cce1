"""The assistant as the engine sees it: an MCP client over stdio, then the relay, the real Router and the stub cloud."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from omni_mcp.adapters.assistant import Assistant
from omni_mcp.adapters.serving import server
from omni_mcp.contract import CANCEL, HEALTH, RUN_TASK, CancelResult, Endpoint, Health, RunRef, RunRequest, RunResult
from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.llm.loopback import serving
from omni_mcp.llm.relay import Relay
from omni_mcp.llm.router import RouterGateway
from omni_mcp.servers_file.models import Models
from omni_mcp.task import FailureClass
from tests.integration.models import LITELLM, PRICES, Book

pytestmark = LITELLM


@dataclass(kw_only=True)
class House:
    """All of it, running."""

    cloud: Cloud
    relay: Relay
    book: Book
    client: Client[Any]
    lines: list[str] = field(default_factory=list[str])
    begun: anyio.Event = field(default_factory=anyio.Event)

    async def run(self, description: str = "查一下天气", **more: Any) -> RunResult:
        """Let the assistant run a task."""
        given = {"endpoint": self.relay.endpoint("t1", attempt=1, model="demo"), **more}
        ref = {"task_id": "t1", "attempt": 1, "run_id": "r1", "cwd": "."}
        request = RunRequest.model_validate({**ref, "description": description, **given})
        answer = await self.client.call_tool(RUN_TASK, request.wire(), progress_handler=self._hear)
        return RunResult.model_validate(answer.structured_content)

    async def _hear(self, progress: float, total: float | None, message: str | None) -> None:  # pylint: disable=unused-argument
        self.lines.append(message or "")
        self.begun.set()


def in_process() -> Client[Any]:
    """Return a client of an assistant in this process: quick."""
    return Client(server("assistant", Assistant()))


def over_stdio(folder: Path) -> Client[Any]:
    """Return a client of an assistant in a process of its own, as the engine has it."""
    command = ["-m", "omni_mcp.adapters.assistant"]
    return Client(StdioTransport(sys.executable, command, keep_alive=False, log_file=folder / "assistant.log"))


@asynccontextmanager
async def house(session: Client[Any], *, delay: float = 0, timeout: float = 30) -> AsyncGenerator[House]:
    async with running_cloud(delay=delay) as cloud:
        params = {"model": "openai/demo", "api_base": f"{cloud.url}/v1", "api_key": "sk-cloud"}
        models = Models(
            model_list=({"model_name": "demo", "litellm_params": {**params, **PRICES}},),
            router_settings={"timeout": timeout},
        )
        book = Book()
        async with Relay(RouterGateway(models), book) as relay, session as client:
            yield House(cloud=cloud, relay=relay, book=book, client=client)


async def test_a_task_is_answered_in_its_language_metered_and_priced(tmp_path: Path):
    async with house(over_stdio(tmp_path)) as all_of_it:
        result = await all_of_it.run("查一下天气")
        assert (result.status, "晴" in result.text) == ("completed", True)
        seen = all_of_it.cloud.requests[0]
        row = all_of_it.book.closed[0]
        assert (row.task_id, row.model, row.provider) == ("t1", "demo", "openai")
        assert (row.input_tokens, row.output_tokens) == (seen.input_tokens, seen.output_tokens)
        assert row.cost_usd == pytest.approx(seen.input_tokens * 0.001 + seen.output_tokens * 0.002)


async def test_progress_grows_with_the_text_and_not_faster_than_people_read():
    async with house(in_process(), delay=1) as all_of_it:
        result = await all_of_it.run("First plan a trip, then book it, then write home")
        assert "step by step" in result.text
        lengths = [int(line.split()[0]) for line in all_of_it.lines]
        assert 2 <= len(lengths) <= 6
        assert lengths == sorted(set(lengths))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("401", FailureClass.AUTH),
        ("404", FailureClass.CONFIG),
        ("500", FailureClass.PROVIDER),
        ("503", FailureClass.PROVIDER),
        ("drop", FailureClass.PROVIDER),
        ("hang", FailureClass.PROVIDER),
    ],
)
async def test_each_fault_of_the_cloud_has_its_class(mode: str, kind: FailureClass):
    async with house(in_process(), timeout=0.5) as all_of_it:
        all_of_it.cloud.fail(mode)
        result = await all_of_it.run()
        assert (result.status, result.failure) == ("failed", kind)
        assert (result.fix is not None) == (kind in {FailureClass.AUTH, FailureClass.CONFIG})


async def test_a_limit_is_reported_with_its_end():
    async with house(in_process()) as all_of_it:
        all_of_it.cloud.fail("429", retry_after=60)
        result = await all_of_it.run()
        assert result.failure is FailureClass.RATE_LIMIT
        assert result.retry_at is not None
        assert timedelta(seconds=30) < result.retry_at - datetime.now(UTC) < timedelta(seconds=61)


async def test_an_answer_that_breaks_off_keeps_what_came():
    async with house(in_process()) as all_of_it:
        all_of_it.cloud.fail("cut")
        result = await all_of_it.run("Plan it")
        assert (result.status, result.failure) == ("failed", FailureClass.PROVIDER)
        assert result.text.startswith("Done")


async def test_an_answer_without_its_announced_end_is_not_whole():
    short = b'data: {"choices": [{"delta": {"content": "half of"}}]}\n\n'

    async def answer(_request: Request) -> Response:
        return Response(short, media_type="text/event-stream")

    async with serving(Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])) as port:
        async with house(in_process()) as all_of_it:
            endpoint = Endpoint.model_validate({"base_url": f"http://127.0.0.1:{port}", "token": "x"})
            result = await all_of_it.run(endpoint=endpoint)
    assert (result.failure, result.text) == (FailureClass.PROVIDER, "half of")


async def test_a_relay_that_is_gone_is_the_providers_trouble():
    async with house(in_process()) as all_of_it:
        nowhere = Endpoint.model_validate({"base_url": "http://127.0.0.1:9", "token": "x"})
        result = await all_of_it.run(endpoint=nowhere)
        assert result.failure is FailureClass.PROVIDER


async def test_a_token_of_another_attempt_is_refused():
    async with house(in_process()) as all_of_it:
        endpoint = all_of_it.relay.endpoint("t1", attempt=1, model="demo")
        all_of_it.relay.revoke("t1", attempt=1)
        assert (await all_of_it.run(endpoint=endpoint)).failure is FailureClass.AUTH
        assert not all_of_it.cloud.requests


async def test_without_a_model_it_says_what_to_add(tmp_path: Path):
    async with over_stdio(tmp_path) as client:
        request = RunRequest(task_id="t", attempt=1, run_id="r", description="x", cwd=".")
        answer = await client.call_tool(RUN_TASK, request.wire())
        health = Health.model_validate((await client.call_tool(HEALTH)).structured_content)
    result = RunResult.model_validate(answer.structured_content)
    assert (result.failure, result.fix) == (FailureClass.CONFIG, "add models: to servers.yaml")
    assert health.ok


async def test_the_limit_of_the_attempt_ends_it_with_what_came():
    async with house(in_process(), delay=20) as all_of_it:
        result = await all_of_it.run("Plan it", timeout=3)
        assert (result.failure, result.text[:4]) == (FailureClass.TASK, "Done")
        assert "timeout" in (result.fix or "")


async def test_a_cancel_hangs_up_and_the_row_is_closed(tmp_path: Path):
    async with house(over_stdio(tmp_path), delay=20) as all_of_it:
        results: list[RunResult] = []
        cancels: list[CancelResult] = []

        async def run() -> None:
            results.append(await all_of_it.run("Plan it"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with anyio.fail_after(30):
                await all_of_it.begun.wait()
                ref = RunRef(task_id="t1", attempt=1, run_id="r1")
                answer = await all_of_it.client.call_tool(CANCEL, {"request": ref.model_dump()})
                cancels.append(CancelResult.model_validate(answer.structured_content))
        assert cancels[0].stopped
        assert (results[0].failure, results[0].text[:4]) == (FailureClass.CANCELLED, "Done")
        with anyio.fail_after(5):
            while not all_of_it.book.closed:
                await anyio.lowlevel.checkpoint()

"""The OpenClaw adapter: real MCP over stdio, real processes and kills; against a stand-in, and against OpenClaw itself.

`make test` runs the rows of the stand-in, `make test-openclaw` those of the real gateway, too.
"""

import os
import signal
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest
from fastmcp import Client
from mcp import MCPError

from omni_mcp.contract import CANCEL, HEALTH, CancelResult, Health, RunResult
from omni_mcp.task import FailureClass
from tests.integration.fake_openclaw import FakeOpenclaw, fake_openclaw
from tests.integration.openclaw_runs import AnyGateway, Told, adapter, attach, called, request, run
from tests.integration.real_openclaw import REAL_OPENCLAW, RealOpenclaw, real_openclaw

PRICE = (1e-6, 2e-6)
"""USD for a token of stub-1 that is sent, and for one that comes."""


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeOpenclaw]:
    with fake_openclaw(tmp_path_factory.mktemp("fake")) as it:
        yield it


@pytest.fixture(scope="module", params=["fake", pytest.param("openclaw", marks=REAL_OPENCLAW)])
def shared(request: pytest.FixtureRequest) -> AnyGateway:
    """Give the gateway that tests share."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def gateway(shared: AnyGateway) -> Generator[AnyGateway]:
    """Give it as it was, whatever a test made of its cloud."""
    yield shared
    shared.cloud.fail("ok")


@pytest.fixture(params=["fake", pytest.param("real", marks=REAL_OPENCLAW)])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[AnyGateway]:
    """Give a gateway that the test may end and start again; another test's would be a process left behind."""
    with (real_openclaw if request.param == "real" else fake_openclaw)(tmp_path / "gateway") as it:
        yield it


def answered(calls: Sequence[Any]) -> tuple[int, int, float]:
    """Return tokens sent and come, and what they cost."""
    sent, came = (sum(call[key] for call in calls) for key in ("input_tokens", "output_tokens"))
    return sent, came, sent * PRICE[0] + came * PRICE[1]


def usage(result: RunResult) -> tuple[Any, Any, Any]:
    assert result.usage is not None
    return result.usage.input_tokens, result.usage.output_tokens, pytest.approx(result.usage.cost_usd)


@asynccontextmanager
async def running(client: Client[Any], asked: dict[str, Any], told: Told) -> AsyncGenerator[list[RunResult]]:
    """Run an attempt while the body does something; its end, if it has one, is in the list after it."""
    ends: list[RunResult] = []

    async def work() -> None:
        with suppress(MCPError):
            ends.append(await run(client, asked, told))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        yield ends


async def test_a_run_is_one_model_call_with_progress_text_and_cost(gateway: AnyGateway) -> None:
    before = len(gateway.cloud.calls)
    told = Told()
    async with adapter(gateway) as client:
        result = await run(client, asked := request({"text": "forty-two, and nothing else"}), told)
    assert (result.status, result.text) == ("completed", "forty-two, and nothing else")
    calls = gateway.cloud.calls[before:]
    assert len(calls) == 1
    assert usage(result) == answered(calls)
    assert result.notes["run_id"] == asked["run_id"]
    assert {"the gateway has taken it", "asks stub/stub-1"} < set(told)
    assert told[-1].startswith("27 characters: ")


async def test_the_model_of_a_task_is_that_of_its_session(gateway: AnyGateway) -> None:
    async with adapter(gateway) as client:
        result = await run(client, request({"text": "done"}, model="stub/stub-2"))
        assert (await run(client, request({"text": "done"}))).usage.model == "stub/stub-1"  # type: ignore[union-attr]
    assert [call["model"] for call in gateway.cloud.calls[-2:]] == ["stub-2", "stub-1"]
    assert (result.status, result.notes["model"]) == ("completed", "stub/stub-2")


async def test_a_tool_is_told_of_and_every_call_is_paid_for_once(gateway: AnyGateway) -> None:
    before = len(gateway.cloud.calls)
    told = Told()
    async with adapter(gateway) as client:
        result = await run(client, request({"tool": "exec", "input": {"command": "true"}}, {"text": "used it"}), told)
    assert (result.status, result.text) == ("completed", "used it")
    assert usage(result) == answered(gateway.cloud.calls[before:])
    assert "exec" in told


async def test_another_connection_cancels_a_run_and_sees_that_it_is_over(gateway: AnyGateway) -> None:
    asked, told = request({"text": "too late", "sleep": 30}), Told()
    before = len(gateway.cloud.calls)
    async with adapter(gateway) as client, adapter(gateway) as other:
        async with running(client, asked, told) as ends:
            await called(gateway, before + 1)
            answer = await other.call_tool(CANCEL, {"request": asked})
            assert CancelResult.model_validate(answer.structured_content) == CancelResult(stopped=True)
        assert [end.failure for end in ends] == [FailureClass.CANCELLED]
        assert (await attach(other, asked)).failure is FailureClass.CANCELLED
    assert len(gateway.cloud.calls) == before + 1


async def test_a_run_that_is_not_known_is_stopped_already(gateway: AnyGateway) -> None:
    async with adapter(gateway) as client:
        answer = await client.call_tool(CANCEL, {"request": request()})
    assert CancelResult.model_validate(answer.structured_content).stopped


async def test_an_adapter_that_is_killed_is_followed_by_one_that_attaches_with_one_model_call_in_all(
    gateway: AnyGateway,
) -> None:
    asked, told = request({"text": "it went on", "sleep": 6}), Told()
    before = len(gateway.cloud.calls)
    async with adapter(gateway) as client:
        async with running(client, asked, told) as ends:
            await called(gateway, before + 1)
            os.kill(newest_child("omni_mcp.adapters.openclaw"), signal.SIGKILL)
    assert ends == []
    async with adapter(gateway) as client:
        result = await attach(client, asked)
        again = await attach(client, asked)  # its end is reported as often as it is asked for
    assert (result.status, result.text) == ("completed", "it went on")
    calls = gateway.cloud.calls[before:]
    assert (len(calls), usage(result)) == (1, answered(calls))
    assert again == result


def newest_child(word: str) -> int:
    children = [child for child in psutil.Process().children() if word in " ".join(child.cmdline())]
    return max(children, key=lambda child: child.create_time()).pid


async def test_what_was_never_accepted_is_begun_by_attach(gateway: AnyGateway) -> None:
    before = len(gateway.cloud.calls)
    async with adapter(gateway) as client:
        result = await attach(client, request({"text": "begun now"}))
    assert (result.status, result.text, len(gateway.cloud.calls) - before) == ("completed", "begun now", 1)


async def test_a_provider_that_is_down_is_told_early_and_nothing_of_the_run_is_left(gateway: AnyGateway) -> None:
    asked, told = request({"text": "never"}), Told()
    gateway.cloud.fail("503")
    async with adapter(gateway) as client:
        result = await run(client, asked, told)
        tried = len(gateway.cloud.calls)
        assert (result.failure, result.lives) == (FailureClass.PROVIDER, False)
        answer = await client.call_tool(CANCEL, {"request": asked})
        assert CancelResult.model_validate(answer.structured_content).stopped
        gateway.cloud.fail("ok")
        assert (await attach(client, asked)).status == "failed"  # it would be answered now, if it were left
    assert any("try 3 of" in line for line in told)
    assert len(gateway.cloud.calls) == tried


async def test_health_names_the_gateway(gateway: AnyGateway) -> None:
    async with adapter(gateway) as client:
        health = Health.model_validate((await client.call_tool(HEALTH, {})).structured_content)
    assert (health.ok, health.version) == (True, "OpenClaw 2026.9.6")


async def test_a_gateway_that_is_asked_to_go_finishes_the_run_first(mortal: AnyGateway) -> None:
    asked, told = request({"text": "in the end", "sleep": 5}), Told()
    async with adapter(mortal) as client, running(client, asked, told) as ends:
        await called(mortal, 1)
        await anyio.to_thread.run_sync(finish, mortal)
        await anyio.to_thread.run_sync(mortal.start)
    assert [(end.status, end.text) for end in ends] == [("completed", "in the end")]
    assert len(mortal.cloud.calls) == 1


def finish(gateway: AnyGateway) -> None:
    """Have it finish what runs and end. Blocks."""
    if isinstance(gateway, RealOpenclaw):
        gateway.stop()
    else:
        gateway.finish()


MOMENTS = {
    "before it began": ([{"text": "begun anew"}], 0),
    "in its first model call": ([{"text": "once more", "sleep": 8}, {"text": "unused"}], 1),
    "after a tool": (
        [{"tool": "exec", "input": {"command": "true"}}, {"text": "it went on", "sleep": 8}, {"text": "unused"}],
        2,
    ),
}
"""When a gateway dies: what the run does, and how many model calls there were."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_gateway_that_is_killed_costs_one_outcome_and_what_was_answered(
    mortal: AnyGateway, moment: str
) -> None:
    steps, asked_before = MOMENTS[moment]
    asked, told = request(*steps, timeout=600), Told()
    if isinstance(mortal, FakeOpenclaw):
        mortal.fails(cold=0 if asked_before else 2)
    async with adapter(mortal) as client, running(client, asked, told) as ends:
        await told.heard("taken")
        await called(mortal, asked_before)
        await anyio.to_thread.run_sync(mortal.kill)
        await anyio.to_thread.run_sync(mortal.start)
    async with adapter(mortal) as client:
        again = await attach(client, asked)
    calls = mortal.cloud.calls
    assert [end.status for end in ends] == ["completed"], (ends, told)
    assert len(calls) == asked_before + 1
    assert usage(ends[0]) == answered([*calls[: max(asked_before - 1, 0)], calls[-1]])
    assert again == ends[0]
    assert any("close code 1006" in line for line in told)
    assert not any(line == following for line, following in pairwise(told))

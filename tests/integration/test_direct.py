"""The direct backend over stub clouds: who is asked first and what, what follows when one fails, and prices."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from omni_mcp.decide.modes.state import Setup
from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.llm.base import Answer, Dialect, ModelError
from omni_mcp.llm.direct import DirectGateway
from omni_mcp.servers_file.direct import DirectRow
from omni_mcp.switch import ProviderDoors
from omni_mcp.task import FailureClass, Mode
from omni_mcp.testing import FakeModes, ToldClock
from tests.integration.house import free_port
from tests.integration.stub_litellm import chat_error, stub_litellm

OPEN = ProviderDoors(FakeModes(ToldClock()))
"""What is asked here is not about who may be."""
DIALECTS = pytest.mark.parametrize("dialect", list(Dialect))
STREAMED = pytest.mark.parametrize("stream", [False, True])


@dataclass(kw_only=True)
class World:
    """Two providers with a key each, as the plan has them."""

    anthropic: Cloud
    openrouter: Cloud
    gateway: DirectGateway
    modes: FakeModes
    clock: ToldClock

    def native(self, dialect: Dialect) -> tuple[Cloud, Cloud]:
        """Return who speaks a dialect by birth, and the other one."""
        clouds = self.anthropic, self.openrouter
        return clouds if dialect is Dialect.ANTHROPIC else (clouds[1], clouds[0])

    async def served(self, task_type: str | None = None) -> str | None:
        """Make a call; returns who served it."""
        return (await self.gateway.call(Dialect.ANTHROPIC, prompt(), task_type=task_type)).spent().provider

    async def failing(self, dialect: Dialect = Dialect.ANTHROPIC, **more: Any) -> ModelError:
        """Make a call that must fail."""
        with pytest.raises(ModelError) as caught:
            await self.gateway.call(dialect, prompt(**more))
        return caught.value


@asynccontextmanager
async def world(*, deadline: float = 30) -> AsyncGenerator[World]:
    async with AsyncExitStack() as stack:
        anthropic = await stack.enter_async_context(running_cloud())
        openrouter = await stack.enter_async_context(running_cloud())
        rows = {
            "openrouter": row(f"{openrouter.url}/v1", "anthropic/claude-sonnet-4.6", key="sk-or-back"),
            "anthropic": row(anthropic.url, "claude-sonnet-4-6", key="sk-ant-away", coding="claude-opus-4-6"),
        }
        modes = FakeModes(clock := ToldClock(), Setup(providers=tuple(rows)))
        modes.state = replace(modes.state, mode=Mode.DEGRADED)
        gateway = DirectGateway(rows, ProviderDoors(modes), deadline=deadline, now=lambda: clock.now().timestamp())
        stack.push_async_callback(gateway.aclose)
        yield World(anthropic=anthropic, openrouter=openrouter, gateway=gateway, modes=modes, clock=clock)


def row(url: str, model: str, *, key: str, **models: str) -> tuple[DirectRow, SecretStr]:
    return DirectRow(base_url=url, models={"default": model, **models}), SecretStr(key)


def prompt(text: str = "查一下天气", **more: Any) -> dict[str, Any]:
    return {"model": "auto-claude", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


async def read(answer: Answer) -> str:
    return "".join([chunk.decode() async for chunk in answer.chunks()]) if answer.body is None else str(answer.body)


async def test_a_provider_that_an_edit_has_removed_is_not_said_to_have_failed():
    modes = FakeModes(ToldClock(), Setup(providers=("openrouter",)))
    modes.state = replace(modes.state, mode=Mode.DEGRADED)
    gateway = DirectGateway({"anthropic": row("http://127.0.0.1:9", "any", key="k")}, ProviderDoors(modes))
    with pytest.raises(ModelError, match=r"none of anthropic may be asked now.*or is configured no more"):
        await gateway.call(Dialect.ANTHROPIC, prompt())
    await gateway.aclose()


@DIALECTS
@STREAMED
async def test_who_speaks_the_dialect_by_birth_is_asked_with_its_own_model_and_key(dialect: Dialect, stream: bool):
    async with world() as here:
        first, other = here.native(dialect)
        answer = await here.gateway.call(dialect, prompt("Plan it", stream=stream), task_type="general")
        assert "Done" in await read(answer)
        seen = first.requests[0]
        wanted = {
            Dialect.ANTHROPIC: ("/v1/messages", "claude-sonnet-4-6", "away"),
            Dialect.OPENAI: ("/v1/chat/completions", "anthropic/claude-sonnet-4.6", "back"),
        }
        assert (seen.path, seen.model, seen.key) == wanted[dialect]
        assert not other.requests
        spent = answer.spent()
        assert spent.provider == ("anthropic" if dialect is Dialect.ANTHROPIC else "openrouter")
        assert (spent.model, spent.input_tokens, spent.output_tokens) == (
            seen.model,
            seen.input_tokens,
            seen.output_tokens,
        )


async def test_the_task_type_chooses_the_model():
    async with world() as here:
        answer = await here.gateway.call(Dialect.ANTHROPIC, prompt(), task_type="coding")
        assert (here.anthropic.requests[0].model, answer.spent().model) == ("claude-opus-4-6", "claude-opus-4-6")


@pytest.mark.parametrize("mode", ["500", "529", "401", "404", "429", "drop"])
@pytest.mark.parametrize(("dialect", "stream"), [(Dialect.ANTHROPIC, True), (Dialect.OPENAI, False)])
async def test_when_one_fails_the_next_serves_in_the_same_dialect(mode: str, dialect: Dialect, stream: bool):
    async with world() as here:
        first, other = here.native(dialect)
        first.fail(mode)
        answer = await here.gateway.call(dialect, prompt("Plan it", stream=stream))
        assert "Done" in await read(answer)
        assert (len(first.requests), len(other.requests)) == (1, 1)
        assert other.requests[0].path == first.requests[0].path
        assert answer.spent().provider == ("openrouter" if dialect is Dialect.ANTHROPIC else "anthropic")


@pytest.mark.parametrize("mode", ["529", "drop"])
async def test_one_that_fails_twice_is_asked_no_more_until_one_call_finds_it_well(mode: str):
    async with world() as here:
        here.anthropic.fail(mode)
        for _ in range(5):
            answer = await here.gateway.call(Dialect.ANTHROPIC, prompt())
            assert answer.spent().provider == "openrouter"
        assert (len(here.anthropic.requests), len(here.openrouter.requests)) == (2, 5)
        assert here.modes.permit().providers == ("openrouter",)
        here.clock.advance(timedelta(seconds=30))
        here.anthropic.fail("ok")
        for _ in range(2):
            answer = await here.gateway.call(Dialect.ANTHROPIC, prompt())
            assert answer.spent().provider == "anthropic"


async def test_when_all_rest_no_call_goes_out_and_the_caller_may_come_again_soon():
    async with world() as here:
        for cloud in (here.anthropic, here.openrouter):
            cloud.fail("500")
        for _ in range(2):
            await here.failing()
        error = await here.failing()
        assert (error.status, error.kind, error.retry_after) == (503, FailureClass.PROVIDER, 1)
        assert "left alone for a while" in error.message
        assert (len(here.anthropic.requests), len(here.openrouter.requests)) == (2, 2)


@pytest.mark.parametrize(("told", "rests"), [(20, 20), (None, 10), (86_400, 600)])
async def test_a_model_over_its_limit_is_not_asked_until_that_ends(told: int | None, rests: int):
    async with world() as here:
        here.anthropic.fail("429", retry_after=told)
        for _ in range(3):
            assert await here.served() == "openrouter"
        here.clock.advance(timedelta(seconds=rests - 1))
        here.openrouter.fail("500")
        error = await here.failing()
        assert (error.kind, error.retry_after) == (FailureClass.RATE_LIMIT, told and told - (rests - 1))
        assert "anthropic: " in error.message
        assert len(here.anthropic.requests) == 1
        here.anthropic.fail("ok")
        assert await here.served("coding") == "anthropic"
        here.clock.advance(timedelta(seconds=1))
        assert await here.served() == "anthropic"


async def test_a_model_that_a_provider_does_not_have_is_asked_of_it_again_only_after_a_while():
    async with world() as here:
        here.anthropic.fail("404")
        here.openrouter.fail("404")
        said = [await here.failing() for _ in range(2)]
        assert {(error.status, error.kind, error.retry_after) for error in said} == {(404, FailureClass.CONFIG, None)}
        assert said[0].message == said[1].message
        assert (len(here.anthropic.requests), len(here.openrouter.requests)) == (1, 1)
        here.anthropic.fail("ok")
        assert await here.served("coding") == "anthropic"
        here.clock.advance(timedelta(seconds=60))
        assert await here.served() == "anthropic"


@DIALECTS
async def test_one_that_hangs_leaves_time_for_the_next(dialect: Dialect):
    async with world(deadline=2) as here:
        first, _ = here.native(dialect)
        first.fail("hang")
        assert "Done" in await read(await here.gateway.call(dialect, prompt("Plan it")))


async def test_one_whose_stream_breaks_in_the_middle_is_asked_last_for_a_while():
    async with world() as here:
        here.anthropic.fail("cut")
        with pytest.raises(ModelError):
            await read(await here.gateway.call(Dialect.ANTHROPIC, prompt("Plan it", stream=True)))
        for _ in range(2):
            assert "Done" in await read(await here.gateway.call(Dialect.ANTHROPIC, prompt("Plan it", stream=True)))
        assert (len(here.anthropic.requests), len(here.openrouter.requests)) == (1, 2)


async def test_what_one_refuses_is_asked_of_the_next_and_what_all_refuse_is_the_tasks_own_fault():
    async with world() as here:
        here.anthropic.fail("400")
        assert "Done" in await read(await here.gateway.call(Dialect.ANTHROPIC, prompt("Plan it")))
        here.openrouter.fail("400")
        error = await here.failing()
        assert (error.status, error.kind) == (400, FailureClass.TASK)
        assert (len(here.anthropic.requests), len(here.openrouter.requests)) == (2, 2)


@pytest.mark.parametrize(
    ("anthropic", "openrouter", "kind"),
    [
        ("500", "500", FailureClass.PROVIDER),
        ("500", "401", FailureClass.PROVIDER),
        ("401", "500", FailureClass.PROVIDER),
        ("401", "403", FailureClass.AUTH),
        ("404", "401", FailureClass.AUTH),
        ("500", "429", FailureClass.RATE_LIMIT),
    ],
)
async def test_when_all_fail_the_error_is_the_one_to_wait_for_and_names_each(
    anthropic: str, openrouter: str, kind: FailureClass
):
    async with world() as here:
        here.anthropic.fail(anthropic)
        here.openrouter.fail(openrouter, retry_after=7 if openrouter == "429" else None)
        error = await here.failing()
    assert error.kind is kind
    assert "anthropic: " in error.message
    assert "openrouter: " in error.message
    assert error.retry_after == (7 if openrouter == "429" else None)


async def test_nobody_there_is_told_with_its_name():
    gateway = DirectGateway({"anthropic": row(f"http://127.0.0.1:{free_port()}", "m", key="sk-x")}, OPEN)
    with pytest.raises(ModelError) as caught:
        await gateway.call(Dialect.ANTHROPIC, prompt())
    await gateway.aclose()
    assert (caught.value.status, caught.value.kind) == (503, FailureClass.PROVIDER)
    assert "anthropic cannot be reached" in caught.value.message


async def test_fields_of_a_newer_api_and_its_betas_go_through_untouched():
    message: dict[str, Any] = {"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}
    async with stub_litellm() as stub:
        stub.answer(message)
        gateway = DirectGateway({"anthropic": row(f"{stub.url}/v1", "claude-sonnet-4-6", key="sk-x")}, OPEN)
        await gateway.call(Dialect.ANTHROPIC, prompt(container={"id": "c"}), beta="skills-2025-10-02")
        await gateway.aclose()
    path, headers, body = stub.asked[0]
    assert path == "/v1/messages"
    assert (headers["x-api-key"], headers["anthropic-version"], headers["anthropic-beta"]) == (
        "sk-x",
        "2023-06-01",
        "skills-2025-10-02",
    )
    assert "authorization" not in headers
    assert body["container"] == {"id": "c"}


async def test_the_price_is_the_answers_own_else_of_litellms_list_else_unknown():
    async with world() as here:
        listed = (await here.gateway.call(Dialect.ANTHROPIC, prompt())).spent()
        unlisted = (await here.gateway.call(Dialect.OPENAI, prompt())).spent()
        seen = here.anthropic.requests[0]
    assert listed.cost_usd == pytest.approx(seen.input_tokens * 3e-6 + seen.output_tokens * 15e-6)
    assert (listed.price_source, unlisted.price_source, unlisted.cost_usd) == ("litellm", None, None)
    async with stub_litellm() as stub:
        stub.answer({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1, "cost": 0.5}})
        gateway = DirectGateway({"openrouter": row(stub.url, "x/y", key="sk-x")}, OPEN)
        own = (await gateway.call(Dialect.OPENAI, prompt())).spent()
        await gateway.aclose()
    assert (own.cost_usd, own.price_source, own.provider) == (0.5, "provider", "openrouter")


async def test_a_refused_key_is_not_repeated():
    async with stub_litellm() as stub:
        stub.answer(chat_error("authentication_error", "invalid x-api-key sk-ant-secret99"), 401)
        gateway = DirectGateway({"anthropic": row(stub.url, "m", key="sk-ant-secret99")}, OPEN)
        with pytest.raises(ModelError) as caught:
            await gateway.call(Dialect.ANTHROPIC, prompt())
        await gateway.aclose()
    assert "secret99" not in caught.value.message


def test_a_direct_call_with_its_price_imports_no_litellm():
    program = (
        "import sys, omni_mcp.llm.backends, omni_mcp.llm.price_table as p;"
        "sys.exit('litellm' in sys.modules or not p.price_table())"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0

"""A broken LiteLLM is brought back by the scripted ladder, through our MCP face: no model, no agent, no person."""

import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastmcp import Client

from omni_mcp.adapters.known_good import Keeper, read
from omni_mcp.adapters.ladder_keep import keep_if_well
from omni_mcp.demo.cloud import CHAT, running_cloud
from omni_mcp.llm.router import NO_DOTENV, OFFLINE
from omni_mcp.task import LADDER
from tests.integration.house import House, call, house, refused, until
from tests.integration.ladders import LiteLLM, litellm_like
from tests.integration.outages import Place, in_mode, place, the_repair
from tests.integration.real_proxy import BINARY, LIVE_LIMIT, MASTER_KEY
from tests.integration.test_modes import QUICK

pytestmark = pytest.mark.timeout(300)
STEPS = ("restore: ", "restored ", "start: ", "it serves", "done: ")
STRANGE_DOTENV = "CLOUD_KEY=sk-stale\nOPENAI_API_BASE=http://127.0.0.1:9/v1\nOPENAI_BASE_URL=http://127.0.0.1:9/v1\n"
LIMIT = 120.0
"""Seconds that anything may take here."""


def configure(at: House, it: LiteLLM, provider: Place | None, **repair: Any) -> None:
    direct = (
        {} if provider is None else {"anthropic": {"base_url": provider.url, "key": "sk", "models": {"default": "x"}}}
    )
    at.configure(
        executors={"echo": at.workshop(recovery="retry", needs_cloud=False)},
        routing={"rules": [], "default": "echo"},
        models={"gateway": {"base_url": it.url, "api_key": MASTER_KEY}},
        direct=direct,
        fault_handler={
            **QUICK,
            "repair": {"start": it.setup.start, "config": str(it.config), "grace": LIMIT, **repair},
        },
    )


@asynccontextmanager
async def standing(
    tmp_path: Path, provider: Place | None, *, known: bool = True, **repair: Any
) -> AsyncGenerator[tuple[House, LiteLLM, Client[Any]]]:
    """Have a house over a LiteLLM that is dead, and whose file is known to be good."""
    with litellm_like(tmp_path) as it:
        async with house(tmp_path) as at:
            configure(at, it, provider, **repair)
            if known:
                Keeper(at.home.repair).keep(read(it.config))
            async with at.client() as client:
                yield at, it, client


async def over(client: Client[Any]) -> Mapping[str, Any]:
    """Wait until the repair of the outage is over."""
    return await until(lambda: the_repair(client), limit=LIMIT)


async def said_of(client: Client[Any], task_id: str) -> str:
    return (await call(client, "task_result", task_id=task_id))["text"]


async def test_what_litellm_serves_with_is_kept_and_put_back_when_a_new_file_does_not_serve(tmp_path: Path) -> None:
    async with place() as provider, standing(tmp_path, provider, known=False) as (at, it, client):
        await it.serves()
        assert (await call(client, "system_mode"))["repair"].startswith("on: the scripted ladder; no agent after it")
        assert LADDER in (await at.cli("executors", "--json"))[1]
        await refused(client, "submit_task", description="mend it", executor=LADDER)
        await call(client, "submit_task", description="wakes the engine")
        good, keeper = it.config.read_bytes(), Keeper(at.home.repair)
        await until(lambda: keeper.is_kept(read(it.config)))
        it.config.write_text("model_list: [\n")
        it.kill()
        repair = await over(client)
        await in_mode(client, "normal", limit=LIMIT)
        assert (repair["state"], repair["served_by"], repair["attempt"]) == ("completed", LADDER, 1)
        assert it.config.read_bytes() == good
        told = await said_of(client, repair["task_id"])
        assert [step for step in STEPS if step not in told] == []
        history = str(await call(client, "task_status", task_id=repair["task_id"], since_seq=0))
        assert any(step in history for step in STEPS)


async def test_where_no_cloud_answers_the_ladder_works_and_what_is_handed_on_fails_with_its_findings(
    tmp_path: Path,
) -> None:
    async with place() as provider, standing(tmp_path, provider) as (_at, it, client):
        await provider.shut()
        await call(client, "submit_task", description="wakes the engine")
        await in_mode(client, "brainstem", limit=LIMIT)
        repair = await over(client)
        assert (repair["state"], repair["served_by"]) == ("completed", LADDER)
        assert it.own()


async def test_an_unknown_cause_without_an_agent_fails_with_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    async with standing(tmp_path, None, start="echo what nobody knows; exit 7") as (_at, _it, client):
        await call(client, "submit_task", description="wakes the engine")
        repair = await over(client)
        told = await said_of(client, repair["task_id"])
        assert (repair["state"], repair["served_by"]) == ("failed", LADDER)
        assert "the command ended with 7: what nobody knows" in repair["text"]
        assert "start: " in told


async def test_an_engine_that_is_killed_in_a_repair_leaves_one_start_which_the_next_one_waits_for(
    tmp_path: Path,
) -> None:
    async with standing(tmp_path, None) as (at, it, client):
        it.write(stub={"slow": 3})
        await call(client, "submit_task", description="wakes the engine")
        await until(it.own)
        started = {process.pid for process in it.own()}
        os.kill(await at.engine_pid(), signal.SIGKILL)
        repair = await over(client)
        assert (repair["state"], repair["served_by"]) == ("completed", LADDER)
        assert {process.pid for process in it.own()} == started
        assert len(Keeper(at.home.repair).journal().starts) == 1


class Real(LiteLLM):
    """The real proxy."""

    @property
    def argv(self) -> list[str]:
        host = ["--host", "127.0.0.1", "--telemetry", "False"]
        return [str(BINARY), "--config", str(self.config), "--port", str(self.port), *host]


@pytest.mark.slow
@pytest.mark.proxy
@pytest.mark.skipif(not BINARY.exists(), reason="no proxy: make .cache/litellm-proxy/.installed")
@pytest.mark.timeout(600)
async def test_the_real_proxy_comes_back_from_a_broken_file_and_is_not_started_where_its_port_is_taken(
    tmp_path: Path,
) -> None:
    """A `.env` in its folder is not read; what `env` has is what it gets."""
    (tmp_path / ".env").write_text(STRANGE_DOTENV)
    async with running_cloud() as cloud:
        it = real(tmp_path, CLOUD_KEY="sk-good", OPENAI_BASE_URL=f"{cloud.url}/v1")
        try:
            good = it.served()
            it.write(router_settings={"routing_strategy": "nope"})
            result = await it.repaired()
            assert result.status == "completed", result
            assert "routing_strategy" in result.text
            assert it.config.read_bytes() == good
            await asked(it)
            assert [seen.key for seen in cloud.requests] == ["good"]
            await keep_if_well(it.setup)
            it.kill()
            async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=it.port):
                refusal = await it.repaired()
            assert f"(pid {os.getpid()})" in (refusal.message or "")
            assert "start:" not in refusal.text
        finally:
            it.kill()


def real(folder: Path, **variables: str) -> Real:
    """Return the real proxy with one route, which says of itself neither key nor place; it is free to read a `.env`."""
    offline = {name: value for name, value in OFFLINE.items() if name not in NO_DOTENV}
    env = {**offline, "PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    it = Real(folder=folder, fields={"env": env, "cwd": folder, "grace": LIVE_LIMIT})
    route = {"model": "openai/stub", "api_key": "os.environ/CLOUD_KEY"}
    it.write(model_list=[{"model_name": "usual", "litellm_params": route}], general_settings={"master_key": MASTER_KEY})
    return it


async def asked(it: Real) -> None:
    """Have the proxy serve a call."""
    body = {"model": "usual", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {MASTER_KEY}"}
    async with httpx.AsyncClient(base_url=it.url, headers=headers, timeout=LIMIT, trust_env=False) as client:
        (await client.post(CHAT, json=body)).raise_for_status()

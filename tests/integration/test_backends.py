"""What serves the models, from the task to the cloud's request: MCP face, engine, assistant, relay, backend, stub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client

from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.llm.base import Answer, Dialect, ModelError
from omni_mcp.llm.proxy import ProxyGateway
from omni_mcp.servers_file.models import Gateway
from omni_mcp.task import FailureClass
from tests.integration.house import House, call, ended, free_port, house
from tests.integration.models import LITELLM
from tests.integration.real_proxy import MASTER_KEY, REAL_PROXY, RealProxy, real_proxy
from tests.integration.stub_litellm import COOLDOWN, NO_DB, NO_MODEL, stub_litellm

LOADING = 100.0
"""Seconds for a task in an engine that has to load litellm first, on a machine that is busy."""


async def run(here: House, models: Mapping[str, Any], *names: str) -> Sequence[dict[str, Any]]:
    """Have the assistant do a task with each of these models, or one with that of the settings; returns their ends."""
    here.configure(executors={"assistant": {"preset": "assistant"}}, models=dict(models))
    async with here.client() as client:
        return [await done(client, **({"model": name} if name else {})) for name in names or ("",)]


async def done(client: Client[Any], **asked: Any) -> dict[str, Any]:
    """Submit a task and wait for its end."""
    task = await call(client, "submit_task", description="查一下天气", type="general", **asked)
    return await ended(client, task["task_id"], limit=LOADING)


def gateway(url: str, key: str = MASTER_KEY, model: str = "auto-chat") -> dict[str, Any]:
    return {"base_url": url, "api_key": key, "for": {"general": model}}


def cloud_row(cloud: Cloud, model: str = "openai/gpt-4o-mini", **params: Any) -> dict[str, Any]:
    base = cloud.url if model.startswith("anthropic/") else f"{cloud.url}/v1"
    return {"model": model, "api_base": base, "api_key": "sk-cloud", **params}


async def test_a_task_is_served_by_the_proxy_and_the_defaults_reach_its_request(tmp_path: Path):
    async with stub_litellm() as stub, house(tmp_path) as here:
        stub.stream({"choices": [{"delta": {"content": "晴"}, "finish_reason": "stop"}]})
        [status] = await run(here, {"gateway": gateway(stub.url), "defaults": {"temperature": 0.7, "top_k": 40}})
        assert (status["state"], status["endpoint"], status["model"]) == ("completed", "litellm-proxy", "auto-chat")
        path, headers, body = stub.asked[0]
        assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {MASTER_KEY}")
        assert (body["model"], body["temperature"]) == ("auto-chat", 0.7)
        assert "top_k" not in body, "chat completions have none"


@pytest.mark.parametrize(
    ("status", "body", "waiting_for", "words"),
    [
        pytest.param(429, COOLDOWN, "cloud", "No deployments available", marks=pytest.mark.slow),
        (200, {"type": "error", "error": {"type": "api_error", "message": f"odd {MASTER_KEY}"}}, "cloud", "odd"),
        (400, NO_DB, "executor", "models.gateway.api_key"),
        pytest.param(400, NO_MODEL, "executor", "models.gateway.for", marks=pytest.mark.slow),
    ],
)
async def test_a_failure_of_the_proxy_parks_the_task_with_what_to_do_and_no_key_is_written_down(
    tmp_path: Path, status: int, body: Any, waiting_for: str, words: str
):
    async with stub_litellm() as stub, house(tmp_path) as here:
        stub.answer(body, status)
        [told] = await run(here, {"gateway": gateway(stub.url)})
        assert holding(here.home.root, MASTER_KEY) == ["servers.yaml"]
    assert (told["state"], told["waiting_for"]) == ("waiting", waiting_for), told
    assert words in told["text"]
    assert MASTER_KEY not in str(told)


def holding(folder: Path, key: str) -> list[str]:
    """Return the files in which a key stands: logs and ledger are among those that are read."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {"engine.log", "ledger.db", "face.log"} <= {file.name for file in files}
    return [file.name for file in files if key.encode() in file.read_bytes()]


@pytest.mark.slow
async def test_a_proxy_that_is_not_there_is_a_reason_to_wait_that_names_it(tmp_path: Path):
    async with house(tmp_path) as here:
        [told] = await run(here, {"gateway": gateway(f"http://127.0.0.1:{free_port()}")})
    assert (told["state"], told["waiting_for"]) == ("waiting", "cloud")
    assert "LiteLLM" in told["text"]


class TestInProcess:
    """LiteLLM's Router, in the engine."""

    pytestmark = LITELLM

    async def test_the_defaults_and_a_key_from_the_env_file_reach_the_clouds_request(self, tmp_path: Path):
        """But not the field that a model does not take, where `drop_params` says so."""
        async with running_cloud() as cloud, house(tmp_path) as here:
            here.home.dotenv.write_text("CLOUD_KEY=sk-from-dotenv\n")
            told = await run(here, thinking_or_not(cloud, drop=True), "chat", "thinker")
            assert {(each["state"], each["endpoint"]) for each in told} == {("completed", "litellm-router")}, told
            assert [(seen.key, seen.said.get("temperature")) for seen in cloud.requests] == [
                ("tenv", 0.7),
                ("loud", None),
            ]

    @pytest.mark.slow
    async def test_a_field_that_a_model_does_not_take_fails_its_task_without_drop_params(self, tmp_path: Path):
        async with running_cloud() as cloud, house(tmp_path) as here:
            [told] = await run(here, thinking_or_not(cloud, drop=False), "thinker")
            assert (told["state"], told["endpoint"]) == ("failed", "litellm-router"), told
            assert not cloud.requests


def thinking_or_not(cloud: Cloud, *, drop: bool) -> Mapping[str, Any]:
    """Return two models for the Router: one that takes a temperature, and one that does not."""
    rows = {"chat": cloud_row(cloud, api_key="os.environ/CLOUD_KEY"), "thinker": cloud_row(cloud, "openai/o3-mini")}
    return {
        "model_list": [{"model_name": name, "litellm_params": params} for name, params in rows.items()],
        "defaults": {"temperature": 0.7},
        "litellm_settings": {"drop_params": drop},
    }


MODELS = {Dialect.OPENAI: "auto-chat", Dialect.ANTHROPIC: "auto-claude"}
"""An `openai/` model would be asked on /responses for an Anthropic caller, which the stub cloud has not."""


async def class_of(proxy: RealProxy, *, key: str = MASTER_KEY, model: str | None = None, **more: Any) -> FailureClass:
    """Make a call of the real proxy that must fail, in both dialects; returns what it means."""
    backend = ProxyGateway(Gateway.model_validate(gateway(proxy.url, key)))
    kinds: list[FailureClass] = []
    for dialect in Dialect:
        body = {
            "model": model or MODELS[dialect],
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}],
            **more,
        }
        with pytest.raises(ModelError) as caught:
            await backend.call(dialect, body)
        kinds.append(caught.value.kind)
    await backend.aclose()
    assert len(set(kinds)) == 1, kinds
    return kinds[0]


async def told(answer: Answer) -> str:
    """Read a stream to its end."""
    return b"".join([chunk async for chunk in answer.chunks()]).decode()


class TestTheRealProxy:
    """LiteLLM's own proxy, as the user has it."""

    pytestmark = REAL_PROXY

    async def test_it_serves_tasks_by_its_layers_with_their_price_and_each_of_its_failures_has_its_class(
        self, tmp_path: Path
    ):
        async with running_cloud() as first, running_cloud() as second, house(tmp_path) as here:
            layers = [
                {"model_name": "auto-chat", "litellm_params": cloud_row(first, order=1)},
                {"model_name": "auto-chat", "litellm_params": cloud_row(second, order=2)},
                {"model_name": "auto-claude", "litellm_params": cloud_row(first, "anthropic/claude-sonnet-4-6")},
            ]
            settings = {"num_retries": 0, "cooldown_time": 1}
            async with real_proxy(tmp_path, layers, router_settings=settings) as proxy:
                await self._serves(proxy, first)
                models = {"gateway": gateway(proxy.url), "defaults": {"temperature": 0.7}}
                [told] = await run(here, models)
                assert (told["state"], told["endpoint"]) == ("completed", "litellm-proxy"), told
                assert (first.requests[-1].said.get("temperature"), len(second.requests)) == (0.7, 0)
                first.fail("500")
                [told] = await run(here, models)
                assert (told["state"], len(second.requests)) == ("completed", 1), told
                assert await class_of(proxy, key="sk-wrong") is FailureClass.AUTH
                assert await class_of(proxy, model="no-such-model") is FailureClass.CONFIG
                second.fail("500")
                for stream in (False, True, False, True):
                    kind = await class_of(proxy, stream=stream)
                    assert kind is FailureClass.PROVIDER, "an outage, whether it says 500 or 429"
                await proxy.kill()
                [told] = await run(here, models)
                assert (told["state"], told["waiting_for"]) == ("waiting", "cloud"), told
                assert "LiteLLM" in told["text"]

    async def _serves(self, proxy: RealProxy, cloud: Cloud) -> None:
        """See that both dialects are served, whole and streamed, with tokens and prices."""
        backend = ProxyGateway(Gateway.model_validate(gateway(proxy.url)))
        prices = {Dialect.OPENAI: (0.15e-6, 0.6e-6), Dialect.ANTHROPIC: (3e-6, 15e-6)}
        for dialect, model in MODELS.items():
            for stream in (False, True):
                body = {"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": "Plan it"}]}
                answer = await backend.call(dialect, {**body, "stream": stream})
                assert "Done" in (str(answer.body) if answer.body else await told(answer))
                seen, spent = cloud.requests[-1], answer.spent()
                assert (spent.input_tokens, spent.output_tokens) == (seen.input_tokens, seen.output_tokens)
                assert spent.provider == ("openai" if dialect is Dialect.OPENAI else "anthropic")
                paid, got = prices[dialect]
                assert spent.cost_usd == pytest.approx(seen.input_tokens * paid + seen.output_tokens * got)
                assert spent.price_source == "gateway"
        await backend.aclose()

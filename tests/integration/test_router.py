"""The real LiteLLM Router over the stub cloud: text, tools, prices, order and every kind of failure."""

import importlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.llm import prices
from omni_mcp.llm.base import Answer, Dialect, ModelError
from omni_mcp.llm.price_table import cost_usd, price_table
from omni_mcp.llm.relay import Relay
from omni_mcp.llm.router import RouterGateway
from omni_mcp.llm.usage import Tokens
from omni_mcp.servers_file.models import Models
from omni_mcp.task import FailureClass
from tests.integration.models import LITELLM, PRICES, Book

pytestmark = LITELLM

TOOL_INPUT = {"command": "echo '你好' && ls \"a b\"", "timeout": 5}

SCRIPT = f"SCRIPT:{json.dumps([{'text': 'I look.', 'tool': 'Bash', 'input': TOOL_INPUT}])}"

DIALECTS = pytest.mark.parametrize("dialect", list(Dialect))


def row(cloud: Cloud, name: str, model: str, **params: Any) -> dict[str, Any]:
    """Return a row of `model_list` that ends in the stub cloud."""
    base = cloud.url if model.startswith("anthropic/") else f"{cloud.url}/v1"
    return {"model_name": name, "litellm_params": {"model": model, "api_base": base, "api_key": "sk-cloud", **params}}


def gateway_for(*rows: Mapping[str, Any], deadline: float = 30, **settings: Any) -> RouterGateway:
    return RouterGateway(Models(model_list=rows, router_settings=settings), deadline=deadline)


def demo(cloud: Cloud, **settings: Any) -> RouterGateway:
    """Return a gateway with one model for each API, `chat` and `claude`, both at the demo's price."""
    return gateway_for(
        row(cloud, "chat", "openai/demo", **PRICES), row(cloud, "claude", "anthropic/claude-demo", **PRICES), **settings
    )


def prompt(model: str = "chat", text: str = "查一下天气", **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


async def told(answer: Answer) -> list[dict[str, Any]]:
    """Read a stream to its end."""
    text = b"".join([chunk async for chunk in answer.chunks()]).decode()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def failing(gateway: RouterGateway, dialect: Dialect = Dialect.OPENAI, **body: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await gateway.call(dialect, prompt(**body))
    return caught.value


def demo_price(cloud: Cloud) -> float:
    seen = cloud.requests[-1]
    return seen.input_tokens * 0.001 + seen.output_tokens * 0.002


@pytest.mark.parametrize("model", ["chat", "claude"])
@DIALECTS
async def test_an_answer_has_its_text_and_its_price_whatever_the_dialects_of_caller_and_cloud(
    dialect: Dialect, model: str
):
    async with running_cloud() as cloud:
        answer = await demo(cloud).call(dialect, prompt(model))
        spent = answer.spent()
        assert "晴" in json.dumps(answer.body, ensure_ascii=False)
        assert "_hidden_params" not in (answer.body or {})
        assert (spent.model, spent.provider) == (model, "openai" if model == "chat" else "anthropic")
        assert spent.output_tokens == cloud.requests[-1].output_tokens
        if (model, dialect) != ("claude", Dialect.OPENAI):  # translated text: litellm sends more than the caller said
            assert spent.input_tokens == cloud.requests[-1].input_tokens
        assert spent.cost_usd == pytest.approx(demo_price(cloud))
        assert spent.price_source == "config"


async def test_a_streamed_chat_arrives_in_pieces_and_its_price_with_the_last():
    async with running_cloud() as cloud:
        answer = await demo(cloud).call(Dialect.OPENAI, prompt(stream=True))
        assert answer.body is None
        assert answer.spent().cost_usd is None
        pieces = [e["choices"][0]["delta"].get("content") or "" for e in await told(answer) if e["choices"]]
        assert len(pieces) > 3
        assert "晴" in "".join(pieces)
        assert answer.spent().cost_usd == pytest.approx(demo_price(cloud))


@pytest.mark.parametrize("model", ["chat", "claude"])
async def test_a_streamed_tool_call_is_whole_for_an_anthropic_caller(model: str):
    async with running_cloud() as cloud:
        events = await told(await demo(cloud).call(Dialect.ANTHROPIC, prompt(model, SCRIPT, stream=True)))
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [block["type"] for block in starts] == ["text", "tool_use"]
    assert (starts[1]["name"], starts[1]["input"]) == ("Bash", {})
    assert deltas[0]["text"] == "I look."
    assert json.loads("".join(delta["partial_json"] for delta in deltas[1:])) == TOOL_INPUT
    assert [event["delta"]["stop_reason"] for event in events if event["type"] == "message_delta"] == ["tool_use"]


async def test_a_streamed_tool_call_is_whole_for_a_chat_caller():
    async with running_cloud() as cloud:
        events = await told(await demo(cloud).call(Dialect.OPENAI, prompt("chat", SCRIPT, stream=True)))
    calls = [call for e in events for choice in e["choices"] for call in choice["delta"].get("tool_calls") or ()]
    assert calls[0]["function"]["name"] == "Bash"
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == TOOL_INPUT


async def test_prices_come_from_the_row_else_from_litellms_list_else_are_unknown():
    async with running_cloud() as cloud:
        gateway = gateway_for(
            row(cloud, "listed", "anthropic/claude-sonnet-4-5"),
            row(cloud, "unlisted", "openai/nobody-knows"),
            row(cloud, "free", "openai/gift", input_cost_per_token=0, output_cost_per_token=0),
        )
        spent = {
            name: (await gateway.call(Dialect.ANTHROPIC, prompt(name))).spent()
            for name in ("listed", "unlisted", "free")
        }
        seen = cloud.requests[0]
    assert spent["listed"].cost_usd == pytest.approx(seen.input_tokens * 3e-6 + seen.output_tokens * 15e-6)
    assert {name: one.price_source for name, one in spent.items()} == {
        "listed": "litellm",
        "unlisted": None,
        "free": "config",
    }
    assert (spent["unlisted"].cost_usd, spent["free"].cost_usd) == (None, 0)
    assert spent["unlisted"].output_tokens == seen.output_tokens


async def test_an_unknown_model_is_refused_with_the_names_there_are():
    async with running_cloud() as cloud:
        error = await failing(demo(cloud), model="gpt-4o")
        assert not cloud.requests
    assert (error.status, error.kind) == (404, FailureClass.CONFIG)
    assert "chat, claude" in error.message


async def test_a_caller_cannot_redirect_a_call_with_our_key():
    async with running_cloud() as cloud, running_cloud() as elsewhere:
        await demo(cloud).call(Dialect.OPENAI, prompt(api_base=f"{elsewhere.url}/v1", base_url=elsewhere.url))
        await demo(cloud).call(Dialect.ANTHROPIC, prompt("claude", api_base=elsewhere.url, mock_response="no"))
        assert (len(cloud.requests), len(elsewhere.requests)) == (2, 0)


@pytest.mark.parametrize(
    ("mode", "status", "kind"),
    [
        ("401", 401, FailureClass.AUTH),
        ("403", 403, FailureClass.AUTH),
        ("404", 404, FailureClass.CONFIG),
        ("429", 429, FailureClass.RATE_LIMIT),
        ("500", 500, FailureClass.PROVIDER),
        ("503", 503, FailureClass.PROVIDER),
        ("drop", 500, FailureClass.PROVIDER),
        ("hang", 504, FailureClass.PROVIDER),
    ],
)
@pytest.mark.parametrize(("dialect", "model"), [(Dialect.OPENAI, "chat"), (Dialect.ANTHROPIC, "claude")])
@pytest.mark.parametrize("stream", [False, True])
async def test_each_fault_of_the_cloud_has_its_class(  # pylint: disable=too-many-arguments,too-many-positional-arguments
    mode: str, status: int, kind: FailureClass, dialect: Dialect, model: str, stream: bool
):
    async with running_cloud() as cloud:
        cloud.fail(mode)
        error = await failing(demo(cloud, timeout=0.5), dialect, model=model, stream=stream)
        assert (error.status, error.kind) == (status, kind)
        assert len(cloud.requests) == 1, "retries are ours to decide"


async def test_a_limit_says_when_it_ends():
    async with running_cloud() as cloud:
        cloud.fail("429", retry_after=7)
        assert (await failing(demo(cloud))).retry_after == 7


async def test_an_outage_stays_an_outage_when_the_router_rests_its_routes():
    async with running_cloud() as cloud:
        cloud.fail("500")
        gateway = demo(cloud, allowed_fails=0, cooldown_time=30)
        await failing(gateway)
        error = await failing(gateway)
        assert len(cloud.requests) == 1
    assert (error.status, error.kind, error.retry_after) == (503, FailureClass.PROVIDER, 30)


async def test_a_stream_that_breaks_off_fails_after_its_first_pieces():
    async with running_cloud() as cloud:
        cloud.fail("cut")
        answer = await demo(cloud).call(Dialect.OPENAI, prompt(stream=True))
        chunks = answer.chunks()
        assert (await anext(chunks)).startswith(b"data: {")
        with pytest.raises(ModelError) as caught:
            await told(answer)
        await chunks.aclose()
    assert caught.value.kind is FailureClass.PROVIDER
    assert (answer.spent().provider, answer.spent().cost_usd) == ("openai", None)


async def test_one_deadline_holds_over_all_routes():
    async with running_cloud() as cloud:
        cloud.fail("hang")
        routes = [row(cloud, "chat", f"openai/{n}", order=n) for n in (1, 2, 3)]
        began = anyio.current_time()
        error = await failing(gateway_for(*routes, deadline=1, timeout=30))
        assert anyio.current_time() - began < 3
    assert (error.status, error.kind) == (504, FailureClass.PROVIDER)


async def test_routes_are_tried_by_their_order():
    async with running_cloud() as broken, running_cloud() as spare:
        broken.fail("500")
        gateway = gateway_for(row(spare, "chat", "openai/b", order=2), row(broken, "chat", "openai/a", order=1))
        await gateway.call(Dialect.OPENAI, prompt())
        assert (len(broken.requests), len(spare.requests)) == (1, 1)
        broken.fail("ok")


async def test_a_litellm_that_refuses_its_settings_is_an_error_in_words():
    async with running_cloud() as cloud:
        error = await failing(demo(cloud, routing_strategy="no-such-strategy"))
    assert error.kind is FailureClass.CONFIG
    assert "LiteLLM cannot be loaded" in error.message


@asynccontextmanager
async def through_the_relay(cloud: Cloud, book: Book, model: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with Relay(demo(cloud), book) as relay:
        endpoint = relay.endpoint("t1", attempt=1, model=model)
        headers = {"authorization": f"Bearer {endpoint.token.get_secret_value()}"}
        async with httpx.AsyncClient(base_url=endpoint.base_url, headers=headers, timeout=30) as client:
            yield client


@pytest.mark.parametrize(("path", "model"), [("/v1/messages", "claude"), ("/v1/chat/completions", "chat")])
@pytest.mark.parametrize("stream", [False, True])
async def test_through_the_relay_every_call_is_priced(path: str, model: str, stream: bool):
    async with running_cloud() as cloud, through_the_relay(cloud, book := Book(), model) as client:
        answer = await client.post(path, json=prompt("whatever", "Plan it", stream=stream))
        assert "Done, step" in answer.text
        assert book.closed[0].cost_usd == pytest.approx(demo_price(cloud))
        assert (book.closed[0].task_id, book.closed[0].model, book.closed[0].provider) == (
            "t1",
            model,
            "anthropic" if model == "claude" else "openai",
        )


async def test_the_key_stays_with_the_engine():
    async with running_cloud() as cloud, through_the_relay(cloud, Book(), "claude") as client:
        await client.post("/v1/messages", json=prompt())
        assert cloud.requests[0].key == "loud"


async def test_the_prices_of_litellms_list_are_read_as_litellm_reads_them():
    """The direct backend reads the list as a file; see that it comes to the same price."""
    litellm: Any = importlib.import_module("litellm")
    counted = Tokens(input=1000, output=100, cache_read=300, cache_stored=200)
    usage = prices.anthropic_usage(
        litellm,
        {
            "input_tokens": 500,
            "output_tokens": 100,
            "cache_read_input_tokens": 300,
            "cache_creation_input_tokens": 200,
        },
    )
    rows = {name: row for name, row in price_table().items() if row.get("litellm_provider") == "anthropic"}
    told = {name: cost_usd(price_table(), name, ["anthropic"], counted) for name in rows}
    same = {
        name: sum(litellm.cost_per_token(model=name, usage_object=usage, custom_llm_provider="anthropic"))
        for name, cost in told.items()
        if cost is not None
    }
    assert len(same) > 10
    assert same == pytest.approx({name: told[name] for name in same})


async def test_a_request_timeout_is_the_time_of_one_route():
    async with running_cloud() as cloud:
        cloud.fail("hang")
        models = Models.model_validate(
            {
                "model_list": [row(cloud, "chat", "openai/demo")],
                "litellm_settings": {"request_timeout": 0.5},
            }
        )
        error = await failing(RouterGateway(models, deadline=30))
    assert (error.status, error.kind) == (504, FailureClass.PROVIDER)
    assert "in time" in error.message

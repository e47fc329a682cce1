"""The proxy backend against a stub of LiteLLM: what goes out, what comes back, and every strange thing it says."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from omni_mcp.demo.cloud import Cloud, running_cloud
from omni_mcp.llm.base import Answer, Dialect, ModelError
from omni_mcp.llm.loopback import serving
from omni_mcp.llm.proxy import ProxyGateway
from omni_mcp.servers_file.models import Gateway
from omni_mcp.task import FailureClass
from tests.integration.house import free_port
from tests.integration.stub_litellm import (
    COOLDOWN,
    NO_DB,
    NO_MODEL,
    StubLiteLLM,
    chat_error,
    message_error,
    stub_litellm,
)

DIALECTS = pytest.mark.parametrize("dialect", list(Dialect))
STREAMED = pytest.mark.parametrize("stream", [False, True])

MESSAGE: dict[str, Any] = {"type": "message", "content": [], "usage": {"input_tokens": 3, "output_tokens": 5}}
CHAT: dict[str, Any] = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
WHOLE: dict[Dialect, dict[str, Any]] = {Dialect.ANTHROPIC: MESSAGE, Dialect.OPENAI: CHAT}
COST, NAME, ROUTE = "x-litellm-response-cost", "x-litellm-model-name", "x-litellm-model-id"


@asynccontextmanager
async def opened(url: str, **more: Any) -> AsyncGenerator[ProxyGateway]:
    gateway = ProxyGateway(Gateway(base_url=url, api_key=SecretStr("sk-1234")), **more)
    try:
        yield gateway
    finally:
        await gateway.aclose()


def prompt(text: str = "查一下天气", **more: Any) -> dict[str, Any]:
    return {"model": "auto-chat", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


async def told(answer: Answer) -> bytes:
    return b"".join([chunk async for chunk in answer.chunks()])


async def failing(stub: StubLiteLLM, dialect: Dialect = Dialect.OPENAI, **more: Any) -> ModelError:
    async with opened(stub.url) as gateway:
        with pytest.raises(ModelError) as caught:
            await gateway.call(dialect, prompt(**more))
    return caught.value


def as_cloud(cloud: Cloud) -> Any:
    """Return a gateway whose proxy is the stub cloud: it has the same two paths."""
    return opened(cloud.url)


@DIALECTS
@STREAMED
async def test_what_the_proxy_answers_arrives_as_it_is(dialect: Dialect, stream: bool):
    async with running_cloud() as cloud, as_cloud(cloud) as gateway:
        answer = await gateway.call(dialect, prompt("Plan it", stream=stream))
        assert (answer.body is None) == stream
        text = (await told(answer)).decode() if stream else str(answer.body)
        assert "Done" in text
        assert ("[DONE]" in text, "message_stop" in text) == (
            stream and dialect is Dialect.OPENAI,
            stream and dialect is Dialect.ANTHROPIC,
        )
        seen, spent = cloud.requests[0], answer.spent()
        assert (seen.model, seen.stream, seen.key) == ("auto-chat", stream, "1234")
        assert (spent.input_tokens, spent.output_tokens) == (seen.input_tokens, seen.output_tokens)
        assert (spent.model, spent.cost_usd, spent.price_source) == ("auto-chat", None, None)


@DIALECTS
async def test_the_price_is_the_one_in_the_proxys_header(dialect: Dialect):
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        stub.answer(WHOLE[dialect], headers={COST: "0.25", NAME: "acme/big-one"})
        spent = (await gateway.call(dialect, prompt())).spent()
        assert (spent.cost_usd, spent.price_source, spent.provider) == (0.25, "gateway", "acme")
        assert (spent.input_tokens, spent.output_tokens) == (3, 5)
        stub.answer(WHOLE[dialect], headers={COST: "None"})
        assert (await gateway.call(dialect, prompt())).spent().cost_usd is None


async def test_the_price_of_a_stream_is_the_one_in_its_usage_where_the_proxy_says_it():
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "cost": 0.125}
        stub.stream({"choices": [{"finish_reason": "stop"}]}, {"choices": [], "usage": usage}, end=b"data: [DONE]\n\n")
        answer = await gateway.call(Dialect.OPENAI, prompt(stream=True))
        await told(answer)
        assert (answer.spent().cost_usd, answer.spent().price_source) == (0.125, "gateway")
        assert stub.asked[0][2]["stream_options"] == {"include_usage": True}


@STREAMED
async def test_without_a_header_the_price_is_what_the_proxy_says_of_the_route_that_served(stream: bool):
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        price = {"input_cost_per_token": 2.0, "output_cost_per_token": 0.5, "cache_read_input_token_cost": None}
        stub.prices = [{"id": "route-1", **price}, {"id": "route-2"}]
        for route, cost in (("route-1", 8.5), ("route-2", None), ("route-3", None)):
            choices = [{"finish_reason": "stop"}]
            if stream:
                stub.stream({"choices": choices, "usage": usage}, headers={ROUTE: route})
            else:
                stub.answer({"choices": choices, "usage": usage}, headers={ROUTE: route})
            answer = await gateway.call(Dialect.OPENAI, prompt(stream=stream))
            await told(answer)
            assert (answer.spent().cost_usd, answer.spent().price_source) == (cost, "gateway" if cost else None)


async def test_a_call_without_a_key_that_fails_says_where_to_write_it():
    async with stub_litellm() as stub:
        stub.status, stub.content, stub.kind = 500, b"Internal Server Error", "text/plain"
        gateway = ProxyGateway(Gateway(base_url=stub.url))
        with pytest.raises(ModelError) as caught:
            await gateway.call(Dialect.OPENAI, prompt())
        await gateway.aclose()
    assert "set models.gateway.api_key" in caught.value.message


async def test_what_goes_out_is_the_call_the_key_and_the_betas_and_nothing_that_litellm_would_obey():
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        stub.answer(MESSAGE)
        body = prompt(thinking={"type": "enabled"}, api_base="http://evil.example", mock_response="no", fallbacks=["x"])
        await gateway.call(Dialect.ANTHROPIC, body, beta="context-management-2025-06-27")
    path, headers, said = stub.asked[0]
    assert path == "/v1/messages"
    assert (headers["authorization"], headers["anthropic-beta"]) == ("Bearer sk-1234", "context-management-2025-06-27")
    assert said == prompt(thinking={"type": "enabled"})


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (429, COOLDOWN, FailureClass.PROVIDER, "No deployments available"),
        (200, message_error("api_error", "upstream is odd"), FailureClass.PROVIDER, "upstream is odd"),
        (400, NO_DB, FailureClass.AUTH, "check models.gateway.api_key"),
        (400, NO_MODEL, FailureClass.CONFIG, "name models of the proxy under models.gateway.for"),
        (200, {"hello": "world"}, FailureClass.PROVIDER, "as no model API does"),
    ],
)
@DIALECTS
@STREAMED
async def test_what_an_answer_means_and_what_to_do(  # pylint: disable=too-many-arguments,too-many-positional-arguments
    status: int, body: Any, kind: FailureClass, words: str, dialect: Dialect, stream: bool
):
    async with stub_litellm() as stub:
        stub.answer(body, status)
        error = await failing(stub, dialect, stream=stream)
    assert error.kind is kind
    assert words in error.message


@STREAMED
async def test_who_answers_as_no_model_api_does_is_no_litellm(stream: bool):
    async with stub_litellm() as stub:
        stub.content, stub.kind = b"<html>Welcome to nginx!</html>", "text/html"
        error = await failing(stub, stream=stream)
    assert (error.status, error.kind) == (502, FailureClass.PROVIDER)
    assert "Welcome to nginx!" in error.message


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([{"error": {"message": "down", "code": "500"}}], FailureClass.PROVIDER),
        ([{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}], FailureClass.PROVIDER),
        ([b": keep-alive\n\n", {"error": {"message": "slow", "code": 429}}], FailureClass.RATE_LIMIT),
        ([b"data: hello\n\n"], FailureClass.PROVIDER),
        ([], FailureClass.PROVIDER),
    ],
)
async def test_a_stream_that_begins_with_an_error_is_a_refusal(events: list[Any], kind: FailureClass):
    async with stub_litellm() as stub:
        stub.stream(*events)
        assert (await failing(stub, stream=True)).kind is kind


@pytest.mark.parametrize("last", [b"", b'data: {"error": {"message": "it broke", "code": "500"}}\n\n', b"data: {\n\n"])
async def test_a_stream_that_breaks_in_the_middle_keeps_what_came(last: bytes):
    piece = {"choices": [{"delta": {"content": "half"}}]}
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        stub.stream(piece, end=last)
        answer = await gateway.call(Dialect.OPENAI, prompt(stream=True))
        chunks = answer.chunks()
        assert b"half" in await anext(chunks)
        with pytest.raises(ModelError) as caught:
            await anext(chunks)
    assert caught.value.kind is FailureClass.PROVIDER
    assert answer.spent().output_tokens is None


@DIALECTS
async def test_a_cloud_that_hangs_up_in_the_middle_is_the_providers_trouble(dialect: Dialect):
    async with running_cloud() as cloud, as_cloud(cloud) as gateway:
        cloud.fail("cut")
        answer = await gateway.call(dialect, prompt("Plan it", stream=True))
        with pytest.raises(ModelError) as caught:
            await told(answer)
    assert caught.value.kind is FailureClass.PROVIDER
    assert answer.spent().output_tokens is None


async def test_a_chat_without_its_last_line_gets_one_and_what_json_may_hold_ends_no_line():
    events = b'data: {"choices": [{"delta": {"content": "a\xe2\x80\xa8b"}, "finish_reason": "stop"}]}\r\n\r\n'
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        stub.stream(events)
        text = await told(await gateway.call(Dialect.OPENAI, prompt(stream=True)))
    assert text == events.replace(b"\r", b"") + b"data: [DONE]\n\n"


async def test_nobody_there_says_what_to_start():
    url = f"http://127.0.0.1:{free_port()}"
    async with opened(url) as gateway:
        with pytest.raises(ModelError) as caught:
            await gateway.call(Dialect.OPENAI, prompt())
    assert (caught.value.status, caught.value.kind) == (503, FailureClass.PROVIDER)
    assert f"start the proxy, or correct models.gateway.base_url ({url})" in caught.value.message


@STREAMED
async def test_one_deadline_holds_over_the_whole_call(stream: bool):
    async with running_cloud() as cloud, opened(cloud.url, deadline=0.5) as gateway:
        cloud.fail("hang")
        with anyio.fail_after(10), pytest.raises(ModelError) as caught:
            await gateway.call(Dialect.OPENAI, prompt(stream=stream))
    assert (caught.value.status, caught.value.kind) == (504, FailureClass.PROVIDER)


async def test_the_deadline_ends_a_stream_that_goes_on_and_on():
    async with running_cloud(delay=60) as cloud, opened(cloud.url, deadline=1) as gateway:
        with anyio.fail_after(10), pytest.raises(ModelError) as caught:
            await told(await gateway.call(Dialect.OPENAI, prompt("Plan it", stream=True)))
    assert caught.value.status == 504


async def test_a_key_that_the_other_side_repeats_is_not_passed_on():
    async with stub_litellm() as stub:
        stub.answer(
            {"error": {"message": "Invalid proxy server token passed. key=sk-abcdef123456", "code": "401"}}, 401
        )
        assert "sk-abcdef123456" not in (await failing(stub)).message


async def test_a_proxy_of_the_environment_is_not_for_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with stub_litellm() as stub, opened(stub.url) as gateway:
        stub.answer(CHAT)
        assert (await gateway.call(Dialect.OPENAI, prompt())).body == CHAT


async def test_a_caller_who_leaves_ends_the_call():
    left = anyio.Event()

    async def events() -> AsyncGenerator[bytes]:
        try:
            yield b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
            await anyio.sleep_forever()
        finally:
            left.set()

    async def handle(_request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(Starlette(routes=[Route("/v1/chat/completions", handle, methods=["POST"])])) as port:
        async with opened(f"http://127.0.0.1:{port}") as gateway:
            chunks = (await gateway.call(Dialect.OPENAI, prompt(stream=True))).chunks()
            await anext(chunks)
            await chunks.aclose()
            with anyio.fail_after(10):
                await left.wait()


async def test_a_limit_says_when_it_ends():
    async with stub_litellm() as stub:
        stub.answer(chat_error("throttling_error", "slow down"), 429, headers={"retry-after": "7"})
        assert (await failing(stub)).retry_after == 7


async def test_an_address_that_is_none_is_told_with_what_to_do():
    async with opened("http://☃☃:40") as gateway:
        with pytest.raises(ModelError, match=r"cannot be reached .* correct models\.gateway\.base_url") as caught:
            await gateway.call(Dialect.OPENAI, prompt())
    assert (caught.value.status, caught.value.broken) == (503, True)

"""The relay: who may call, what goes on the books, and what a caller sees when something breaks."""

import json
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from omni_mcp.budget import Allowance
from omni_mcp.contract import Endpoint
from omni_mcp.llm.base import Dialect, ModelError, Spent
from omni_mcp.llm.loopback import serving
from omni_mcp.llm.relay import SERVED_MODEL, Relay
from omni_mcp.llm.sse import message_events
from omni_mcp.task import FailureClass, Usage

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"

SPENT = Spent(model="m", provider="acme", input_tokens=3, output_tokens=5, cost_usd=0.25, price_source="config")

PROMPT = {"model": "asked", "messages": [{"role": "user", "content": "hi"}]}


class FakeBook:
    """Keeps usage rows; `closed_one` is set with the first that closes."""

    def __init__(self) -> None:
        self.opened: list[Usage] = []
        self.closed: dict[int, Usage] = {}
        self.closed_one = anyio.Event()

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:  # pylint: disable=unused-argument
        self.opened.append(usage)
        return len(self.opened)

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        await anyio.lowlevel.checkpoint()  # a real one waits for the disk
        self.closed[usage_id] = usage
        self.closed_one.set()


@dataclass
class FakeAnswer:
    """A whole body, or a first event and then whatever `then` says."""

    body: Mapping[str, Any] | None = None
    then: ModelError | anyio.Event | None = None
    left: anyio.Event = field(default_factory=anyio.Event)

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            yield b"data: first\n\n"
            if isinstance(self.then, ModelError):
                raise self.then
            if self.then is not None:
                await self.then.wait()
            yield b"data: last\n\n"
        finally:
            self.left.set()

    def spent(self) -> Spent:
        return SPENT


class FakeGateway:
    """Answers with what it is given, or raises it."""

    name = "fake"

    def __init__(self, answer: FakeAnswer | Exception) -> None:
        self.answer = answer
        self.bodies: list[Mapping[str, Any]] = []

        self.said: list[tuple[str | None, str | None]] = []
        self.closed = False

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> FakeAnswer:
        self.bodies.append({"dialect": dialect, **body})
        self.said.append((task_type, beta))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        self.closed = True


@asynccontextmanager
async def caller(endpoint: Endpoint, *, token: str | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {token or endpoint.token.get_secret_value()}"}
    async with httpx.AsyncClient(base_url=endpoint.base_url, headers=headers, timeout=5) as client:
        yield client


def refusal(status: int, **more: Any) -> ModelError:
    return ModelError("no luck", status=status, kind=FailureClass.PROVIDER, **more)


async def test_a_call_is_on_the_books_from_its_begin_to_its_cost():
    book, gateway = FakeBook(), FakeGateway(FakeAnswer({"answer": 42}))
    async with Relay(gateway, book) as relay:
        async with caller(relay.endpoint("t1", attempt=2, model=None)) as client:
            answer = await client.post(CHAT, json=PROMPT)
    assert answer.json() == {"answer": 42}
    assert book.opened == [Usage(task_id="t1", attempt=2, model="asked", endpoint="fake")]
    assert (book.closed[1].task_id, book.closed[1].attempt, book.closed[1].cost_usd) == ("t1", 2, 0.25)
    assert (book.closed[1].input_tokens, book.closed[1].output_tokens, book.closed[1].provider) == (3, 5, "acme")


async def test_the_attempts_model_replaces_the_one_asked_for_and_the_answer_says_so():
    gateway = FakeGateway(FakeAnswer({}))
    async with Relay(gateway, FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="bound")) as client:
            answer = await client.post(MESSAGES, json=PROMPT)
            models = (await client.get("/v1/models")).json()
    assert (gateway.bodies[0]["model"], gateway.bodies[0]["dialect"]) == ("bound", Dialect.ANTHROPIC)
    assert answer.headers[SERVED_MODEL] == "bound"
    assert [model["id"] for model in models["data"]] == ["bound"]


async def test_the_gateway_learns_the_task_type_and_the_betas_of_the_caller_and_is_closed_at_the_end():
    gateway = FakeGateway(FakeAnswer({}))
    async with Relay(gateway, FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m", task_type="coding")) as client:
            await client.post(MESSAGES, json=PROMPT, headers={"anthropic-beta": "context-management-2025-06-27"})
        assert not gateway.closed
    assert gateway.said == [("coding", "context-management-2025-06-27")]
    assert gateway.closed


@pytest.mark.parametrize("path", [MESSAGES, CHAT, f"{MESSAGES}/count_tokens"])
async def test_a_wrong_token_is_refused_and_nothing_goes_on_the_books(path: str):
    book = FakeBook()
    async with Relay(FakeGateway(FakeAnswer({})), book) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m"), token="guessed") as client:
            answer = await client.post(path, json=PROMPT)
    assert answer.status_code == 401
    assert "token" in answer.json()["error"]["message"]
    assert ("type" in answer.json()) == path.startswith(MESSAGES)
    assert not book.opened


async def test_a_revoked_token_is_refused_while_the_next_attempts_is_good():
    async with Relay(FakeGateway(FakeAnswer({})), FakeBook()) as relay:
        first, second = (relay.endpoint("t", attempt=n, model="m") for n in (1, 2))
        relay.revoke("t", attempt=1)
        async with caller(first) as client:
            assert (await client.post(CHAT, json=PROMPT)).status_code == 401
        async with caller(second) as client:
            assert (await client.post(CHAT, json=PROMPT)).status_code == 200


async def test_a_token_may_come_as_an_api_key():
    async with Relay(FakeGateway(FakeAnswer({})), FakeBook()) as relay:
        endpoint = relay.endpoint("t", attempt=1, model="m")
        key = {"x-api-key": endpoint.token.get_secret_value()}
        async with httpx.AsyncClient(base_url=endpoint.base_url, headers=key) as client:
            assert (await client.post(MESSAGES, json=PROMPT)).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b"[" * 50_000])
async def test_a_body_that_is_no_json_object_is_the_callers_fault(body: bytes):
    async with Relay(FakeGateway(FakeAnswer({})), FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            assert (await client.post(CHAT, content=body)).status_code == 400


async def test_a_refusal_keeps_status_reason_and_retry_time_in_both_dialects():
    book = FakeBook()
    async with Relay(FakeGateway(refusal(429, retry_after=7)), book) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            anthropic, openai = [await client.post(path, json=PROMPT) for path in (MESSAGES, CHAT)]
    assert anthropic.status_code == openai.status_code == 429
    assert anthropic.headers["retry-after"] == "7"
    assert anthropic.json() == {"type": "error", "error": {"type": "rate_limit_error", "message": "no luck"}}
    assert openai.json()["error"]["message"] == "no luck"
    assert [row.cost_usd for row in book.closed.values()] == [None, None]


async def test_the_first_piece_of_a_stream_does_not_wait_for_the_last():
    gate = anyio.Event()
    async with Relay(FakeGateway(FakeAnswer(then=gate)), book := FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            with anyio.fail_after(5):
                async with client.stream("POST", CHAT, json={**PROMPT, "stream": True}) as answer:
                    pieces = answer.aiter_bytes()
                    assert await anext(pieces) == b"data: first\n\n"
                    assert not book.closed
                    gate.set()
                    assert [piece async for piece in pieces] == [b"data: last\n\n"]
                await book.closed_one.wait()
    assert book.closed[1].cost_usd == 0.25


async def test_a_caller_who_hangs_up_ends_the_stream_and_what_is_known_is_written_down():
    answer, book = FakeAnswer(then=anyio.Event()), FakeBook()
    async with Relay(FakeGateway(answer), book) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            async with client.stream("POST", CHAT, json={**PROMPT, "stream": True}) as response:
                await anext(response.aiter_bytes())
        with anyio.fail_after(5):
            await answer.left.wait()
            await book.closed_one.wait()
    assert book.closed[1].provider == "acme"


async def test_the_relay_ends_soon_with_a_stream_open_and_closes_its_row():
    answer, book = FakeAnswer(then=anyio.Event()), FakeBook()
    async with caller(Endpoint.model_validate({"base_url": "http://127.0.0.1", "token": "x"})) as client:
        with anyio.fail_after(5):
            async with Relay(FakeGateway(answer), book) as relay:
                endpoint = relay.endpoint("t", attempt=1, model="m")
                request = client.build_request(
                    "POST",
                    endpoint.base_url + CHAT,
                    json={**PROMPT, "stream": True},
                    headers={"x-api-key": endpoint.token.get_secret_value()},
                )
                response = await client.send(request, stream=True)
                pieces = response.aiter_bytes()
                await anext(pieces)
            assert answer.left.is_set()
            await book.closed_one.wait()
            with pytest.raises(httpx.TransportError):
                await anext(pieces)


@pytest.mark.parametrize(("path", "start"), [(MESSAGES, "event: error\ndata: "), (CHAT, "data: ")])
async def test_what_breaks_a_stream_is_its_last_event_in_the_callers_dialect(path: str, start: str):
    async with Relay(FakeGateway(FakeAnswer(then=refusal(529))), book := FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            text = (await client.post(path, json={**PROMPT, "stream": True})).text
    first, _, last = text.partition("\n\n")
    assert first == "data: first"
    assert json.loads(last.removeprefix(start))["error"]["message"] == "no luck"
    assert book.closed


@pytest.mark.parametrize(("status", "again"), [(401, False), (402, False), (403, False), (504, False), (503, True)])
async def test_a_caller_is_told_not_to_try_again_what_is_refused_again_or_takes_as_long(status: int, again: bool):
    async with Relay(FakeGateway(refusal(status)), FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            answer = await client.post(MESSAGES, json=PROMPT)
    assert (answer.headers.get("x-should-retry") != "false") is again


async def test_who_asks_on_after_an_answer_that_fell_silent_is_refused_once_without_a_call():
    gateway = FakeGateway(FakeAnswer(then=refusal(504)))
    async with Relay(gateway, FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            first = await client.post(MESSAGES, json={**PROMPT, "stream": True})
            gateway.answer = FakeAnswer({"answer": 42})
            second, third = [await client.post(MESSAGES, json=PROMPT) for _ in range(2)]
    assert "no luck" in first.text
    assert (second.status_code, second.headers["x-should-retry"]) == (504, "false")
    assert third.json() == {"answer": 42}
    assert len(gateway.bodies) == 2


async def test_a_fault_of_ours_still_closes_the_row():
    async with Relay(FakeGateway(RuntimeError("a bug")), book := FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            assert (await client.post(CHAT, json=PROMPT)).status_code == 500
    assert book.closed[1].cost_usd is None


async def test_tokens_are_counted_without_a_model_call():
    gateway = FakeGateway(FakeAnswer({}))
    async with Relay(gateway, FakeBook()) as relay:
        async with caller(relay.endpoint("t", attempt=1, model="m")) as client:
            answer = await client.post(f"{MESSAGES}/count_tokens", json=PROMPT)
    assert 5 < answer.json()["input_tokens"] < 50
    assert not gateway.bodies


def test_every_kind_of_block_survives_being_told_as_events():
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "好"},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}},
        {"type": "redacted_thinking", "data": "x"},
    ]
    message = {"id": "m", "content": content, "stop_reason": "tool_use", "usage": {"output_tokens": 9}}
    told = [json.loads(event.decode().partition("data: ")[2]) for event in message_events(message)]
    assert told[0]["message"]["content"] == []
    assert rebuilt(told) == content
    assert (told[-2]["delta"]["stop_reason"], told[-2]["usage"]) == ("tool_use", {"output_tokens": 9})
    assert told[-1]["type"] == "message_stop"


def rebuilt(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put a message together as a client does."""
    blocks: list[dict[str, Any]] = []
    for event in told:
        if event["type"] == "content_block_start":
            blocks.append(event["content_block"])
        elif event["type"] == "content_block_delta":
            delta = {key: value for key, value in event["delta"].items() if key != "type"}
            spelled = delta.pop("partial_json", None)
            blocks[event["index"]] |= delta if spelled is None else {"input": json.loads(spelled)}
    return blocks


async def test_a_piece_goes_out_at_once_and_waits_for_no_acknowledgement_of_the_one_before():
    """Else each answer costs 40 ms: https://datatracker.ietf.org/doc/html/rfc1122#page-96 (delayed acknowledgement)."""
    set_so: list[int] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        connection = cast("Any", send).__self__.transport.get_extra_info("socket")
        set_so.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await Response()(_scope, _receive, send)

    async with serving(app) as port, httpx.AsyncClient() as client:
        await client.get(f"http://127.0.0.1:{port}")
    assert set_so[0] != 0

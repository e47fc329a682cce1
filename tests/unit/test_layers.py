"""From layer to layer: who is asked after one that answers as no model API does, and who is passed over."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import pytest

from omni_mcp.llm.base import Answer, Dialect, ModelError, Refusal, Spent
from omni_mcp.llm.layers import FIRST_REST, LONGEST_REST, WithLayers
from omni_mcp.llm.routes import named, order_of
from omni_mcp.llm.substance import says_something
from omni_mcp.task import FailureClass

LAYERS = ("one", "two", "three")


class Clock:
    """Told time, in seconds."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Said:
    """An answer, whole or in pieces; `breaks` comes after the first piece."""

    def __init__(self, layer: str, *, stream: bool, breaks: ModelError | None = None) -> None:
        self.body = None if stream else {"layer": layer}
        self._layer = layer
        self._breaks = breaks

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield self._layer.encode()
        if self._breaks is not None:
            raise self._breaks

    def spent(self) -> Spent:
        return Spent(model="an-id", route=self._layer)


Fails = Callable[[str], ModelError | None]


class FakeLiteLLM:
    """Serves a group by its first layer, else the layer that is asked for; layers fail as they are told."""

    name = "fake"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: dict[str, ModelError] = {}
        self.breaks: dict[str, ModelError] = {}
        self.known: Sequence[str] = LAYERS

    async def layers(self, model: str) -> Sequence[str]:
        return self.known if model == "auto" else ()

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        del dialect, task_type, beta
        self.asked.append(body["model"])
        layer = "one" if body["model"] == "auto" else body["model"]
        if layer in self.fails:
            raise self.fails[layer]
        return Said(layer, stream=bool(body.get("stream")), breaks=self.breaks.get(layer))

    async def aclose(self) -> None:
        self.asked.append("closed")


def odd(layer: str | None = "one", kind: FailureClass = FailureClass.PROVIDER, **more: Any) -> ModelError:
    return ModelError(f"{layer} is odd", status=502, kind=kind, layer=layer, **more)


async def heard(answer: Answer) -> Sequence[bytes]:
    """Return the pieces of a stream."""
    return [chunk async for chunk in answer.chunks()]


class House:
    """The layers of a LiteLLM that does as told."""

    def __init__(self) -> None:
        self.clock, self.litellm = Clock(), FakeLiteLLM()
        self.gateway = WithLayers(self.litellm, now=self.clock)

    async def call(self, **more: Any) -> Answer:
        return await self.gateway.call(Dialect.OPENAI, {"model": "auto", **more})

    def asked(self) -> Sequence[str]:
        """Return who was asked since the last look."""
        asked, self.litellm.asked = self.litellm.asked, []
        return asked


@pytest.fixture
def house() -> House:
    return House()


async def test_a_model_whose_layers_serve_is_left_to_litellm(house: House):
    for _ in range(3):
        await house.call()
    assert house.asked() == ["auto"] * 3


async def test_a_layer_that_answers_nothing_is_followed_by_the_next_and_passed_over_for_a_while(house: House):
    house.litellm.fails["one"] = odd()
    answer = await house.call()
    assert (answer.body, answer.spent().model, answer.spent().route) == ({"layer": "two"}, "auto", "two")
    await house.call()
    assert house.asked() == ["auto", "two", "two"]


async def test_one_call_at_a_time_tries_a_layer_that_has_rested_and_each_relapse_makes_it_rest_twice_as_long(
    house: House,
):
    house.litellm.fails["one"] = odd(None)
    house.litellm.fails["one"].layer = "one"
    rest = FIRST_REST
    await house.call()
    for _ in range(5):
        house.asked()
        house.clock.at += rest - 1
        await house.call()
        assert house.asked() == ["two"], "it still rests"
        house.clock.at += 1
        await house.call()
        await house.call()
        assert house.asked() == ["one", "two", "two"], "the first call tries it, the next one does not"
        rest = min(rest * 2, LONGEST_REST)
    house.litellm.fails.clear()
    house.clock.at += rest
    await house.call()
    await house.call()
    assert house.asked() == ["one", "auto"], "it serves again"


async def test_a_stream_that_breaks_is_the_layers_own_fault_and_the_next_call_goes_elsewhere(house: House):
    house.litellm.breaks["one"] = odd()
    answer = await house.call(stream=True)
    with pytest.raises(ModelError) as caught:
        await heard(answer)
    assert caught.value.elsewhere, "says nothing of LiteLLM as a whole"
    again = await house.call(stream=True)
    assert await heard(again) == [b"two"]


async def test_with_one_layer_alone_its_break_is_that_of_litellm(house: House):
    house.litellm.known = ("one",)
    house.litellm.breaks["one"] = odd()
    with pytest.raises(ModelError) as caught:
        await heard(await house.call(stream=True))
    assert not caught.value.elsewhere


async def test_what_a_layers_rules_forbid_is_asked_of_the_next_one_and_no_layer_rests(house: House):
    house.litellm.fails["one"] = odd(None, FailureClass.TASK, refuses=Refusal.POLICY)
    assert (await house.call()).body == {"layer": "two"}
    house.litellm.fails.clear()
    await house.call()
    assert house.asked() == ["auto", "two", "auto"]


@pytest.mark.parametrize("kind", [FailureClass.PROVIDER, FailureClass.TASK, FailureClass.RATE_LIMIT])
async def test_what_litellm_says_of_all_its_layers_is_said_on(house: House, kind: FailureClass):
    house.litellm.fails["one"] = odd(None, kind)
    with pytest.raises(ModelError):
        await house.call()
    assert house.asked() == ["auto"]


async def test_when_no_layer_serves_the_first_ones_word_counts_and_each_was_asked_once(house: House):
    house.litellm.fails = {layer: odd(layer, kind) for layer, kind in zip(LAYERS, FailureClass, strict=False)}
    house.litellm.fails["one"] = odd()
    house.litellm.fails["two"] = odd(None)
    with pytest.raises(ModelError, match="one is odd"):
        await house.call()
    assert house.asked() == ["auto", "two", "three"]
    with pytest.raises(ModelError):
        await house.call()


async def test_no_other_layer_is_begun_after_the_deadline(house: House):
    house.litellm.fails = {layer: odd(layer) for layer in LAYERS}
    late = WithLayers(house.litellm, deadline=0, now=house.clock)
    with pytest.raises(ModelError):
        await late.call(Dialect.OPENAI, {"model": "auto"})
    assert house.asked() == ["auto"]


async def test_a_model_whose_layers_nobody_knows_fails_as_it_did(house: House):
    house.litellm.fails["other"] = odd("one")
    with pytest.raises(ModelError):
        await house.gateway.call(Dialect.OPENAI, {"model": "other"})
    assert house.asked() == ["other"]
    await house.gateway.aclose()
    assert house.asked() == ["closed"]


PIECES: Sequence[tuple[Dialect, Mapping[str, Any], bool]] = [
    (Dialect.OPENAI, {"choices": [{"delta": {"role": "assistant", "content": ""}}]}, False),
    (Dialect.OPENAI, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, False),
    (Dialect.OPENAI, {"choices": "?"}, False),
    (Dialect.OPENAI, {"choices": [{"delta": {"content": "a"}}]}, True),
    (Dialect.OPENAI, {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}, True),
    (Dialect.OPENAI, {"choices": [{"delta": {"reasoning_content": "hm"}}]}, True),
    (Dialect.ANTHROPIC, {"type": "message_start", "message": {}}, False),
    (Dialect.ANTHROPIC, {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, False),
    (Dialect.ANTHROPIC, {"type": "content_block_start", "content_block": {"type": "tool_use"}}, True),
    (Dialect.ANTHROPIC, {"type": "content_block_delta", "delta": {"type": "text_delta"}}, True),
    (Dialect.ANTHROPIC, {"type": "ping"}, True),
    (Dialect.ANTHROPIC, {"type": "message_stop"}, False),
]


@pytest.mark.parametrize(("dialect", "piece", "says"), PIECES)
def test_the_first_word_of_a_stream_is_known_by_its_piece(dialect: Dialect, piece: Mapping[str, Any], says: bool):
    assert says_something(dialect, piece) is says


def test_a_layer_is_named_by_its_model_and_place_without_what_stands_before_an_at_sign():
    assert named({"model": "openai/gpt-5", "api_base": "http://me:key@api.example:3000/v1"}) == (
        "openai/gpt-5 at api.example:3000"
    )
    assert named({"model": "anthropic/claude"}) == "anthropic/claude"
    assert sorted([{"order": 2}, {}, {"order": 1}], key=order_of) == [{"order": 1}, {"order": 2}, {}]

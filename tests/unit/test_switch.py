"""Who serves each call, by mode, and what the monitor hears of it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import httpx
import pytest

from omni_mcp.app.watch import Hearing, Watch
from omni_mcp.budget import Allowance
from omni_mcp.decide.health import Health, Verdict
from omni_mcp.decide.modes.state import LITELLM, Called, ModeState, Seen, Setup
from omni_mcp.decide.permit import Serves
from omni_mcp.home import Home
from omni_mcp.llm.base import Dialect, ModelError, Spent
from omni_mcp.llm.relay import Relay
from omni_mcp.servers_file.models import Gateway, Models
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings
from omni_mcp.switch import ProviderDoors, Switch
from omni_mcp.task import FailureClass, Mode, Usage
from omni_mcp.testing import START, FakeModes, ToldClock

BODY: Mapping[str, Any] = {"model": "auto-chat", "messages": []}
SETUP = Setup(providers=("anthropic",), probed=False)
DOWN = ModelError("overloaded", status=529, kind=FailureClass.PROVIDER)
DEGRADED = ModeState(
    mode=Mode.DEGRADED, since=START, probe_at=START, fault=Verdict.UPSTREAM, trial_at=START + timedelta(minutes=1)
)
BRAINSTEM = replace(DEGRADED, mode=Mode.BRAINSTEM)


@dataclass
class FakeAnswer:
    """Streams when `breaks` is set, and breaks then."""

    provider: str
    breaks: ModelError | None = None

    @property
    def body(self) -> Mapping[str, Any] | None:
        return {"by": self.provider} if self.breaks is None else None

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield b"data: first\n\n"
        if self.breaks is not None:
            raise self.breaks

    def spent(self) -> Spent:
        return Spent(model="m", provider=self.provider)


@dataclass
class FakeGateway:
    """Serves, or fails with what it is told; may keep its callers waiting."""

    name: str
    fails: ModelError | None = None
    breaks: ModelError | None = None
    gate: anyio.Event | None = None
    types: list[str | None] = field(default_factory=list[str | None])
    closed: bool = False

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> FakeAnswer:
        self.types.append(task_type)
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return FakeAnswer(self.name, self.breaks)

    async def aclose(self) -> None:
        self.closed = True


class Ears(FakeModes):
    """Modes that remember what they heard."""

    def __init__(self, clock: ToldClock, setup: Setup = SETUP) -> None:
        super().__init__(clock, setup)
        self.heard: list[Seen] = []

    def saw(self, seen: Seen) -> None:
        self.heard.append(seen)
        super().saw(seen)


@dataclass
class House:
    """A switch with its gateways."""

    clock: ToldClock = field(default_factory=ToldClock)
    litellm: FakeGateway = field(default_factory=lambda: FakeGateway("litellm-proxy"))
    direct: FakeGateway = field(default_factory=lambda: FakeGateway("direct"))
    ears: Ears = field(init=False)
    switch: Switch = field(init=False)

    def __post_init__(self) -> None:
        self.ears = Ears(self.clock)
        self.switch = Switch(self.litellm, self.direct, self.ears, self.clock)

    async def call(self, task_type: str | None = None) -> Any:
        return (await self.switch.call(Dialect.OPENAI, BODY, task_type=task_type)).body


async def test_in_normal_litellm_serves_and_in_degraded_the_providers():
    at = House()
    assert await at.call() == {"by": "litellm-proxy"}
    at.ears.state = DEGRADED
    assert await at.call("coding") == {"by": "direct"}
    assert (at.switch.name, at.direct.types) == ("direct", ["coding"])
    assert at.ears.heard == [Called(target=LITELLM, verdict=Verdict.OK, said="served a call")]


async def test_in_brainstem_nobody_is_asked_and_the_caller_hears_when_to_come_again():
    at = House()
    at.ears.state = BRAINSTEM
    with pytest.raises(ModelError) as refused:
        await at.call()
    assert (refused.value.status, refused.value.kind) == (503, FailureClass.PROVIDER)
    assert refused.value.retry_after == 60
    assert "no cloud answers" in refused.value.message
    assert (at.litellm.types, at.direct.types) == ([], [])


@pytest.mark.parametrize("state", [DEGRADED, BRAINSTEM])
async def test_half_open_lets_exactly_one_of_fifty_callers_through_to_a_dead_backend(state: ModeState):
    at = House(litellm=FakeGateway("litellm-proxy", fails=DOWN, gate=anyio.Event()))
    at.ears.state = replace(state, litellm=Health(successes=1))
    at.ears.setup = replace(SETUP, providers=SETUP.providers if state is DEGRADED else ())
    at.clock.advance(timedelta(minutes=2))
    ends: list[Any] = []

    async def caller() -> None:
        try:
            ends.append(await at.call())
        except ModelError as error:
            ends.append(error.status)

    async with anyio.create_task_group() as callers:
        for _ in range(50):
            callers.start_soon(caller)
        await anyio.wait_all_tasks_blocked()
        assert len(at.litellm.types) == 1
        assert len(ends) == 49
        assert at.litellm.gate is not None
        at.litellm.gate.set()
    assert len(at.litellm.types) == 1
    if state is DEGRADED:
        assert ends == [{"by": "direct"}] * 50
    else:
        assert sorted(ends) == [503] * 49 + [529]
    assert not at.ears.permit().trial


async def test_trials_that_succeed_bring_litellm_back():
    at = House()
    at.ears.state = DEGRADED
    at.clock.advance(timedelta(minutes=2))
    assert [await at.call() for _ in range(3)] == [{"by": "litellm-proxy"}] * 3
    assert at.ears.state.mode is Mode.NORMAL


@pytest.mark.parametrize(
    ("kind", "broken", "verdict"),
    [
        (FailureClass.PROVIDER, False, Verdict.UPSTREAM),
        (FailureClass.PROVIDER, True, Verdict.BROKEN),
        (FailureClass.CONFIG, True, Verdict.BROKEN),
        (FailureClass.AUTH, False, Verdict.REFUSED),
        (FailureClass.CONFIG, False, None),
        (FailureClass.TASK, False, None),
        (FailureClass.RATE_LIMIT, False, None),
    ],
)
async def test_what_counts_against_whom_is_asked(kind: FailureClass, broken: bool, verdict: Verdict | None):
    at = House()
    at.litellm.fails = ModelError("no", status=500, kind=kind, broken=broken)
    with pytest.raises(ModelError):
        await at.call()
    expected = [] if verdict is None else [Called(target=LITELLM, verdict=verdict, said="no")]
    assert at.ears.heard == expected


async def test_a_stream_that_breaks_is_heard_of():
    at = House()
    at.litellm.breaks = DOWN
    answer = await at.switch.call(Dialect.OPENAI, BODY)
    with pytest.raises(ModelError):
        async for _chunk in answer.chunks():
            pass
    assert [seen.verdict for seen in at.ears.heard if isinstance(seen, Called)] == [Verdict.OK, Verdict.UPSTREAM]
    assert answer.spent().provider == "litellm-proxy"


async def test_a_stream_that_breaks_at_a_provider_counts_against_that_one_alone():
    at = House(direct=FakeGateway("openrouter", breaks=DOWN))
    at.ears.state = DEGRADED
    answer = await at.switch.call(Dialect.OPENAI, BODY)
    with pytest.raises(ModelError):
        async for _chunk in answer.chunks():
            pass
    assert at.ears.heard == [Called(target="openrouter", verdict=Verdict.UPSTREAM, said="overloaded")]


TWO = Setup(providers=("anthropic", "openrouter"), probed=False)


def doors(state: ModeState = DEGRADED) -> tuple[ProviderDoors, Ears, ToldClock]:
    ears = Ears(clock := ToldClock(), TWO)
    ears.state = state
    return ProviderDoors(ears), ears, clock


def failed(at: ProviderDoors, provider: str, error: ModelError = DOWN) -> None:
    with pytest.raises(ModelError), at.through(provider):
        raise error


def test_a_provider_that_fails_call_after_call_is_left_alone_and_the_other_is_not():
    at, ears, _ = doors()
    failed(at, "anthropic")
    assert at.opens("anthropic")
    failed(at, "anthropic")
    assert [at.opens(name) for name in TWO.providers] == [False, True]
    with at.through("openrouter"):
        pass
    assert ears.permit().providers == ("openrouter",)
    assert (ears.state.mode, ears.state.round_at) == (Mode.DEGRADED, None)
    assert [health.upstream for health in ears.state.providers.values()] == [2, 0]


def test_after_an_interval_exactly_one_call_tries_it_and_what_it_finds_decides():
    at, ears, clock = doors()
    for _ in range(2):
        failed(at, "anthropic")
    for served in (False, True):
        clock.advance(timedelta(seconds=29))
        assert not at.opens("anthropic")
        clock.advance(timedelta(seconds=1))
        assert at.opens("anthropic")
        with suppress(ModelError), at.through("anthropic"):
            assert not any(at.opens("anthropic") for _ in range(49))
            if not served:
                raise DOWN
        assert at.opens("anthropic") is served
    assert ears.permit().providers == TWO.providers


def test_a_trial_that_is_cancelled_leaves_the_next_one_its_turn():
    at, ears, clock = doors()
    for _ in range(2):
        failed(at, "anthropic")
    clock.advance(timedelta(seconds=30))
    before = len(ears.heard)
    with pytest.raises(KeyboardInterrupt), at.through("anthropic"):
        raise KeyboardInterrupt
    assert at.opens("anthropic")
    assert len(ears.heard) == before


def test_a_refused_key_is_that_of_one_provider():
    at, ears, _ = doors()
    failed(at, "anthropic", ModelError("wrong key", status=401, kind=FailureClass.AUTH))
    assert (ears.permit().providers, ears.permit().serves) == (("openrouter",), Serves.DIRECT)


def test_when_all_fail_the_next_round_is_due_at_once():
    at, ears, _ = doors()
    for name in TWO.providers * 2:
        failed(at, name)
    assert ears.state.round_at == START
    assert not any(at.opens(name) for name in TWO.providers)


def test_a_clock_that_is_set_back_leaves_no_provider_alone_for_a_day():
    at, _, clock = doors()
    for _ in range(2):
        failed(at, "anthropic")
    clock.advance(timedelta(days=-1))
    assert at.opens("anthropic")


class Book:
    """Keeps no usage."""

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:  # pylint: disable=unused-argument
        return usage.attempt

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        assert usage_id == usage.attempt


async def test_a_running_attempt_is_moved_with_its_next_call_and_back():
    at = House()
    async with Relay(at.switch, Book()) as relay:
        endpoint = relay.endpoint("t", attempt=1, model="auto-chat", task_type="coding")
        headers = {"x-api-key": endpoint.token.get_secret_value()}
        async with httpx.AsyncClient(base_url=endpoint.base_url, headers=headers) as client:
            served: list[str] = []
            for state in (at.ears.state, DEGRADED, at.ears.state):
                at.ears.state = state
                served.append((await client.post("/v1/chat/completions", json=BODY)).json()["by"])
    assert served == ["litellm-proxy", "direct", "litellm-proxy"]
    assert at.litellm.closed
    assert at.direct.closed


def test_calls_of_models_that_are_configured_no_more_say_nothing_of_those_of_now(tmp_path: Path) -> None:
    def settings(port: int) -> Settings:
        gateway = Gateway(base_url=f"http://127.0.0.1:{port}")
        return Settings(home=Home(tmp_path), servers=ServersFile(models=Models(gateway=gateway)))

    heard = list[Seen]()
    monitor = SimpleNamespace(saw=heard.append)
    watch = Watch(settings(2), cast("Any", monitor), cast("Any", None))
    call = Called(target=LITELLM, verdict=Verdict.BROKEN, said="503")
    Hearing(watch, settings(1)).saw(call)
    assert heard == []
    Hearing(watch, settings(2)).saw(call)
    assert heard == [call]

"""Each line is a fault, each column a claim: which modes follow, that nothing is lost, who serves, what is told.

In one process with told time: the real monitor, probes, gateways, switch, engine and service on a real ledger, over
stubs on loopback.
"""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from omni_mcp.contract import RunRequest
from omni_mcp.decide.modes.machine import next_probe_at
from omni_mcp.decide.modes.state import Setup
from omni_mcp.dispatch.local import LocalDispatch
from omni_mcp.engine import Engine
from omni_mcp.executors.executor import OnProgress, OnQuestion
from omni_mcp.home import Home
from omni_mcp.keeper import EngineInside
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.llm.base import Dialect, ModelError
from omni_mcp.llm.direct import DirectGateway
from omni_mcp.llm.loopback import serving
from omni_mcp.llm.proxy import ProxyGateway
from omni_mcp.monitor import Monitor
from omni_mcp.presets import mode_setup
from omni_mcp.probes import HttpProbes
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.service.mode import HELD_SHOWN
from omni_mcp.service.service import Service
from omni_mcp.settings import Settings
from omni_mcp.switch import ProviderDoors, Switch
from omni_mcp.task import LOCAL, Completed, Failed, Mode, Outcome, Recovery, TaskState, new_id
from omni_mcp.testing import FakeExecutor, ToldClock, a_spec, engine_for, ledger_for_tests, means_for
from tests.integration.house import free_port

ROW = ExecutorRow(
    url="http://127.0.0.1:9/never-opened", login="relay", handles=("general",), recovery=Recovery.RETRY, parallel=4
)
TICK = timedelta(seconds=10)
DAY = timedelta(days=1)
HOURS = 4
"""Told hours after its end in which everything that a fault has held has to be done."""

ALIVE = "I'm alive!"
CHAT = {"choices": [{"message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}]}
HTML = "<html><title>Sign in</title></html>"
COOLDOWN = {
    "error": {
        "message": "No deployments available for selected model, Try again in 5 seconds.",
        "type": "all_deployments_in_cooldown",
        "code": "429",
    }
}
REFUSED = {"error": {"message": "invalid x-api-key", "type": "authentication_error"}}
OVERLOADED = {"error": {"message": "Overloaded", "type": "overloaded_error"}}
Answer = Callable[[], Response | None]
"""None: it never comes."""


def says(content: Any, status: int = 200) -> Answer:
    """Answer always the same: text as it is, the rest as JSON."""
    return lambda: Response(content, status) if isinstance(content, str) else JSONResponse(content, status)


def hangs() -> None:
    """Never answer."""


def half_lost() -> Answer:
    """Answer every other time, as the dice fall."""
    dice = random.Random(4)  # noqa: S311 - no secret
    return lambda: JSONResponse(ALIVE if dice.random() < 0.5 else "lost")


@dataclass
class Door:
    """A LiteLLM or a provider on loopback, and how it answers now."""

    port: int = field(default_factory=free_port)
    live: Answer = field(init=False)
    models: Answer = field(init=False)
    calls: Answer = field(init=False)
    is_open: bool = False
    served: int = 0
    """Calls that were answered as they should be."""
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def heal(self) -> None:
        """Be there, and well."""
        self.live, self.models, self.calls = says(f'"{ALIVE}"'), says({"data": []}), says(CHAT)
        if not self.is_open:
            await self._open.enter_async_context(serving(self._app(), port=self.port))
        self.is_open = True

    async def shut(self) -> None:
        """Listen no more."""
        await self._open.aclose()
        self._open, self.is_open = AsyncExitStack(), False

    def _app(self) -> Starlette:
        routes = [
            Route("/health/liveliness", self._live),
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._call, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def _live(self, request: Request) -> Response:
        return await _answered(request, self.live)

    async def _models(self, request: Request) -> Response:
        return await _answered(request, self.models)

    async def _call(self, request: Request) -> Response:
        answer = await _answered(request, self.calls)
        self.served += answer.status_code == 200 and answer.body == JSONResponse(CHAT).body
        return answer


async def _answered(request: Request, answer: Answer) -> Response:
    if (found := answer()) is not None:
        return found
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


@dataclass(kw_only=True, eq=False)
class Worker(FakeExecutor):
    """An executor that makes one model call a task."""

    switch: Switch | None = None

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        assert self.switch is not None
        try:
            await self.switch.call(Dialect.OPENAI, {"model": "auto-chat", "messages": []})
        except ModelError as error:
            return Failed(kind=error.kind, message=error.message)
        return Completed(text="done")


@dataclass(kw_only=True)
class World:
    """A house with all that is real, its LiteLLM, its provider, and its time."""

    clock: ToldClock
    ledger: SqliteLedger
    gateway: Door
    provider: Door
    monitor: Monitor
    engine: Engine
    service: Service
    others: list[Monitor] = field(default_factory=list[Monitor])
    """Those of other engines on the same ledger."""
    ids: list[str] = field(default_factory=list[str])

    async def live(self, minutes: float, *, every: timedelta | None = timedelta(seconds=30)) -> None:
        """Let time pass, with a new task every so often."""
        begin = self.clock.now()
        submitted = begin - DAY
        while self.clock.now() - begin < timedelta(minutes=minutes):
            if every is not None and self.clock.now() - submitted >= every:
                submitted = self.clock.now()
                await self.submit()
            await self._step(TICK if every is None else min(TICK, every))

    async def submit(self) -> None:
        """Submit a task."""
        task_id = new_id()
        await self.ledger.submit(a_spec(cwd="/"), task_id=task_id, choice=None)
        self.ids.append(task_id)

    async def _step(self, tick: timedelta) -> None:
        for monitor in (self.monitor, *self.others):
            await monitor.step()
        async with anyio.create_task_group() as attempts:
            await self.engine.step(attempts)
        at = next_probe_at(self.monitor.state, self.monitor.setup)
        left = tick if at is None else at - self.clock.now()
        self.clock.advance(min(tick, max(left, timedelta(seconds=0.5))))

    async def healed(self) -> None:
        """Mend all, and wait until nothing is open and all is as usual."""
        for door in (self.gateway, self.provider):
            await door.heal()
        begin = self.clock.now()
        while await self.ledger.counts() or self.monitor.permit().mode is not Mode.NORMAL:
            await self.live(1, every=timedelta(minutes=1))
            assert self.clock.now() - begin < timedelta(hours=HOURS), await self.service.mode()

    async def modes(self) -> list[str]:
        """Return each change of mode, oldest first."""
        return [change.mode.value for change in reversed(await self.ledger.mode_changes(limit=99))]

    async def account(self) -> str:
        """Return what system_mode tells of the mode."""
        view = await self.service.mode()
        assert view.held_ids is None or view.held is not None
        assert {waits: len(ids) for waits, ids in (view.held_ids or {}).items()} == {
            waits: min(count, HELD_SHOWN) for waits, count in (view.held or {}).items()
        }
        assert view.since <= self.clock.now()
        told = {"mode": view.mode, "cause": view.cause, "text": view.text, **(view.evidence or {})}
        return "; ".join(f"{name} {said}" for name, said in told.items())


@asynccontextmanager
async def world(folder: Path, *, limit: float) -> AsyncGenerator[World]:  # pylint: disable=too-many-locals # the parts of a house
    """Open one, in which all is well; `limit` is that of a probe and of a call through LiteLLM, in real seconds."""
    gateway, provider, clock = Door(), Door(), ToldClock()
    rows = {
        "openrouter": {"base_url": f"http://127.0.0.1:{provider.port}/v1", "key": "sk-x", "models": {"default": "m"}}
    }
    limits = dict.fromkeys(("lite_llm_timeout", "confirm_timeout", "cloud_check_timeout"), limit)
    servers = ServersFile.model_validate(
        {
            "executors": {"worker": ROW},
            "routing": {"default": "worker", "rules": []},
            "models": {"gateway": {"base_url": f"http://127.0.0.1:{gateway.port}", "for": {"default": "auto-chat"}}},
            "direct": rows,
            "fault_handler": limits,
        }
    )
    settings = Settings(home=Home(folder), servers=servers)
    assert servers.models.gateway is not None
    async with ledger_for_tests(folder, clock) as ledger, AsyncExitStack() as stack:
        for door in (gateway, provider):
            stack.push_async_callback(door.shut)
            await door.heal()
        monitor = monitor_for(ledger, settings, clock, owner="one")
        usable = {name: (servers.direct[name], key) for name, key in settings.backup_keys.items()}
        proxy = ProxyGateway(servers.models.gateway, deadline=limit)
        switch = Switch(proxy, DirectGateway(usable, ProviderDoors(monitor)), monitor, clock)
        stack.push_async_callback(switch.aclose)
        worker = Worker(name="worker", row=ROW, switch=switch)
        yield World(
            clock=clock,
            ledger=ledger,
            gateway=gateway,
            provider=provider,
            monitor=monitor,
            engine=engine_for(
                ledger, worker, home=folder, clock=clock, modes=monitor, means=means_for(settings, worker)
            ),
            service=Service(
                ledger=ledger, settings=lambda: settings, dispatch=LocalDispatch(), engines=EngineInside(), clock=clock
            ),
        )


def monitor_for(
    ledger: SqliteLedger, settings: Settings, clock: ToldClock, *, owner: str, setup: Setup | None = None
) -> Monitor:
    return Monitor(
        ledger=ledger,
        setup=setup or mode_setup(settings),
        probes=HttpProbes(settings.servers.models.gateway, settings.servers.direct, settings.backup_keys),
        clock=clock,
        owner=owner,
        is_over=_lives,
        on_change=lambda: None,
        jitter=lambda: 0.0,
    )


async def _lives(_owner: str) -> bool:
    return False


# the faults

Fault = Callable[[World], Awaitable[None]]


async def is_dead(on: World) -> None:
    await on.gateway.shut()
    await on.live(3)


async def loses_half(on: World) -> None:
    on.gateway.live = half_lost()
    await on.live(20, every=timedelta(minutes=2))


async def is_slow(on: World) -> None:
    on.gateway.live = hangs
    await on.live(2, every=timedelta(seconds=5))


async def hangs_wholly(on: World) -> None:
    on.gateway.live = on.gateway.models = on.gateway.calls = hangs
    await on.live(2)


NONSENSE = [HTML, "", {"status": "fine"}, {"choices": "none"}, [1, 2]]


def nonsense() -> Answer:
    """Answer 200 with what no model API says, each time with something else."""
    each = cycle([says(content) for content in NONSENSE])

    def answer() -> Response | None:
        return next(each)()

    return answer


async def talks_nonsense(on: World) -> None:
    on.gateway.live = on.gateway.models = on.gateway.calls = nonsense()
    await on.live(3)


async def talks_nonsense_to_calls_alone(on: World) -> None:
    on.gateway.calls = nonsense()
    await on.live(3)


async def looks_limited(on: World) -> None:
    on.gateway.calls = says(COOLDOWN, 429)
    await on.live(3)


async def all_is_dark_and_looks_limited(on: World) -> None:
    on.gateway.calls = says(COOLDOWN, 429)
    on.provider.models = on.provider.calls = says(OVERLOADED, 529)
    await on.live(3)


async def only_calls_are_dark_everywhere(on: World) -> None:
    on.gateway.calls = on.provider.calls = says(OVERLOADED, 529)
    await on.live(3)


async def backup_key_is_wrong(on: World) -> None:
    await on.gateway.shut()
    on.provider.models = on.provider.calls = says(REFUSED, 401)
    await on.live(3)


async def backup_key_is_wrong_for_calls_alone(on: World) -> None:
    await on.gateway.shut()
    on.provider.calls = says(REFUSED, 401)
    await on.live(3)


async def clock_jumps(on: World) -> None:
    for by in (DAY, -DAY, -DAY, DAY):
        on.clock.advance(by)
        await on.live(1)


async def clock_jumps_while_litellm_is_dead(on: World) -> None:
    await on.gateway.shut()
    await on.live(1)
    await clock_jumps(on)


async def another_engine_has_other_settings(on: World) -> None:
    alone = Setup(litellm=False, probed=False)
    for owner, setup in (("two", alone), ("three", Setup())):
        monitor = monitor_for(on.ledger, on.service.settings(), on.clock, owner=owner, setup=setup)
        on.others.append(monitor)
    await is_dead(on)
    assert [monitor.permit().mode for monitor in on.others] == [Mode.NORMAL, Mode.DEGRADED]


OUT_AND_BACK, DARK_AND_BACK = ["degraded", "normal"], ["brainstem", "normal"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is claimed of a fault."""

    modes: list[str] | int
    """Each change, to the end; or how many there are at most."""
    serves: str | None
    """Who serves during the fault: `litellm`, `direct`, both, or None: nobody."""
    tells: Sequence[str]
    """What stands in the account at the end of the fault."""
    limit: float = 20.0


MATRIX: dict[str, tuple[Fault, Line]] = {
    "is dead": (is_dead, Line(modes=OUT_AND_BACK, serves="direct", tells=["LiteLLM: no connection", "Tasks go on"])),
    # Each stay is twice as long, from a minute to ten: no more than six of them in forty minutes.
    "half of its probes get lost": (loses_half, Line(modes=12, serves="litellm direct", tells=[])),
    "is slow but well": (
        is_slow,
        Line(modes=[], serves="litellm", tells=["mode normal", "no answer in 0.5 s"], limit=0.5),
    ),
    "hangs": (hangs_wholly, Line(modes=OUT_AND_BACK, serves="direct", tells=["no answer in 1 s"], limit=1.0)),
    "answers 200 with nonsense": (
        talks_nonsense,
        Line(modes=OUT_AND_BACK, serves="direct", tells=["what answers there is not LiteLLM (HTTP 200)"]),
    ),
    "is alive, and answers calls with nonsense": (
        talks_nonsense_to_calls_alone,
        Line(modes=OUT_AND_BACK, serves="direct", tells=["as no model API does", "litellm answers"]),
    ),
    "has routes that all rest (429)": (
        looks_limited,
        Line(modes=OUT_AND_BACK, serves="direct", tells=["No deployments available", "litellm answers"]),
    ),
    "has routes that all rest (429), and every cloud is dark": (
        all_is_dark_and_looks_limited,
        Line(modes=DARK_AND_BACK, serves=None, tells=["No deployments available", "openrouter HTTP 529", "go on by"]),
    ),
    "and the clouds open their doors, and every call fails": (
        only_calls_are_dark_everywhere,
        Line(modes=20, serves=None, tells=["Overloaded"]),
    ),
    "is dead, and the backup key is wrong": (
        backup_key_is_wrong,
        Line(modes=OUT_AND_BACK, serves=None, tells=["every backup key is refused (openrouter: answers, and refuses"]),
    ),
    "is dead, and the backup key is wrong, which only calls tell": (
        backup_key_is_wrong_for_calls_alone,
        Line(modes=OUT_AND_BACK, serves=None, tells=["every backup key is refused", "invalid x-api-key"]),
    ),
    "is well, and the clock jumps by days": (clock_jumps, Line(modes=[], serves="litellm", tells=["mode normal"])),
    "is dead, and the clock jumps by days": (
        clock_jumps_while_litellm_is_dead,
        Line(modes=OUT_AND_BACK, serves="direct", tells=["LiteLLM: no connection"]),
    ),
    "is dead, and other engines have other settings": (
        another_engine_has_other_settings,
        Line(modes=OUT_AND_BACK, serves="direct", tells=["LiteLLM: no connection"]),
    ),
}


@pytest.mark.parametrize("name", MATRIX)
async def test_when_litellm(name: str, tmp_path: Path) -> None:
    fault, claims = MATRIX[name]
    async with world(tmp_path, limit=claims.limit) as on:
        await on.live(1)
        await on.live(0.5, every=None)
        assert (await on.modes(), await on.ledger.counts()) == ([], {})
        before = on.gateway.served, on.provider.served
        await fault(on)
        account = await on.account()
        served = {"litellm": on.gateway.served > before[0], "direct": on.provider.served > before[1]}
        await on.healed()
        modes = await on.modes()
        tasks = [await on.ledger.find(task_id, principal=LOCAL) for task_id in on.ids]
    if isinstance(claims.modes, int):
        assert len(modes) <= claims.modes
    else:
        assert modes == claims.modes
    assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert sum(task.faults for task in tasks) == 0
    assert [who for who, did in served.items() if did] == (claims.serves or "").split()
    assert [words for words in claims.tells if words not in account] == [], account

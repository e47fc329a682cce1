"""The acts: LiteLLM is killed and comes back, then all clouds go dark and return; tasks come all the while."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from fastmcp import Client

from omni_mcp.demo.answers import RELEASE_STEPS
from omni_mcp.demo.cloud import DROP, OK
from omni_mcp.demo.faults.books import read_books
from omni_mcp.demo.faults.screen import FaultScreen
from omni_mcp.demo.faults.stage import FaultStage, open_all
from omni_mcp.demo.faults.timeline import Deed, moments
from omni_mcp.demo.stage import until
from omni_mcp.demo.story import ask
from omni_mcp.task import TERMINAL, Mode, TaskState, WaitingFor
from omni_mcp.views.mode import ModeView
from omni_mcp.views.result import ResultView
from omni_mcp.views.task import TaskView

RELEASE = "Release the storefront: pack it, ship it, check it, announce it"
"""The coding task, which runs over the whole outage."""

BEFORE, DEGRADED, BETWEEN, DARK = 2, 3, 2, 5
"""How many orders are submitted in each act, besides the first one in the dark, which meets it."""

NIGHT = 6.0
"""Seconds that it stays dark once everything waits: two intervals, in which nothing may happen."""

LOOK_AGAIN = 0.3


@dataclass(kw_only=True)
class Telling:
    """What we did, and how far that and the ledger have been told."""

    stage: FaultStage
    screen: FaultScreen
    began: float = field(default_factory=time.time)
    deeds: list[Deed] = field(default_factory=list[Deed])
    told: set[tuple[float, str, Sequence[str]]] = field(default_factory=set[tuple[float, str, Sequence[str]]])

    def did(self, what: str) -> None:
        """Write down what we did."""
        self.deeds.append(Deed(at=time.time(), what=what))

    def tell(self) -> None:
        """Show what is new."""
        happened = moments(read_books(self.stage.home.ledger), self.deeds)
        self.screen.happened([each for each in happened if each.key not in self.told], began=self.began)
        self.told.update(each.key for each in happened)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was seen from outside, through MCP; the release comes first."""

    submitted: Sequence[TaskView]
    """In the order of `acts`."""
    acts: Sequence[str]
    """In which mode each was submitted; the one that met the darkness counts as `met`."""
    held: Sequence[TaskView]
    """The same tasks, when all that were open waited."""
    ended: Sequence[TaskView]
    release: ResultView
    deeds: Sequence[Deed]
    began: float


@dataclass(kw_only=True)
class Play:
    """The play while it is played."""

    stage: FaultStage
    client: Client[Any]
    telling: Telling
    submitted: list[TaskView] = field(default_factory=list[TaskView])
    acts: list[str] = field(default_factory=list[str])

    async def hand_off(self, act: str, count: int) -> Sequence[TaskView]:
        """Submit some orders."""
        return [await self._submit(_order(len(self.submitted)), "general", act) for _ in range(count)]

    async def release(self) -> TaskView:
        """Submit the coding task."""
        return await self._submit(RELEASE, "coding", Mode.NORMAL, cwd=str(self.stage.project))

    async def _submit(self, text: str, kind: str, act: str, **more: Any) -> TaskView:
        task = await ask(self.client, "submit_task", TaskView, description=text, type=kind, **more)
        self.submitted.append(task)
        self.acts.append(act)
        return task

    async def look(self, task: TaskView) -> TaskView:
        """Ask where a task stands."""
        return await ask(self.client, "task_status", TaskView, task_id=task.task_id)

    async def completed(self, tasks: Sequence[TaskView]) -> Sequence[TaskView]:
        """Wait until these are over, without a hand of ours."""
        return [await self._seen(task, lambda seen: seen.state in TERMINAL) for task in tasks]

    async def held(self) -> Sequence[TaskView]:
        """Wait until everything that is open waits for a cloud."""
        seen = [await self._seen(task, _rests) for task in self.submitted]
        return seen if all(map(_rests, seen)) else await self.held()

    async def _seen(self, task: TaskView, enough: Callable[[TaskView], bool]) -> TaskView:
        while True:
            if enough(seen := await self.look(task)):
                return seen
            await anyio.sleep(LOOK_AGAIN)

    async def in_mode(self, mode: Mode) -> None:
        """Wait until a mode holds."""
        while True:
            if (await ask(self.client, "system_mode", ModeView)).mode is mode:
                return
            await anyio.sleep(LOOK_AGAIN)

    async def step(self, number: int, *, after: str | None = None) -> None:
        """Wait until a step of the release has begun; `after` is the cue on which the one before it ends."""
        if after is not None:
            self.stage.cue(after)
        begun = f"{RELEASE_STEPS[number]} begin"
        await until(lambda: any(line.startswith(begun) for line in self.stage.work_log))


def _order(number: int) -> str:
    return f"Order {number}: write the confirmation" if number % 2 else f"订单 {number}：写一份确认"


def _rests(task: TaskView) -> bool:
    return task.state in TERMINAL or _waits(task)


def _waits(task: TaskView) -> bool:
    return task.state is TaskState.WAITING and task.waiting_for is WaitingFor.CLOUD


async def play(stage: FaultStage, screen: FaultScreen) -> Story:
    """Play it all. Raises BrokenOff, NotUp, ToolError. The caller bounds it."""
    with screen.working("the LiteLLM proxy and two clouds are starting: 6 to 35 s, longer the first time"):
        await open_all(stage)
    telling = Telling(stage=stage, screen=screen)
    telling.did(f"LiteLLM serves (pid {_pid(stage)}), two clouds behind it")
    async with stage.client() as client:
        it = Play(stage=stage, client=client, telling=telling)
        screen.act("Normal: LiteLLM serves")
        await it.release()
        async with _told(telling):
            await _litellm_dies(it)
            await _litellm_returns(it)
            await _all_clouds_go_dark(it)
            held = await it.held()
            screen.act(f"{sum(map(_waits, held))} tasks wait, none failed; it stays dark")
            await anyio.sleep(NIGHT)
            await _the_clouds_return(it)
        ended = [await it.look(task) for task in it.submitted]
        release = await ask(client, "task_result", ResultView, task_id=ended[0].task_id)
    return Story(
        submitted=it.submitted,
        acts=it.acts,
        held=held,
        ended=ended,
        release=release,
        deeds=telling.deeds,
        began=telling.began,
    )


async def _litellm_dies(it: Play) -> None:
    await it.step(1)
    await it.completed(await it.hand_off(Mode.NORMAL, BEFORE))
    it.telling.screen.act(f"kill -9 {_pid(it.stage)}: the LiteLLM proxy dies")
    pid = await it.stage.gateway.kill()
    it.telling.did(f"the LiteLLM proxy is killed (kill -9 {pid})")
    await it.in_mode(Mode.DEGRADED)
    orders = await it.hand_off(Mode.DEGRADED, DEGRADED)
    await it.step(2, after="degraded")
    await it.completed(orders)


async def _litellm_returns(it: Play) -> None:
    it.telling.screen.act("The LiteLLM proxy is started again")
    with it.telling.screen.working("the LiteLLM proxy is starting"):
        await it.stage.gateway.start()
    it.telling.did(f"the LiteLLM proxy answers again (pid {_pid(it.stage)})")
    await it.in_mode(Mode.NORMAL)
    orders = await it.hand_off("back", BETWEEN)
    await it.step(3, after="normal")
    await it.completed(orders)


async def _all_clouds_go_dark(it: Play) -> None:
    it.telling.screen.act("All clouds go dark: they hang up on every caller, LiteLLM itself is alive")
    await it.stage.sky(DROP)
    it.telling.did("all clouds go dark")
    await it.hand_off("met", DARK)
    await it.in_mode(Mode.BRAINSTEM)
    it.stage.cue("dark")
    await it.hand_off(Mode.BRAINSTEM, DARK)


async def _the_clouds_return(it: Play) -> None:
    it.telling.screen.act("The clouds return; nobody lifts a finger")
    await it.stage.sky(OK)
    it.telling.did("the clouds answer again")
    await it.completed(it.submitted)
    await it.in_mode(Mode.NORMAL)


def _pid(stage: FaultStage) -> int | None:
    return stage.gateway.process.pid if stage.gateway.process else None


@asynccontextmanager
async def _told(telling: Telling) -> AsyncGenerator[None]:
    """Tell what happens while the body runs, and at its end what is left to tell."""
    async with anyio.create_task_group() as beside:
        beside.start_soon(_tell, telling)
        yield
        beside.cancel_scope.cancel()
    telling.tell()


async def _tell(telling: Telling) -> None:
    while True:
        telling.tell()
        await anyio.sleep(LOOK_AGAIN)

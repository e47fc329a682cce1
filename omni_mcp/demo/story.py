"""The acts of the demo: hand off tasks, close the client, kill the engine in mid step, see who finishes."""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
from fastmcp import Client

from omni_mcp import background
from omni_mcp.demo.answers import HELLO_STEPS
from omni_mcp.demo.books import read_states
from omni_mcp.demo.screen import Screen
from omni_mcp.demo.stage import Scene, Stage, until
from omni_mcp.errors import OmniError
from omni_mcp.task import TERMINAL, TaskState
from omni_mcp.views.result import ResultView
from omni_mcp.views.task import TaskView
from omni_mcp.views.view import View

CODING = "写一个 Hello World 函数"
OTHERS = ("查一下天气", "Plan a team dinner in three steps: pick a date, choose a menu, list what to buy")

KILLED_IN = HELLO_STEPS[1]
"""The step of the coding task in whose middle the engine is killed."""

UNDER_WAY = (TaskState.IDLE, TaskState.DISPATCHING, TaskState.EXECUTING)

CALM = 1.0
"""Seconds, fewer than that step takes, in which the other tasks may end, so that the kill cuts off no paid call."""

V = TypeVar("V", bound=View)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was seen from outside, through MCP; the coding task comes first."""

    tools: Sequence[str]
    submitted: Sequence[TaskView]
    ended: Sequence[TaskView]
    results: Sequence[ResultView]
    killed: int
    """The pid of the engine that was killed."""
    successor: int | None
    """The pid of the engine that took over."""
    takeover: float
    """Seconds from the kill until the coding task ran again."""
    greeting: str
    """What `hello.py` prints."""


class BrokenOff(OmniError):
    """The story cannot go on."""

    code = "demo"


async def play(stage: Stage, screen: Screen) -> Story:
    """Play it all; everything is told on the screen. Raises BrokenOff, ToolError. The caller bounds it."""
    async with stage.client() as client:
        tools = [tool.name for tool in await client.list_tools()]
        screen.tools(tools)
        await stage.configure()
        submitted = [await _submit(client, stage, text, screen) for text in (CODING, *OTHERS)]
    screen.client_closed()
    killed, killed_at = await _kill(stage, screen, submitted[0].task_id)
    async with stage.client() as client:
        takeover = await _taken_over(client, submitted[0].task_id, killed_at)
        successor = background.view(stage.home).pid
        screen.taken_over(successor, takeover)
        ended = [await _ended(client, task.task_id) for task in submitted]
        results = [await ask(client, "task_result", ResultView, task_id=task.task_id) for task in ended]
    greeting = await _greeting(stage)
    screen.ended(ended, results, greeting)
    return Story(
        tools=tools,
        submitted=submitted,
        ended=ended,
        results=results,
        killed=killed,
        successor=successor,
        takeover=takeover,
        greeting=greeting,
    )


async def ask(client: Client[Any], tool: str, view: type[V], **arguments: Any) -> V:
    """Call a tool and read its structured answer. Raises ToolError for a refusal."""
    answer = await client.call_tool(tool, arguments)
    return view.model_validate(answer.structured_content)


async def _submit(client: Client[Any], stage: Stage, text: str, screen: Screen) -> TaskView:
    where = {"cwd": str(stage.project)} if text == CODING else {}
    task = await ask(client, "submit_task", TaskView, description=text, **where)
    screen.submitted(task)
    return task


@asynccontextmanager
async def telling_steps(stage: Scene, screen: Screen) -> AsyncGenerator[None]:
    """Show the work log as it grows while the body runs."""
    async with anyio.create_task_group() as beside:
        beside.start_soon(_tell_steps, stage, screen)
        yield
        beside.cancel_scope.cancel()


async def _tell_steps(stage: Scene, screen: Screen) -> None:
    while True:
        await until(lambda: len(stage.work_log) > screen.steps_told)
        screen.steps(stage.work_log)


async def _kill(stage: Stage, screen: Screen, task_id: str) -> tuple[int, datetime]:
    """Kill the engine as soon as the work log says that the step has begun; returns its pid and when it was killed."""
    with screen.working("LiteLLM is loading in the engine: some seconds, longer the first time"):
        await until(lambda: _begun(stage) or task_id not in _under_way(stage))
        with anyio.move_on_after(CALM):
            await until(lambda: _under_way(stage) <= {task_id})
    pid = background.view(stage.home).pid
    if not (pid and _begun(stage)):
        raise BrokenOff(f"{KILLED_IN} did not begin: the task is {' · '.join(_standing(stage, task_id))}")
    os.kill(pid, signal.SIGKILL)
    killed_at = datetime.now(UTC)
    screen.steps(stage.work_log)
    screen.killed(pid, KILLED_IN)
    return pid, killed_at


def _under_way(stage: Stage) -> Set[str]:
    return {task_id for task_id, (state, _) in read_states(stage.home.ledger).items() if state in UNDER_WAY}


def _standing(stage: Stage, task_id: str) -> Sequence[str]:
    state, text = read_states(stage.home.ledger)[task_id]
    return [state, text or "no reason given"]


def _begun(stage: Stage) -> bool:
    return any(line.startswith(f"{KILLED_IN} begin") for line in stage.work_log)


async def _taken_over(client: Client[Any], task_id: str, killed_at: datetime) -> float:
    """Wait until a later attempt of the task has been handed to its executor; returns the seconds since the kill."""
    seen = 0
    while True:
        task = await ask(client, "task_status", TaskView, task_id=task_id, wait_seconds=20, since_seq=seen)
        seen = max([seen, *(event.seq for event in task.events or [])])
        if task.attempt > 1 and task.state not in (TaskState.IDLE, TaskState.DISPATCHING):
            return (task.since - killed_at).total_seconds()


async def _ended(client: Client[Any], task_id: str) -> TaskView:
    while True:
        task = await ask(client, "task_status", TaskView, task_id=task_id, wait_seconds=50)
        if task.state in TERMINAL:
            return task
        if task.state is TaskState.WAITING and task.due_at is None:
            raise BrokenOff(f"task {task.task_id} waits for {task.waiting_for}: {task.text}")


async def _greeting(stage: Stage) -> str:
    """Run what the coding task has written."""
    done = await anyio.run_process(
        ["python3", "hello.py"],
        cwd=stage.project,
        env=stage.env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode(errors="replace").strip()

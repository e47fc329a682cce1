"""A home as it may look in the middle of a busy week, written through the ledger's own verbs with a told clock."""

import random
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from omni_mcp.decide.health import Health
from omni_mcp.decide.modes.state import ModeState, begin, dumped
from omni_mcp.home import Home
from omni_mcp.ledger.base import EngineMark, ExecutorHealth
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.question import Asked, QuestionKind
from omni_mcp.task import (
    Choice,
    Completed,
    Failed,
    FailureClass,
    Mode,
    Task,
    TaskSpec,
    TaskState,
    Usage,
    WaitingFor,
    new_id,
)
from omni_mcp.testing import ToldClock

OWNER = "stage"
DAYS = 24
"""Days of costs in the pictures."""
MODELS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "claude_code": (("claude-sonnet-4-6", 0.42), ("claude-haiku-4-5", 0.06)),
    "assistant": (("gpt-5-mini", 0.03), ("qwen3-local", 0.0)),
    "openclaw": (("claude-haiku-4-5", 0.08),),
}
WORK = (
    ("claude_code", "Write the migration for the orders table and test it on a copy"),
    ("assistant", "把昨天的客户反馈整理成三条要点"),
    ("openclaw", "Book the meeting room for Thursday and tell everybody"),
    ("claude_code", "Find out why the nightly build is slow"),
    ("assistant", "Summarise the week’s incidents for the team"),
)
SETTINGS: Mapping[str, Any] = {
    "models": {
        "gateway": {"base_url": "http://127.0.0.1:4000", "for": {"coding": "auto-claude", "general": "auto-chat"}}
    },
    "direct": {
        "anthropic": {
            "base_url": "https://api.anthropic.com",
            "key": "a-key",
            "models": {"coding": "claude-sonnet-4-6"},
        },
        "openrouter": {"base_url": "https://openrouter.ai/api", "key": "a-key", "models": {"general": "qwen3"}},
    },
    "executors": {
        name: {
            "command": sys.executable,
            "args": ["-m", "nothing"],
            "tool": "run",
            "handles": handles,
            "parallel": parallel,
            "recovery": "retry",
        }
        for name, handles, parallel in (
            ("claude_code", ["coding"], 3),
            ("openclaw", ["general"], 2),
            ("assistant", ["general", "research"], 4),
            ("moltworker", ["always_on"], 1),
        )
    },
    "routing": {"default": "assistant"},
    "limits": {"daily_usd": 20},
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Plays what happened, at the times at which it did."""

    ledger: SqliteLedger
    clock: ToldClock
    chance: random.Random

    async def began(self, description: str, executor: str, model: str | None = None, **more: Any) -> Task:
        """Submit a task and bring it to its executor."""
        spec = replace(TaskSpec(description=description, type="general"), **more)
        choice = Choice(executor=executor, requested=executor, model=model, reason=f"type 'general' → {executor}")
        task = (await self.ledger.submit(spec, task_id=new_id(), choice=choice)).task
        return await self.again(task.id, choice)

    async def again(self, task_id: str, choice: Choice) -> Task:
        """Begin an attempt."""
        begun = await self.ledger.begin(task_id, owner=OWNER)
        assert begun is not None  # noqa: S101
        self.clock.advance(timedelta(seconds=2))
        await self.ledger.bind(
            task_id, attempt=begun.attempt, owner=OWNER, choice=choice, endpoint="litellm-proxy", run_id=new_id()
        )
        return await self.ledger.find(task_id, principal=None)

    async def called(self, task: Task, model: str, usd: float | None) -> None:
        """Write down a call of a model."""
        usage = Usage(
            task_id=task.id, attempt=task.attempt, model=model, endpoint="litellm-proxy", provider="anthropic"
        )
        row = await self.ledger.open_usage(usage)
        tokens = {"input_tokens": self.chance.randint(900, 9000), "output_tokens": self.chance.randint(100, 2200)}
        await self.ledger.close_usage(row, replace(usage, cost_usd=usd, price_source="litellm", **tokens))

    async def says(self, task: Task, progress: str) -> None:
        """Let an executor say something."""
        held: dict[str, Any] = {"attempt": task.attempt, "owner": OWNER}
        await self.ledger.checkpoint(task.id, progress=progress, snapshot=None, **held)

    async def over(self, task: Task, state: TaskState = TaskState.COMPLETED, **said: Any) -> None:
        """End a task."""
        outcome = Completed(text=said["text"]) if state is TaskState.COMPLETED else Failed(**said)
        await self.ledger.finish(task.id, attempt=task.attempt, owner=OWNER, state=state, outcome=outcome)

    async def turned(self, state: ModeState, mode: Mode, cause: str) -> None:
        """Change the mode."""
        now = self.clock.now()
        await self.ledger.lead(OWNER, over=None, until=now + timedelta(minutes=1))
        told = dumped(replace(state, mode=mode, since=now, cause=cause))
        await self.ledger.save_mode(OWNER, state=told, mode=mode, cause=cause, notice=f"mode {mode}: {cause}")


@asynccontextmanager
async def staged(home: Home, *, days: int = DAYS) -> AsyncGenerator[str]:
    """Fill a home with a week, and days of costs; yields the id of the task that has most to show."""
    home.servers.write_text(yaml.safe_dump(dict(SETTINGS)), encoding="utf-8")
    now = datetime.now(UTC)
    clock = ToldClock(now - timedelta(days=max(days, 7)))
    async with SqliteLedger(home.ledger, clock=clock) as ledger:
        stage = Stage(ledger, clock, random.Random(7))  # noqa: S311 - the same week each time
        for day in range(days, 0, -1):
            await _a_day(stage, now - timedelta(days=day))
        yield await _today(stage, now)


async def _a_day(stage: Stage, begins: datetime) -> None:
    for hour, (executor, text) in enumerate(stage.chance.sample(WORK, k=4)):
        stage.clock.advance(begins + timedelta(hours=hour * 2) - stage.clock.now())
        model, usd = stage.chance.choice(MODELS[executor])
        task = await stage.began(text, executor, model)
        for _ in range(stage.chance.randint(1, 6)):
            await stage.called(task, model, usd * stage.chance.uniform(0.4, 2.2))
        stage.clock.advance(timedelta(minutes=stage.chance.randint(1, 30)))
        await stage.over(task, text="Done.")


OUTAGES = (
    (5, 9, Mode.DEGRADED, "no connection: refused"),
    (5, 9.4, Mode.NORMAL, "LiteLLM is back"),
    (2, 14, Mode.DEGRADED, "no answer in 1.0 s"),
    (2, 14.3, Mode.BRAINSTEM, "no cloud answers (anthropic: no answer in 10 s); it goes on by itself"),
    (2, 16.5, Mode.DEGRADED, "a cloud answers again: anthropic"),
    (2, 16.8, Mode.NORMAL, "LiteLLM is back"),
)


async def _today(stage: Stage, now: datetime) -> str:
    stage.clock.advance(now - timedelta(days=6) - stage.clock.now())
    for days, hours, mode, cause in OUTAGES:
        at = now - timedelta(days=days) + timedelta(hours=hours - 12)
        stage.clock.advance(at - stage.clock.now())
        await stage.turned(begin(at), mode, cause)
    await _standing(stage, now)
    stage.clock.advance(now - timedelta(minutes=58) - stage.clock.now())
    shown = await _with_a_story(stage)
    stage.clock.advance(now - timedelta(minutes=21) - stage.clock.now())
    await _over(stage)
    stage.clock.advance(now - timedelta(minutes=6) - stage.clock.now())
    await _open(stage)
    return shown


async def _standing(stage: Stage, now: datetime) -> None:
    """Write how everything is now."""
    stage.clock.advance(now - timedelta(minutes=90) - stage.clock.now())
    health = {name: Health(said=said, at=now, successes=9, worked_at=now) for name, said in _SAID}
    state = replace(
        begin(stage.clock.now()),
        litellm=health.pop("litellm"),
        providers=health,
        probe_at=now + timedelta(seconds=24),
        cause="LiteLLM is back",
    )
    await stage.ledger.lead(OWNER, over=None, until=now + timedelta(hours=1))
    said: dict[str, Any] = {"state": dumped(state), "mode": Mode.NORMAL, "cause": "LiteLLM is back"}
    await stage.ledger.save_mode(OWNER, notice="mode normal", **said)
    await stage.ledger.announce(
        EngineMark(owner=OWNER, pid=4711, version="0.1.0", log="~/.local/share/omni-mcp/logs/engine.log",
                   address="127.0.0.1:9", started_at=now, settings="")
    )  # fmt: skip
    trouble = "the gateway at wss://moltworker.example/ws refuses our device; approve it there"
    await stage.ledger.report_health(ExecutorHealth(name="moltworker", usable=False, detail=trouble, seen_at=now))


_SAID = (
    ("litellm", "LiteLLM answers and lists its models"),
    ("anthropic", "served a call"),
    ("openrouter", "HTTP 200"),
)


async def _with_a_story(stage: Stage) -> str:
    """Play the task that outlived a provider, a death and a question."""
    text = "Release the storefront: pack it, check every page against the list, ship it, announce it"
    sonnet = Choice(executor="claude_code", requested="claude_code", model="claude-sonnet-4-6", reason="rule 1: coding")
    task = await stage.began(text, "claude_code", sonnet.model, budget_usd=2.5)
    for step in _steps("pack", 4):
        stage.clock.advance(timedelta(minutes=2))
        await stage.says(task, step)
        await stage.called(task, "claude-sonnet-4-6", 0.031)
    held: dict[str, Any] = {"attempt": 1, "owner": OWNER}
    due = stage.clock.now() + timedelta(minutes=6)
    limit = "the usage limit of the account is reached"
    await stage.ledger.park(task.id, waiting_for=WaitingFor.RESET, text=limit, due_at=due, **held)
    stage.clock.advance(timedelta(minutes=6))
    await stage.ledger.wake_due(cloud=True)
    task = await stage.again(task.id, sonnet)
    stage.clock.advance(timedelta(minutes=5))
    await stage.says(task, "checked 61 of 140 pages")
    await stage.called(task, "claude-sonnet-4-6", 0.22)
    cut = "the engine died; the run goes on in its session"
    await stage.ledger.release(task.id, attempt=2, owner=OWNER, text=cut)
    stage.clock.advance(timedelta(seconds=4))
    task = await stage.again(task.id, sonnet)
    for step in _steps("page", 5):
        stage.clock.advance(timedelta(minutes=4))
        await stage.says(task, step)
        await stage.called(task, "claude-haiku-4-5", 0.012)
    asked = Asked(
        kind=QuestionKind.PERMISSION,
        text="Bash: ./ship.sh --to production\n\nIt replaces the files that customers see.",
    )
    told = {"text": "claude_code asks for permission: Bash", "notice": "a task asks for permission"}
    await stage.ledger.ask(task.id, attempt=3, owner=OWNER, asked=asked, for_people=True, **told)
    return task.id


def _steps(name: str, count: int) -> Iterator[str]:
    for number in range(1, count + 1):
        yield f"{name} {number} of {count} is done"


async def _over(stage: Stage) -> None:
    task = await stage.began("<script>alert('no')</script> Explain what this line would do", "assistant", "gpt-5-mini")
    await stage.called(task, "gpt-5-mini", 0.004)
    await stage.over(task, text="<b>Nothing</b>: it is shown as it is written.")
    task = await stage.began("写一个 Hello World 函数，并说明如何测试", "assistant", "qwen3-local")
    await stage.called(task, "qwen3-local", 0.0)
    await stage.over(task, text="def hello() -> str: …")
    task = await stage.began("Push the tag v2.4.0 to the mirror", "openclaw", "claude-haiku-4-5")
    await stage.over(task, TaskState.FAILED, kind=FailureClass.TASK, message="the mirror refuses the key")
    task = await stage.began("Translate the handbook into French", "openclaw", "claude-haiku-4-5")
    await stage.ledger.request_cancel(task.id, reason=None)
    await stage.over(task, TaskState.CANCELLED, kind=FailureClass.CANCELLED, message="not needed any more")


async def _open(stage: Stage) -> None:
    for executor, text, model, said in (
        ("claude_code", "Find out why the nightly build is slow", "claude-sonnet-4-6", "profiling step 3 of 7: link"),
        ("assistant", "Compare the three offers for the new printers", "gpt-5-mini", "reading offer 2"),
        ("openclaw", "每天早上八点总结 GitHub 通知", "claude-haiku-4-5", "正在读取 42 条通知"),
    ):
        task = await stage.began(text, executor, model)
        await stage.called(task, model, 0.05)
        await stage.says(task, said)
        stage.clock.advance(timedelta(seconds=40))
    task = await stage.began("Order the spare parts", "openclaw", "claude-haiku-4-5")
    unknown = (
        "the engine died while openclaw worked on it, so its outcome is unknown; resume_pending with this task_id "
        "runs it again"
    )
    held: dict[str, Any] = {"attempt": 1, "owner": OWNER}
    await stage.ledger.park(task.id, waiting_for=WaitingFor.CONSENT, text=unknown, **held)
    for text in ("Draft the release notes", "Check the licences of all packages"):
        choice = Choice(executor="assistant", requested="assistant", model=None, reason="default")
        await stage.ledger.submit(TaskSpec(description=text, type="research"), task_id=new_id(), choice=choice)

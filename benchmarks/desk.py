"""Where the scripted dialogues happen: the real face, service, ledger and engine in one process; executors are told."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from fastmcp import Client

from omni_mcp.contract import CancelResult, RunRef, RunRequest
from omni_mcp.decide.modes.state import begin, dumped
from omni_mcp.dispatch.local import LocalDispatch, LocalDoorbell
from omni_mcp.engine import Engine
from omni_mcp.errors import ExecutorLost
from omni_mcp.executors.executor import OnProgress, OnQuestion
from omni_mcp.faces.mcp import create_face
from omni_mcp.home import Home
from omni_mcp.ledger.base import LEAD, EngineMark, Ledger
from omni_mcp.question import Action, Answer, Asked, QuestionKind
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.service.service import Service
from omni_mcp.settings import Settings
from omni_mcp.task import Completed, Failed, FailureClass, Mode, Outcome, TaskSpec
from omni_mcp.testing import FakeExecutor, FakeModes, ToldClock, engine_for, ledger_for_tests, means_for

LONG = "".join(f"line {number}: all of it counts\n" for number in range(2000))
"""What takes several pages."""
WHICH = Asked(
    kind=QuestionKind.INPUT,
    text="Which branch shall I take?",
    schema={"type": "object", "properties": {"branch": {"type": "string"}}, "required": ["branch"]},
)
MAY_I = Asked(kind=QuestionKind.PERMISSION, text="May I run: rm -r build?")
SERVERS: Mapping[str, Any] = {
    "executors": {
        "worker": ExecutorRow(url="http://127.0.0.1:9/never-opened", handles=("general", "coding"), parallel=4),
        "bench": ExecutorRow(url="http://127.0.0.1:9/never-opened", tool="run", handles=("echo",), parallel=4),
    },
    "models": {"gateway": {"base_url": "http://127.0.0.1:9", "for": {"default": "auto"}}},
    "direct": {"anthropic": {"base_url": "http://127.0.0.1:9", "key": "sk-x", "models": {"default": "claude"}}},
    "routing": {"rules": [], "default": "worker"},
}


@dataclass(kw_only=True, eq=False)
class Worker(FakeExecutor):
    """Does what the first word of a task says; what goes wrong at first goes well when it is run again."""

    seen: set[str] = field(default_factory=set[str])

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        """Run one attempt."""
        said = request.description
        first = said not in self.seen
        self.seen.add(said)
        self.requests.append(request)
        self._began.set()
        self._began = anyio.Event()
        on_progress(f"at work on {said}")
        match said.split()[0]:
            case "crash" if first:
                raise ExecutorLost("the executor was killed")
            case "spend" if first:
                why = "the budget of this task is reached, $0.5 of $0.5 spent"
                fix = "resume_pending with this task_id and add_budget_usd raises it"
                return Failed(kind=FailureClass.BUDGET, message=why, fix=fix, partial="half of it")
            case "ask" | "permit":
                assert on_question is not None
                answer = await on_question(WHICH if said.startswith("ask") else MAY_I)
                return Completed(text=f"{answer.action}: {dict(answer.content or {})}")
            case "long":
                return Completed(text=LONG)
            case "hold":
                await self._free.wait()
            case _:
                pass
        return Completed(text=f"done: {said}")

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop."""
        return CancelResult(stopped=True)


@dataclass
class Ringing:
    """An engine that is there, and hears of each task at once."""

    ring: Callable[[], None]
    alive: bool = True
    trouble: str | None = None

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Ring."""
        del seen
        self.ring()
        return None


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A client of the face, and what a dialogue may do behind it."""

    client: Client[Any]
    service: Service
    engine: Engine
    worker: Worker
    clock: ToldClock
    modes: FakeModes

    @property
    def ledger(self) -> Ledger:
        """The one ledger."""
        return self.service.ledger

    async def mode(self, mode: Mode, cause: str) -> None:
        """Have the machine be in a mode."""
        now = self.clock.now()
        self.modes.state = replace(begin(now), mode=mode, cause=cause)
        await self.ledger.lead("engine", over=None, until=now + LEAD)
        await self.ledger.save_mode("engine", state=dumped(self.modes.state), mode=mode, cause=cause, notice=cause)
        self.engine.doorbell.ring()

    async def add(self, task_id: str, description: str) -> None:
        """Have a task with an id of our own choice."""
        spec = TaskSpec(description=description, type="general")
        await self.ledger.submit(spec, task_id=task_id, choice=None)

    async def begun(self) -> None:
        """Wait until a run has begun."""
        await self.worker.begun()

    @property
    def folder(self) -> Path:
        """A folder that is there."""
        return self.engine.settings.home.root

    async def person_allows(self, task_id: str, question_id: str) -> None:
        """Have a person at a terminal say yes."""
        await self.service.answer(task_id, question_id, Answer(action=Action.ACCEPT), person=True)


@asynccontextmanager
async def desk(folder: Path) -> AsyncGenerator[Desk]:
    """Open a desk; its engine is at work until the end."""
    clock, bell = ToldClock(), LocalDoorbell()
    workers = [Worker(name=name) for name in SERVERS["executors"]]
    settings = Settings(home=Home(folder), servers=ServersFile.model_validate(SERVERS))
    async with ledger_for_tests(folder, clock) as ledger:
        modes = FakeModes(clock)
        engine = engine_for(
            ledger, *workers, home=folder, clock=clock, doorbell=bell, modes=modes, means=means_for(settings, *workers)
        )
        service = Service(
            ledger=ledger, settings=lambda: settings, dispatch=LocalDispatch(), engines=Ringing(bell.ring), clock=clock
        )

        @asynccontextmanager
        async def opened() -> AsyncGenerator[Service]:
            yield service

        async with Client(create_face(opened)) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run, name="engine")
            yield Desk(client=client, service=service, engine=engine, worker=workers[0], clock=clock, modes=modes)
            tasks.cancel_scope.cancel()

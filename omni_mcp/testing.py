"""Public fakes: a told clock, a ledger for one test, an executor that answers as told, an engine over all of them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio

from omni_mcp.contract import CancelResult, Health, RunRef, RunRequest
from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.machine import after
from omni_mcp.decide.modes.state import ModeState, Seen, Setup, begin
from omni_mcp.decide.permit import Permit, permit
from omni_mcp.dispatch.local import LocalDoorbell
from omni_mcp.engine import Engine
from omni_mcp.executors.executor import Executor, OnProgress, OnQuestion, ToolInfo
from omni_mcp.executors.pool import Pool
from omni_mcp.home import Home
from omni_mcp.ledger.base import Ledger, ResultPage
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.means import Means
from omni_mcp.memory.base import MemoryStore
from omni_mcp.memory.ledger_store import ledger_store
from omni_mcp.question import Action, Answer, Asked
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.memory import MemorySettings
from omni_mcp.servers_file.routing import Routing
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings
from omni_mcp.task import Clock, Completed, Outcome, Recovery, SystemClock, TaskSpec

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DONE = Completed(text="done")
FAKE_ROW = ExecutorRow(
    url="http://127.0.0.1:9/never-opened", tool="fake", handles=("general",), recovery=Recovery.RETRY, parallel=2
)


class ToldClock:
    """A clock that moves only when it is told to."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the time that was told."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self._now += by


def a_spec(**changes: Any) -> TaskSpec:
    """Return what somebody may ask for; `changes` are fields of TaskSpec."""
    return replace(TaskSpec(description="say hello", type="general"), **changes)


@asynccontextmanager
async def ledger_for_tests(folder: Path, clock: Clock | None = None) -> AsyncGenerator[SqliteLedger]:
    """Open a ledger below `folder`; open it again there to see what another process would see."""
    async with SqliteLedger(folder / "ledger.db", clock=clock) as ledger:
        yield ledger


@dataclass(kw_only=True, eq=False)
class FakeExecutor:
    """An executor that says its lines of progress, waits until it is let go, and answers as told."""

    name: str = "fake"
    outcome: Outcome | Exception = DONE
    """What every run ends with; an exception is raised."""
    says: Sequence[str] = ()
    asks: Sequence[Asked] = ()
    """What each run asks, one after the other, before it ends."""
    heard: list[Answer] = field(default_factory=list[Answer])
    """What was answered."""
    row: ExecutorRow = FAKE_ROW
    """Its row of servers.yaml."""
    held: bool = False
    """True: runs wait for `let_go`."""
    requests: list[RunRequest] = field(default_factory=list[RunRequest])
    cancelled: list[RunRef] = field(default_factory=list[RunRef])
    running: int = 0
    _free: anyio.Event = field(default_factory=anyio.Event)
    _began: anyio.Event = field(default_factory=anyio.Event)

    def let_go(self) -> None:
        """Let the runs end."""
        self._free.set()

    async def begun(self, count: int = 1) -> None:
        """Wait until `count` runs have begun in all."""
        while len(self.requests) < count:
            await self._began.wait()

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        """Run one attempt."""
        self.requests.append(request)
        self._began.set()
        self._began = anyio.Event()
        self.running += 1
        try:
            for line in self.says:
                on_progress(line)
            for asked in self.asks:
                self.heard.append(await on_question(asked) if on_question else Answer(action=Action.CANCEL))
            if self.held:
                await self._free.wait()
        finally:
            self.running -= 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Note who was cancelled."""
        self.cancelled.append(ref)
        return CancelResult(stopped=True)

    async def health(self) -> Health:
        """Be well."""
        return Health(ok=True)

    async def tools(self) -> Sequence[ToolInfo]:
        """Offer one tool."""
        return [ToolInfo(name="fake", description="does as told")]


class FakePool(Pool):
    """A pool of fakes; routing sees their rows."""

    def __init__(self, settings: Settings, executors: Mapping[str, Executor]) -> None:
        super().__init__(settings, owner="fake")
        self._fakes = executors

    def get(self, name: str) -> Executor:
        """Return the fake of that name."""
        return self._fakes[name]


class FakeModes:
    """Modes without probes: what is said of them is taken in by the real machine, `state` may be set."""

    def __init__(self, clock: Clock, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.state: ModeState = begin(clock.now())
        self.litellm = Look(verdict=Verdict.OK, said="answers")
        """What LiteLLM answers after a repair."""
        self._clock = clock

    def permit(self) -> Permit:
        """Say what the state allows."""
        return permit(self.state, self.setup, self._clock.now())

    def saw(self, seen: Seen) -> None:
        """Take it in."""
        self.state = after(self.state, seen, self.setup, now=self._clock.now())

    async def verified(self) -> Look:
        """Answer for LiteLLM."""
        return self.litellm


async def result_of(ledger: Ledger, task_id: str) -> ResultPage | None:
    """Return the whole stored end of a task, None while it is open."""
    whole = 1 << 30
    return await ledger.result_page(task_id, limit=whole, inline=whole)


async def _as_before(_means: Means) -> Means | None:
    return None


def means_for(settings: Settings, *executors: FakeExecutor, memory: MemoryStore | None = None) -> Means:
    """Return the means of an engine over fakes."""
    pool = FakePool(settings, {executor.name: executor for executor in executors})
    return Means(settings=settings, pool=pool, relay=None, memory=memory)


async def _everybody_lives(_owner: str) -> bool:
    return False


def engine_for(
    ledger: Ledger,
    *executors: FakeExecutor,
    home: Path,
    clock: Clock | None = None,
    routing: Routing | None = None,
    memory: MemorySettings | None = None,
    **changes: Any,
) -> Engine:
    """Return an engine over fakes; without `routing` the first of them is the default. `changes` are its fields."""
    servers = ServersFile(
        executors={executor.name: executor.row for executor in executors},
        routing=routing or Routing(rules=(), default=executors[0].name),
        memory=memory or MemorySettings(),
    )
    settings = Settings(home=Home(home), servers=servers)
    fields: dict[str, Any] = {
        "ledger": ledger,
        "means": means_for(settings, *executors, memory=ledger_store(settings, ledger)),
        "clock": clock or SystemClock(),
        "owner": "engine",
        "doorbell": LocalDoorbell(),
        "modes": FakeModes(clock or SystemClock()),
        "is_over": _everybody_lives,
        "renewed": _as_before,
        "exits": False,
        "is_well": lambda: None,
    }
    return Engine(**{**fields, **changes})

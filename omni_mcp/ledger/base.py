"""The ledger port: verbs, not SQL. Each writing verb is one durable, guarded write; each reader never blocks it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from omni_mcp.budget import Allowance, Cell, Cost, Spending
from omni_mcp.ledger.measures import Measures
from omni_mcp.question import Answer, Asked, Question
from omni_mcp.task import (
    Attempt,
    Choice,
    Event,
    FailureClass,
    Memory,
    Mode,
    Outcome,
    Task,
    TaskSpec,
    TaskState,
    Usage,
    WaitingFor,
)

Watermark = tuple[int, int]
"""A point in the life of the ledger, as one process sees it."""

LEAD = timedelta(seconds=60)
"""How long the right to probe holds without renewal."""
LEASE = timedelta(seconds=30)
"""How long a claim holds without renewal; it is renewed at a quarter of this."""
GRACE = timedelta(seconds=10)
"""How much longer others wait where machines share a ledger: the lease is over on the server, and the runs are, too."""
KEPT = timedelta(seconds=20)
"""How long an engine there lets its runs go on without renewal: what is left of the lease is to end them in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The answer to a submit: committed to disk before it is given."""

    task: Task
    deduplicated: bool
    """True: the idempotency key named an earlier task, which is returned."""
    engine: "EngineMark | None"
    """What the newest engine announced, seen in the same transaction: unless it is there, the caller starts one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What of a task is written into the memory when it completes: cut to size, and without secrets."""

    asked: str
    outcome: str
    owed: bool = False
    """True: it is owed to a memory server; False: the ledger keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedMemory:
    """What a task left and a memory server has not taken: a row of its outbox."""

    number: int
    memory: Memory
    due_at: datetime
    tries: int = 0
    trouble: str | None = None
    """Why the last try failed."""
    given_up_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMark:
    """What an engine announced of itself."""

    owner: str
    pid: int
    version: str
    log: str
    address: str
    """Where its doorbell listens: `host:port` on loopback."""
    started_at: datetime
    settings: str = ""
    """The settings file that it reads."""
    gone_at: datetime | None = None
    dismissed_at: datetime | None = None
    """When a newer release asked it to finish what it has and go."""

    @property
    def there(self) -> bool:
        """Whether it has not said goodbye (it may have died)."""
        return self.gone_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorHealth:
    """What the engine last saw of an executor, for faces that hold no session."""

    name: str
    usable: bool
    detail: str
    """Why not, with the fix; or its version."""
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeMark:
    """The mode of the home, as its engine last wrote it, and what a person has set."""

    mode: Mode
    """The one that was in force then; each change of it is in the history."""
    state: str | None
    """All that the machine knows, as JSON; None: no engine has looked yet."""
    prober: str | None
    """The engine that probes."""
    leads_until: datetime | None = None
    """Until when it may, unless it renews that: an engine that is well does so at half of `LEAD`."""
    forced: Mode | None = None
    forced_at: datetime | None = None
    forced_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """One line of the history of modes."""

    at: datetime
    was: Mode
    mode: Mode
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that people are told once; it is kept until that is done."""

    number: int
    at: datetime
    kind: str
    """`mode` (it changed), `engine.crashes` (engines that died right after their start), `question` (a task asks)."""
    text: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The same for programs. Of `mode`: `mode`, `was`, `cause`; of `question`: `task_id`, `kind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A notice on its way through one channel: a row of the outbox."""

    number: int
    notice: Notice
    channel: str
    """The channel's name, which holds no secret."""
    id: str
    """The same at each try, so that a receiver can drop what it has."""
    tries: int
    due_at: datetime
    told_at: datetime | None = None
    given_up_at: datetime | None = None
    trouble: str | None = None
    """Why the last try failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleMark:
    """How far a schedule of servers.yaml is decided, and what became of it last."""

    name: str
    plan: str
    """The cron line and the zone that it was decided by; another one begins anew. Empty: it is switched off."""
    seen_until: datetime
    """Up to here each due time is decided."""
    queued: tuple[datetime, ...] = ()
    """Due times whose run waits for the one before."""
    paused_at: datetime | None = None
    task_id: str | None = None
    """The newest run."""
    task_state: TaskState | None = None
    """How that stands; None: there was none, or it was purged."""
    running: bool = False
    """Whether that is not over."""
    due_at: datetime | None = None
    """When that was due; None: it was run by hand."""
    said: str | None = None
    """What was missed or skipped last, in words."""
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of short rows."""

    tasks: Sequence[Task]
    cursor: str | None
    """Give it back to read on; None at the end."""


ResultPart = Literal["text", "structured", "notes"]
"""What of a stored result is read; `structured` and `notes` as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPage:
    """A page of the stored end of a task, and what of it is small enough to stand beside."""

    text: str
    total_chars: int
    structured: Any = None
    notes: Mapping[str, Any] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    """Characters of `structured` and `notes` as JSON, where they are too large to stand here."""
    error: FailureClass | None = None


class Ledger(Protocol):
    """Everything that must outlive a process.

    Guards: `begin` wants `idle`; `bind` wants `dispatching`; `checkpoint`, `finish`, `park` and `release` want the
    attempt number and owner that hold the task. A guarded verb that finds anything else raises `TransitionRefused`
    (`begin` returns None: somebody was quicker). All raise `LedgerBusy` or `LedgerUnusable` when the disk says no.
    """

    @property
    def shared(self) -> bool:
        """Whether engines of several homes, on machines of their own, may work on it."""
        ...

    # what faces do
    async def submit(self, spec: TaskSpec, *, task_id: str, choice: Choice | None) -> Submitted:
        """Write a new task, or return the one that its idempotency key names.

        One with unfinished tasks in `after` waits for them; one whose `after` failed fails at once. Raises
        IdempotencyConflict, TaskPurged, TaskNotFound and TaskAmbiguous (of `after`), BadRequest for a past deadline.
        """
        ...

    async def run_schedule(self, name: str, *, plan: str, spec: TaskSpec, task_id: str) -> Submitted:
        """Write a task of a schedule that is wanted now. Raises ScheduleRunning while its last run is not over."""
        ...

    async def pause_schedule(self, name: str, *, plan: str, paused: bool) -> EngineMark | None:
        """Pause a schedule, or let it go on from now: what was due in between is not made up.

        Returns the engine that is there, seen in the same transaction.
        """
        ...

    async def request_cancel(self, task_id: str, *, reason: str | None, lives: bool = False) -> Task:
        """Cancel at once what no engine holds (idle, waiting); else leave word for its engine. Terminal: unchanged.

        `lives`: a run of it may live elsewhere, so an engine has to end that first.
        """
        ...

    async def resume(self, task_id: str, *, consent: bool, add_budget_usd: float | None = None) -> None:
        """Move a waiting task to idle; what waits for consent only with `consent`. Raises TransitionRefused.

        A budget that it has is raised in the same write, so that it is raised once.
        What waits for other tasks is refused, and a consent does not make it run before them. What is held against
        executors is forgotten: whoever asks may have mended it.
        """
        ...

    async def answer(self, task_id: str, question_id: str, *, answer: Answer, by: str) -> Task:
        """Write the first answer to a question; after the last one its task goes on.

        It is executing again where its run still lives, else idle. Raises QuestionGone.
        """
        ...

    # what engines do
    async def announce(self, mark: EngineMark) -> None:
        """Make this engine the one that faces see."""
        ...

    async def retire(self, owner: str, *, only_if_idle: bool, scheduled: Collection[str] = ()) -> bool:
        """Mark the engine gone. With `only_if_idle` in one transaction with the check that no task is open.

        What a channel or a memory server is owed counts as open, and each schedule of `scheduled` that is not paused.
        """
        ...

    async def plan_schedule(self, name: str, *, plan: str) -> None:
        """Begin to look at a schedule, from now on; one that is looked at by this plan already stays as it is."""
        ...

    async def unplan_schedules(self, names: Collection[str]) -> None:
        """Forget how far these schedules are decided: they are switched off, or no more."""
        ...

    async def advance_schedule(
        self,
        mark: ScheduleMark,
        *,
        seen_until: datetime,
        queued: Sequence[datetime],
        said: str | None = None,
        run: tuple[datetime, TaskSpec, str] | None = None,
    ) -> Task | None:
        """Move a schedule on from `mark`; with `run` (due time, what is to be done, id) its task is written with it.

        None: no task was written, because none was wanted, the mark has moved, its last run is not over, or that due
        time has its task already.
        """
        ...

    async def dismiss(self, owner: str) -> None:
        """Ask an engine to begin nothing more, give back what can go on elsewhere, finish the rest and go."""
        ...

    async def begin(
        self, task_id: str, *, owner: str, lease: timedelta = LEASE, claimed: Task | None = None
    ) -> Task | None:
        """idle -> dispatching, attempt + 1; spends a consent and its principal's turn. None: it is no longer idle.

        A task that is `claimed` as it was read is not read back; None then also if it was begun since.
        """
        ...

    async def bind(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        choice: Choice,
        endpoint: str,
        run_id: str,
        stays: bool = False,
    ) -> datetime | None:
        """dispatching -> executing: on disk before the executor is told. Returns when its cancel was asked for.

        `stays`: the run leaves on this machine what a later attempt goes on with, so none is begun on another.
        """
        ...

    async def checkpoint(
        self, task_id: str, *, attempt: int, owner: str, progress: str | None, snapshot: Mapping[str, Any] | None
    ) -> bool:
        """Record a sign of life and what a later attempt needs. False: this attempt no longer holds the task."""
        ...

    async def finish(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        state: TaskState,
        outcome: Outcome,
        memory: Remembered | None = None,
    ) -> None:
        """-> completed, failed or cancelled; `memory` is written with it. A refused one is a `late_result` event."""
        ...

    async def park(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        waiting_for: WaitingFor,
        text: str,
        due_at: datetime | None = None,
        fault: bool = False,
        over: bool = False,
    ) -> datetime | None:
        """-> waiting; `fault` adds one to what counts against `max_attempts`, `over` forgets the run id.

        Returns when its cancel was asked for.
        """
        ...

    async def release(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        text: str,
        over: bool = False,
        keep_questions: bool = False,
    ) -> datetime | None:
        """-> idle, with proof that the attempt is over (or never left the house); `over` forgets the run id.

        With `keep_questions` one that waits for an answer goes on waiting for it, as nobody's.
        Returns when its cancel was asked for.
        """
        ...

    async def ask(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        asked: Asked,
        for_people: bool,
        text: str,
        notice: str,
        channels: Sequence[str] = (),
    ) -> Question:
        """executing -> waiting for input, still held; `notice` is owed to the channels.

        The same question may have been answered after the run ended that asked it: then it comes back with its answer,
        once, and nothing waits.
        """
        ...

    async def take_answer(self, task_id: str, question_id: str, *, attempt: int, owner: str) -> bool:
        """Note that the run has the answer, before it is told. False: it is no longer its to have."""
        ...

    async def take_back(self, task_id: str, question_id: str, *, attempt: int, owner: str) -> None:
        """Note that the executor does not wait for an answer any more; without another question it executes again."""
        ...

    async def hold(self, task_id: str, *, waiting_for: WaitingFor, text: str, due_at: datetime | None = None) -> None:
        """idle -> waiting, when routing finds nobody that may take it."""
        ...

    async def wake_due(self, *, cloud: bool) -> int:
        """waiting -> idle for all whose `due_at` has come, those that wait for a cloud only with `cloud`."""
        ...

    async def wake_held(self, *, limit: int) -> int:
        """waiting -> idle for what waits for a cloud, due or not, by priority, then oldest. Returns how many."""
        ...

    async def wake_for_executor(self, *, everyone: bool) -> int:
        """waiting -> idle for what waits for an executor; without `everyone` only what waits for a marked one.

        Returns how many.
        """
        ...

    async def expire(self, *, living: Collection[str] = ()) -> int:
        """-> failed for all idle and waiting tasks whose deadline has come. Returns how many were moved.

        One whose run may live at an executor of `living` is freed instead: an engine has to end that run first.
        """
        ...

    async def queue(self, task_ids: Sequence[str], *, executor: str) -> None:
        """Note that these idle tasks wait their turn at an executor that is full."""
        ...

    async def forget_queues(self) -> None:
        """Forget who waits where: routing may answer differently now."""
        ...

    async def note(self, task_id: str, *, attempt: int, kind: str, text: str) -> None:
        """Add a line to the history."""
        ...

    async def purge(self, before: datetime, *, limit: int = 500) -> int:
        """Remove up to `limit` tasks that were over before, with all that belongs to them; returns how many.

        Their idempotency keys stay, with the word how they ended.
        """
        ...

    async def renew(self, owner: str, *, lease: timedelta = LEASE) -> Sequence[str]:
        """Extend all claims of this owner in one statement; returns the ids it still holds."""
        ...

    async def bury(self, owner: str) -> bool:
        """Take note that an owner is over, of which no lock says here that it lives; from then on it holds nothing.

        False: it is of another home, and has renewed within its lease and `GRACE`, by the clock of the database.
        """
        ...

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:
        """Record that a model call or run begins; returns its row id.

        With an `allowance` in one transaction with the look at what was spent. Raises BudgetReached.
        """
        ...

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        """Record what it used and cost."""
        ...

    async def report_health(self, health: ExecutorHealth) -> None:
        """Tell the faces how an executor is."""
        ...

    async def lead(self, owner: str, *, over: str | None, until: datetime) -> bool:
        """Take or keep the right to probe until then. False: another has it, and is not `over` (proven dead)."""
        ...

    async def save_mode(
        self, owner: str, *, state: str, mode: Mode, cause: str, notice: str, channels: Sequence[str] = ()
    ) -> bool:
        """Keep the machine's state; where `mode` is new, also its change and a notice, owed to each of the channels.

        False: not ours to write.
        """
        ...

    async def force_mode(self, mode: Mode | None, *, until: datetime | None) -> None:
        """Set a mode until then; None lets go of it."""
        ...

    async def told(self, notice: int) -> bool:
        """Note that people were told. False: somebody has done so before."""
        ...

    async def give_notice(self, *, kind: str, text: str, channels: Sequence[str], unless_since: datetime) -> bool:
        """Write a notice, owed to each of the channels. False: one of the kind was written since then."""
        ...

    async def delivered(self, delivery: int) -> None:
        """Note that a channel took it."""
        ...

    async def put_off(self, delivery: int, *, trouble: str, due_at: datetime | None) -> None:
        """Note that a channel did not take it; it is tried again then, or (None) given up."""
        ...

    async def disown(self, channels: Sequence[str]) -> int:
        """Give up what is owed to channels that are not among these. Returns how many."""
        ...

    async def send_again(self, channels: Collection[str]) -> int:
        """Owe these channels once more what was given up. Returns how many deliveries."""
        ...

    async def forget(self, id_or_prefix: str, *, principal: str | None) -> str:
        """Remove the memory of a task; returns whose it was. Raises MemoryUnknown, TaskAmbiguous."""
        ...

    async def memory_taken(self, number: int) -> None:
        """Note that a memory server has it: it is owed no more."""
        ...

    async def keep_memory(self, number: int) -> None:
        """Keep here what was owed to a memory server."""
        ...

    async def put_off_memory(self, number: int, *, trouble: str, due_at: datetime | None) -> None:
        """Note that it was not taken; it is tried again then, or (None) given up: the history of its task says so."""
        ...

    # readers
    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Memory]:
        """Return what tasks of this principal in this project left that shares words with a text, the nearest first."""
        ...

    async def memories(self, text: str | None, *, principal: str | None, limit: int) -> Sequence[Memory]:
        """Return the memories that a principal is shown, the newest first; with a text those nearest to it."""
        ...

    async def owed_memory(self) -> OwedMemory | None:
        """Return what a memory server is owed and was due first."""
        ...

    async def owed_memories(self, *, principal: str | None, limit: int) -> Sequence[OwedMemory]:
        """Return what a memory server is owed, or never took, of what a principal is shown; the newest first."""
        ...

    async def owed_to(self, *, principal: str, project: str | None, limit: int) -> Sequence[Memory]:
        """Return what tasks of this principal in this project left and a memory server is still owed, newest first."""
        ...

    async def find(self, id_or_prefix: str, *, principal: str | None) -> Task:
        """Return a task of a principal, or (None) of any. Raises TaskNotFound, TaskAmbiguous."""
        ...

    async def result_page(
        self, task_id: str, *, offset: int = 0, limit: int, part: ResultPart = "text", inline: int = 0
    ) -> ResultPage | None:
        """Return so many characters of a part of the stored end of a task, None while it is open.

        Of `structured` and `notes` comes along what has at most `inline` characters.
        """
        ...

    async def questions(self, task_id: str) -> Sequence[Question]:
        """Return all that its executors asked, oldest first."""
        ...

    async def events(self, task_id: str, *, since_seq: int = 0, limit: int = 100) -> Sequence[Event]:
        """Return the history after `since_seq`, oldest first; one below zero means the newest so many."""
        ...

    async def attempts(self, task_id: str, *, limit: int) -> Sequence[Attempt]:
        """Return the newest attempts of a task, oldest first."""
        ...

    async def page(
        self, *, principal: str | None, states: Sequence[TaskState] = (), limit: int = 20, cursor: str | None = None
    ) -> Page:
        """Return short rows, newest first; no states means all, no principal those of everybody."""
        ...

    async def claimable(self, *, limit: int, full: Sequence[str] = ()) -> Sequence[Task]:
        """Return idle tasks but those that wait their turn at a `full` executor.

        By priority; within one priority the principals take turns; of one principal the oldest first.
        """
        ...

    async def needs(self, task_id: str) -> Mapping[str, TaskState]:
        """Return the tasks that it is to run after, and where they stand."""
        ...

    async def spending(self, task_id: str, *, executor: str, model: str, since: datetime | None) -> Spending:
        """Return what was spent on a task, and since then in all, by an executor and by a model."""
        ...

    async def costs(self, by: str, *, since: datetime, principal: str | None, limit: int) -> Sequence[Cost]:
        """Return what the calls since then came to, by day, executor, model or task; None: of all principals."""
        ...

    async def cells(self, *, since: datetime, principal: str | None, limit: int) -> Sequence[Cell]:
        """Return the same for each day, executor and model together: the newest day first, then what cost most."""
        ...

    async def measures(self) -> Measures:
        """Return what is counted of the whole."""
        ...

    async def purgeable(self, before: datetime) -> int:
        """Return how many tasks were over before."""
        ...

    async def held(self) -> Sequence[Task]:
        """Return the dispatching and executing tasks of all owners."""
        ...

    async def counts(self, *, principal: str | None = None) -> Mapping[TaskState, int]:
        """Return how many tasks of each open state there are, or a principal has."""
        ...

    async def waits(self, *, principal: str | None = None) -> Mapping[WaitingFor, int]:
        """Return how many tasks, or those of a principal, wait for what."""
        ...

    async def waiting_ids(self, *, principal: str | None, limit: int) -> Mapping[WaitingFor, Sequence[str]]:
        """Return the first `limit` of those that wait for the same, by priority, then the oldest."""
        ...

    async def mode(self) -> ModeMark:
        """Return the mode of the home."""
        ...

    async def mode_changes(self, *, limit: int) -> Sequence[ModeChange]:
        """Return the newest changes of mode, newest first."""
        ...

    async def untold(self) -> Sequence[Notice]:
        """Return what people have not been told yet, oldest first."""
        ...

    async def owed(self, channel: str) -> Delivery | None:
        """Return the oldest delivery that a channel is owed, due or not: notices arrive in their order."""
        ...

    async def any_owed(self) -> bool:
        """Whether any channel is owed a delivery, or a memory server a memory."""
        ...

    async def given_up(self) -> Mapping[str, tuple[int, datetime, str]]:
        """Return of each channel how many deliveries were given up, when last, and why."""
        ...

    async def schedules(self) -> Mapping[str, ScheduleMark]:
        """Return how far each schedule is decided, by name; those of rows that are no more, too."""
        ...

    async def last_deliveries(self) -> Sequence[Delivery]:
        """Return of each channel the oldest delivery that it is owed, else the newest of all."""
        ...

    async def engine(self) -> EngineMark | None:
        """Return what the newest engine announced."""
        ...

    async def health(self) -> Mapping[str, ExecutorHealth]:
        """Return the executors' health by name."""
        ...

    async def watermark(self) -> Watermark:
        """Return where the ledger stands; take it before you look, and give it to `changed`."""
        ...

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        """Return when anything was written since, by this process or another; False at the timeout."""
        ...

    def look(self) -> None:
        """Have `changed` look at once for what other processes wrote: somebody says that there is something."""
        ...

"""The engine: claim → route → bind → run → settle. Decisions are pure functions; this only carries them out."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup

from omni_mcp.attempt import Attempt, Endpoints
from omni_mcp.budget import BudgetReached
from omni_mcp.decide.budgets import limits_of
from omni_mcp.decide.health import Verdict
from omni_mcp.decide.modes.state import Needless, Ran
from omni_mcp.decide.permit import Monitoring, Permit
from omni_mcp.decide.recovery import after_death, bound_to, continues
from omni_mcp.decide.repair import is_over, nobody_else, verdict
from omni_mcp.decide.retry import Finish, attempts_of
from omni_mcp.decide.routing import Route
from omni_mcp.decide.stopping import stopped, stops
from omni_mcp.decide.times import in_words
from omni_mcp.dispatch.base import Doorbell
from omni_mcp.errors import LedgerError, TransitionRefused
from omni_mcp.executors.pool import Pool
from omni_mcp.ledger.base import KEPT, LEASE, ExecutorHealth, Ledger
from omni_mcp.logs import within
from omni_mcp.memory.base import MemoryStore
from omni_mcp.presets import ExecutorSpec, model_of, routed
from omni_mcp.purse import Purse
from omni_mcp.remembering import Remembering
from omni_mcp.scheduled import has_work
from omni_mcp.servers_file.direct import dialect_of
from omni_mcp.settings import Settings
from omni_mcp.settle import settle, until_written
from omni_mcp.task import (
    LADDER,
    SYSTEM_REPAIR,
    Choice,
    Clock,
    Completed,
    Failed,
    FailureClass,
    Mode,
    Outcome,
    Recovery,
    Task,
    TaskState,
    WaitingFor,
)
from omni_mcp.this_machine import uptime

logger = logging.getLogger(__name__)

End = Literal["idle", "upgrade"]
"""Why an engine ended by itself."""

POLL = 1.0
"""Seconds between two looks when nobody rings: a lost nudge costs no more than this."""
RENEW = LEASE / 4
SWEEP = timedelta(seconds=5)
"""How often we look for tasks whose engine is gone."""
MARK = timedelta(seconds=60)
"""How long an executor that could not work is left alone before it is tried again."""
CLAIM_WINDOW = 200
"""Idle tasks looked at in one step."""
PURGE = timedelta(hours=1)
"""How often we look for tasks that are over for longer than they are kept."""
GOES_ON = frozenset({Recovery.ATTACH, Recovery.RESUME})
"""What an engine that was asked to go gives back at once: the next one goes on with it; the rest it finishes."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Why an executor is left alone, and until when."""

    trouble: str
    until: datetime


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """What attempts are begun with: one reading of the settings, its executors, its relay. Open until `done_with`."""

    settings: Settings
    pool: Pool
    relay: Endpoints | None
    memory: MemoryStore | None = None
    """What tasks are told from, and leave something in."""
    done_with: anyio.Event = field(default_factory=anyio.Event)
    """Set when the settings have changed and the last attempt that was begun with it is over."""

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What is known of these settings to be secret: it never enters the memory."""
        return self.settings.known_secrets


@dataclass(kw_only=True)
class Engine:
    """Claims tasks and drives their attempts. `step` does all that can be done now; `run` repeats it."""

    ledger: Ledger
    means: Means
    clock: Clock
    owner: str
    doorbell: Doorbell
    modes: Monitoring
    is_over: Callable[[str], Awaitable[bool]]
    """Proof: whether an owner is dead and nothing of its process tree is left."""
    renewed: Callable[[Means], Awaitable[Means | None]]
    """New means, if the settings or the programs that they name have changed since."""
    exits: bool
    """Whether it ends when there has long been no open task."""
    is_well: Callable[[], None]
    """Told after the first turn: it did not die at its start."""
    channels: Callable[[], Sequence[str]] = tuple
    """Who is told when a task asks something."""
    running: dict[str, Attempt] = field(default_factory=dict[str, Attempt])
    begun_with: dict[str, Means] = field(default_factory=dict[str, Means])
    """Of each running task, what its attempt was begun with; an edit of the settings leaves it alone."""
    marks: dict[str, Mark] = field(default_factory=dict[str, Mark])
    ill: set[str] = field(default_factory=set[str])
    """Executors that we told the faces of as unusable, and that have not completed a task since."""
    has_looked_again: bool = False
    """Whether what waits for an executor was looked at under the settings and programs of now."""
    done_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """When each periodic duty was last done."""
    silent_since: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Of each task that was told of as silent, its last sign of life."""
    dismissed: bool = False
    """Whether an engine of a newer release waits for us to go."""
    uptime: Callable[[], float] = uptime
    """Seconds that go on while the machine sleeps."""
    kept_at: float = field(default_factory=uptime)
    """When we last asked for what was then renewed."""
    let_go_in: Mode | None = None
    """The mode in which all that waited for a cloud was let go."""

    @property
    def settings(self) -> Settings:
        """The settings that hold now."""
        return self.means.settings

    @property
    def pool(self) -> Pool:
        """The executors of now."""
        return self.means.pool

    async def run(self) -> End | None:
        """Work until cancelled, idle for long or relieved; what runs at a cancel is given back."""
        end: End | None = None
        async with anyio.create_task_group() as attempts:
            try:
                end = await self._turn(attempts)
                self.is_well()
                while end is None:
                    end = await self._turn(attempts)
            finally:
                if end is None:
                    await self._say_goodbye()
                for attempt in self.running.values():
                    attempt.stop("shutdown")
        return end

    async def _say_goodbye(self) -> None:
        """Tell the faces before the work is given back: a submit from now on starts another engine."""
        with anyio.CancelScope(shield=True), suppress(LedgerError):
            await self.ledger.retire(self.owner, only_if_idle=False)

    async def _turn(self, attempts: TaskGroup) -> End | None:
        """Do what can be done, then wait for a ring; returns why it is time to go, if it is."""
        rung = self.doorbell.rung
        try:
            stepped = await self.step(attempts)
            end = await self._end(stepped)
        except LedgerError as error:
            logger.warning("%s", error, extra={"action": "step_failed"})
            stepped, end = False, None
        if not stepped and end is None:
            with anyio.move_on_after(POLL):
                await rung.wait()
        return end

    async def _end(self, stepped: bool) -> End | None:
        """Say whether it is time to go: relieved and nothing running, or idle for long and nobody submitted."""
        if self.running:
            return None
        if self.dismissed:
            await self._say_goodbye()
            return "upgrade"
        scheduled = self.settings.servers.scheduled
        if not self.exits or stepped or await has_work(self.ledger, scheduled):
            self.done_at["work"] = self.clock.now()
            return None
        idle = abs(self.clock.now() - self.done_at.setdefault("work", self.clock.now()))
        if idle.total_seconds() < self.settings.servers.limits.engine_idle_seconds:
            return None
        return "idle" if await self.ledger.retire(self.owner, only_if_idle=True, scheduled=scheduled) else None

    async def step(self, attempts: TaskGroup) -> bool:
        """Do all that can be done now; returns whether anything was begun or moved."""
        await self._renew()
        await self._take_up_settings()
        adopted = await self._adopt()
        await self._look_after()
        moved = await self._expire() + await self._wake()
        await self._make_way()
        begun = 0 if self.dismissed else await self._claim(attempts)
        await self._purge()
        return bool(adopted or moved or begun)

    async def _renew(self) -> None:
        """Keep our claims; an attempt that is ours no more is stopped and writes nothing."""
        if not (self.running or self.ledger.shared) or not self._is_due("renew", RENEW):
            return
        asked = self.uptime()
        try:
            held = set(await self.ledger.renew(self.owner))
        except LedgerError:
            del self.done_at["renew"]  # a lease does not wait for its next turn
            raise
        self.kept_at = asked
        for task_id, attempt in self.running.items():
            if task_id not in held:
                attempt.stop("lost")

    async def keep_in_time(self) -> None:
        """Where engines of other machines take over from one that is silent, stop what could not be kept before."""
        while True:
            self.stop_unkept()
            await anyio.sleep(POLL)

    def stop_unkept(self) -> None:
        """Stop what runs, if our claims were not renewed for too long: the ledger is out of reach, or we slept."""
        if self.uptime() - self.kept_at > KEPT.total_seconds():
            for attempt in self.running.values():
                attempt.stop("lost")

    async def _take_up_settings(self) -> None:
        """Begin from now on with the settings as they are; what runs goes on with those that it was begun with."""
        if (fresh := await self.renewed(self.means)) is None:
            return
        before, self.means = self.means, fresh
        self._put_away(before)
        self.marks.clear()
        self.has_looked_again = False
        self.let_go_in = None
        await until_written(self.ledger.forget_queues)
        logger.info("settings taken up", extra={"action": "settings_taken_up"})

    def _put_away(self, means: Means) -> None:
        """Close what no attempt is begun with any more, as soon as none runs with it."""
        if means is not self.means and means not in self.begun_with.values():
            means.done_with.set()

    async def _adopt(self) -> int:
        """Free the tasks of engines that are proven to be over, and our own whose end could not be written."""
        if not self._is_due("adopt", SWEEP):
            return 0
        held = [task for task in await self.ledger.held() if task.id not in self.running]
        owners = {task.owner or "" for task in held}
        over = {owner for owner in owners if owner == self.owner or await self.is_over(owner)}
        return sum([await self._adopt_one(task) for task in held if (task.owner or "") in over])

    async def _adopt_one(self, task: Task) -> bool:
        spec = self.pool.specs.get(task.served_by or "")
        if spec is None and task.served_by is not None:
            if self.settings.unreadable:  # it may be half saved: how its executor recovers is not known yet
                return False
            logger.warning("%s is configured no more", task.served_by, extra={"action": "adopt", "task_id": task.id})
        recovery = spec.recovery if spec is not None else Recovery.ASK
        try:
            following = after_death(task, recovery=recovery, cause="its engine died")
            await settle(self.ledger, task, following, recovery=recovery)
        except TransitionRefused:
            return False
        logger.info("adopted %s", task.id, extra={"action": "adopted", "task_id": task.id})
        return True

    async def _expire(self) -> int:
        """Fail what is overdue; a run of it that lives elsewhere is told to stop first."""
        attached = [name for name, spec in self.pool.specs.items() if spec.recovery is Recovery.ATTACH]
        return await self.ledger.expire(living=attached)

    async def _wake(self) -> int:
        """Free what is due; what waits for a cloud when one serves again, or one of it to find that out."""
        allowed = self.modes.permit()
        due = await self.ledger.wake_due(cloud=allowed.mode is not Mode.BRAINSTEM)
        if not self.has_looked_again:
            due += await self.ledger.wake_for_executor(everyone=True)
            self.has_looked_again = True
        if allowed.held is None:
            return due + await self._let_go(allowed.mode)
        self.let_go_in = None
        if not allowed.trial or self._cloud_attempts(allowed) or await self._any_idle():
            return due
        return due + await self.ledger.wake_held(limit=1)

    async def _let_go(self, mode: Mode) -> int:
        """Free all that waits for a cloud, once in each mode in which one serves."""
        if self.let_go_in is mode:
            return 0
        woken = await self.ledger.wake_held(limit=CLAIM_WINDOW)
        self.let_go_in = mode if woken < CLAIM_WINDOW else None
        return woken

    async def _any_idle(self) -> bool:
        return TaskState.IDLE in await self.ledger.counts()

    def _cloud_attempts(self, allowed: Permit) -> int:
        """Return how many of the running attempts count against what the mode allows."""
        return sum(
            _admitted(allowed, attempt.spec) is not None and attempt.task.since >= allowed.since
            for attempt in self.running.values()
        )

    async def _look_after(self) -> None:
        """Stop what somebody wants stopped or what is overdue, and tell of what is silent."""
        if not self.running:
            return
        for task in await self.ledger.held():
            if (attempt := self.running.get(task.id)) is None:
                continue
            if (why := stops(task, self.clock.now(), patience=self._patience(attempt.spec))) is not None:
                attempt.stop(why)
            elif task.state is TaskState.EXECUTING:
                await self._tell_if_silent(task)

    def _patience(self, spec: ExecutorSpec) -> timedelta:
        """Return how long a run is kept while nobody answers: longer where a second one may do harm."""
        asks = spec.recovery is Recovery.ASK
        return timedelta(seconds=spec.row.timeout if asks else self.settings.servers.limits.input_seconds)

    async def _tell_if_silent(self, task: Task) -> None:
        """Write once into the history that an executor is silent. Silence is no proof: only its time-out ends it."""
        last = task.last_sign
        silent = self.clock.now() - last
        if silent.total_seconds() < self.settings.servers.limits.silent_seconds:
            return
        if self.silent_since.get(task.id) == last:
            return
        self.silent_since[task.id] = last
        limit = timedelta(seconds=self.running[task.id].timeout)
        text = f"{task.served_by} is silent for {in_words(silent)}; left alone until its time-out ({in_words(limit)})"
        await self.ledger.note(task.id, attempt=task.attempt, kind="watchdog", text=text)

    async def _make_way(self) -> None:
        """For a newer release: give back what its engine can go on with; what cannot be moved is finished first."""
        if not self.dismissed and self._is_due("mark", timedelta(seconds=POLL)):
            mark = await self.ledger.engine()
            self.dismissed = mark is not None and mark.owner == self.owner and mark.dismissed_at is not None
        if self.dismissed:
            for attempt in self.running.values():
                if attempt.spec.recovery in GOES_ON:
                    attempt.stop("shutdown")

    async def _purge(self) -> None:
        """Remove what is over for longer than it is kept: some in each step, so that nothing else waits for it."""
        days = self.settings.servers.limits.keep_days
        if days is None or not self._is_due("purge", PURGE):
            return
        if await self.ledger.purge(self.clock.now() - timedelta(days=days)):
            del self.done_at["purge"]

    async def _claim(self, attempts: TaskGroup) -> int:
        """Begin the idle tasks that an executor with a free slot may take, as far as the mode admits it.

        The others queue where it is full, and are passed over as long as it is, so that they hide nobody behind them.
        Returns how many were begun, or queue while there may be more behind them.
        """
        await self._refresh_marks()
        full = [name for name in self.pool.specs if self._is_full(name)]
        tasks = await self.ledger.claimable(limit=CLAIM_WINDOW, full=full)
        free = [task for task in tasks if task.id not in self.running]  # else it was taken from us: ours ends first
        queues: dict[str, list[str]] = {}
        begun = sum([await self._claim_safely(task, attempts, queues) for task in free])
        for name, ids in queues.items():
            await self.ledger.queue(ids, executor=name)
        return begun or len(tasks) // CLAIM_WINDOW

    async def _claim_safely(self, task: Task, attempts: TaskGroup, queues: dict[str, list[str]]) -> bool:
        """Look at one task; one that makes us stumble waits for a person and costs no other task its turn."""
        try:
            return await self._claim_one(task, attempts, queues)
        except (LedgerError, OSError):
            raise
        except Exception as error:
            logger.exception("claim stumbled", extra={"action": "claim_stumbled", "task_id": task.id})
            told = f"the engine stumbled over it: {type(error).__name__}: {error}"
            await self._hold(task, WaitingFor.CONSENT, told)
            return False

    async def _claim_one(self, task: Task, attempts: TaskGroup, queues: dict[str, list[str]]) -> bool:
        if stops(task, self.clock.now(), patience=timedelta.max) is not None:
            return await self._recall(task, attempts)
        is_repair = task.spec.type == SYSTEM_REPAIR
        if is_repair and self.modes.permit().mode is Mode.NORMAL:
            return await self._call_off(task)
        if is_repair and self._repairs():
            return False
        found = self._route(task)
        name = found.executor
        if name is None:
            await self._hold(task, WaitingFor.EXECUTOR, found.reason, due_at=self._unmarked_at(task))
            return False
        if (held := self.modes.permit().held) is not None and self._is_at_limit(name):
            await self._hold(task, WaitingFor.CLOUD, held)
            return False
        if not is_repair and self._is_full(name):  # long tasks must not keep a repair waiting
            queues.setdefault(name, []).append(task.id)
            return False
        if (empty := await self._out_of_money(task, found, self.pool.specs[name])) is not None:
            await self._hold(task, WaitingFor.BUDGET, f"{empty.message}. {empty.next_step}", due_at=empty.until)
            return False
        return await self._begin(task, found, attempts)

    async def _recall(self, task: Task, attempts: TaskGroup) -> bool:
        """End the run that lives elsewhere of a cancelled or overdue task, whatever the mode and the limits."""
        may_live = bound_to(task, {name: spec.recovery for name, spec in self.pool.specs.items()}) is not None
        if task.cancel_requested_at is None and not may_live:
            return False  # its deadline has come just now: the next step fails it
        found = self._route(task)
        if found.executor is not None:
            return await self._begin(task, found, attempts)
        left = f"its run {task.run_id} on {task.served_by} may go on, which cannot be told to stop: {found.reason}"
        if task.cancel_requested_at is not None:
            await self.ledger.request_cancel(task.id, reason=left)
        elif (begun := await self.ledger.begin(task.id, owner=self.owner)) is not None:
            failed = Finish(state=TaskState.FAILED, outcome=stopped(begun, "deadline", left=left))
            await settle(self.ledger, begun, failed, recovery=Recovery.ATTACH)
        return False

    async def _out_of_money(self, task: Task, found: Route, spec: ExecutorSpec) -> BudgetReached | None:
        """Say which budget leaves no room for even one call of it; to attach to a run that lives on costs nothing."""
        attaches = spec.recovery is Recovery.ATTACH and continues(task, executor=spec.name, recovery=spec.recovery)
        if attaches or not spec.spends:
            return None
        return await self._purse(spec).empty(self.ledger, task, model=self._model(task, found, spec))

    def _purse(self, spec: ExecutorSpec) -> Purse:
        return Purse(limits=limits_of(self.settings.servers, spec.name), clock=self.clock)

    def _model(self, task: Task, found: Route, spec: ExecutorSpec) -> str | None:
        """Return the model that it asks for; None: the executor chooses."""
        return model_of(spec, self.settings, asked=task.spec.model, task_type=found.type)

    def _repairs(self) -> bool:
        """Whether a repair runs: two at a time would undo each other."""
        return any(attempt.task.spec.type == SYSTEM_REPAIR for attempt in self.running.values())

    def _unmarked_at(self, task: Task) -> datetime | None:
        """Return when an executor that may take it is tried again; None: first something has to be mended."""
        name = self._route(task, marked=False).executor
        return None if name is None else self.marks[name].until

    async def _call_off(self, task: Task) -> bool:
        """End a repair of what is well again; one that never began does not count as the repair of its outage."""
        await self.ledger.request_cancel(task.id, reason="the mode is normal again, so nothing is left to repair")
        if not task.attempt:
            self.modes.saw(Needless(task_id=task.id))
        return False

    def _is_full(self, name: str) -> bool:
        """Whether tasks for it wait their turn; where the mode holds them instead, they are looked at, to be held."""
        if self._is_at_limit(name):
            return self.modes.permit().held is None
        return not self._free(name)

    def _is_at_limit(self, name: str) -> bool:
        """Whether the mode admits no more of what this executor does."""
        allowed = self.modes.permit()
        admitted = _admitted(allowed, self.pool.specs[name])
        return admitted is not None and self._cloud_attempts(allowed) >= admitted

    async def _refresh_marks(self) -> None:
        """Forget marks that are over, or wiped out by a person; who queues elsewhere because of them is routed anew."""
        if not self.marks:
            return
        before = dict(self.marks)
        now, told = self.clock.now(), await self.ledger.health()
        # One that was made while we read is not wiped out: it is only just being told.
        kept = {name: mark for name, mark in self.marks.items() if name in told or before.get(name) is not mark}
        lasting = {name: mark for name, mark in kept.items() if now < mark.until <= now + MARK}
        if len(kept) < len(self.marks):
            await self.ledger.wake_for_executor(everyone=False)
        if len(lasting) < len(self.marks):
            await self.ledger.forget_queues()
        self.marks = lasting

    def _route(self, task: Task, *, marked: bool = True) -> Route:
        return self._routed(task, {name: mark.trouble for name, mark in self.marks.items()} if marked else {})

    def _routed(self, task: Task, troubles: Mapping[str, str]) -> Route:
        row = self.settings.servers.fault_handler.repair
        if task.spec.type == SYSTEM_REPAIR and row is not None and not row.commands:
            troubles = {**dict.fromkeys(self.pool.specs.keys() - {LADDER}, "has no commands to run"), **troubles}
        return routed(task, self.pool.specs, self.settings.servers.routing, troubles)

    def _free(self, name: str) -> bool:
        taken = sum(attempt.spec.name == name for attempt in self.running.values())
        return taken < self.pool.specs[name].parallel

    async def _hold(self, task: Task, waiting_for: WaitingFor, text: str, *, due_at: datetime | None = None) -> None:
        """It cannot begin now: it waits, and goes on by itself."""
        try:
            await self.ledger.hold(task.id, waiting_for=waiting_for, text=text, due_at=due_at)
        except TransitionRefused:
            return

    async def _begin(self, task: Task, found: Route, attempts: TaskGroup) -> bool:
        name = found.executor or ""
        begun = await self.ledger.begin(task.id, owner=self.owner)
        if begun is None:
            return False
        spec = self.pool.specs[name]
        model = self._model(task, found, spec)
        served = self._direct_model(found.type, spec) if spec.relayed else None
        attempt = Attempt(
            task=begun,
            choice=Choice(
                executor=name, requested=found.requested, model=served or model, reason=found.reason, type=found.type
            ),
            litellm_model=model,
            spec=spec,
            executor=self.pool.get(name),
            ledger=self.ledger,
            owner=self.owner,
            clock=self.clock,
            max_attempts=attempts_of(task.spec, self.settings.servers.limits.max_attempts),
            cloud_retry=timedelta(seconds=self.settings.servers.fault_handler.check_interval),
            work=self.settings.home.work,
            relay=self.means.relay,
            purse=self._purse(spec),
            on_trouble=self._mark,
            on_end=self._hear,
            remembering=self._remembering(),
            channels=self.channels,
            **self._limits(task, name),
        )
        self.running[task.id], self.begun_with[task.id] = attempt, self.means
        attempts.start_soon(self._drive, attempt, name=f"attempt {task.id}")
        return True

    def _remembering(self) -> Remembering:
        return Remembering(
            ledger=self.ledger,
            settings=self.settings.servers.memory,
            store=self.means.memory,
            secrets=self.means.secrets,
        )

    def _limits(self, task: Task, name: str) -> dict[str, Any]:
        """Return what a repair is kept to: the configured commands, and LiteLLM's own word on what they did."""
        if task.spec.type != SYSTEM_REPAIR:
            return {}
        row = self.settings.servers.fault_handler.repair
        commands = (row.commands or ()) if row is not None else ()
        return {"commands": commands, "judge": partial(self._judged, task, name)}

    async def _judged(self, task: Task, name: str, outcome: Outcome, tell: Callable[[str], None]) -> Outcome:
        if isinstance(outcome, Failed) and outcome.kind is FailureClass.HANDED_ON:
            others = self._routed(task, {name: "has handed it on"})
            return outcome if others.executor is not None else nobody_else(outcome)
        if not is_over(outcome) or (name == LADDER and isinstance(outcome, Failed)):  # it has looked itself
            return outcome
        tell("the repair has ended; LiteLLM is asked whether it is back")
        judged = verdict(outcome, await self.modes.verified())
        tell("LiteLLM is back" if isinstance(judged, Completed) else "LiteLLM is still broken")
        return judged

    def _direct_model(self, task_type: str | None, spec: ExecutorSpec) -> str | None:
        """Return the model of the provider that is asked first while the providers serve directly, else None."""
        rows = self.settings.servers.direct
        spoken = "anthropic" if spec.row.preset == "claude-code" else "openai"
        first = sorted(self.modes.permit().providers, key=lambda name: dialect_of(name, rows[name]) != spoken)
        return next((rows[name].model_for(task_type) for name in first), None)

    async def _drive(self, attempt: Attempt) -> None:
        try:
            with within(task_id=attempt.task.id, attempt=attempt.task.attempt):
                await attempt.drive()
        except Exception:
            logger.exception("attempt broke", extra={"action": "attempt_broke", "task_id": attempt.task.id})
        finally:
            del self.running[attempt.task.id]
            self._put_away(self.begun_with.pop(attempt.task.id))
            self.silent_since.pop(attempt.task.id, None)
            self.doorbell.ring_back(attempt.task.id)
            self.doorbell.ring()

    async def _hear(self, spec: ExecutorSpec, outcome: Outcome) -> None:
        """Take in how a run ended: for the executor's own sake, and for the monitor's where no relay saw its calls."""
        if isinstance(outcome, Completed) and spec.name in self.ill:
            await self._unmark(spec.name)
        if not spec.adapter or spec.relayed or not spec.row.needs_cloud:
            return
        if isinstance(outcome, Completed):
            self.modes.saw(Ran(executor=spec.name, verdict=Verdict.OK, said="completed a task"))
        elif outcome.kind is FailureClass.PROVIDER:
            self.modes.saw(Ran(executor=spec.name, verdict=Verdict.UPSTREAM, said=outcome.message))

    async def _mark(self, name: str, trouble: str) -> None:
        """Leave an executor alone for a while, and tell the faces."""
        now = self.clock.now()
        self.ill.add(name)
        with suppress(LedgerError):
            await self.ledger.report_health(ExecutorHealth(name=name, usable=False, detail=trouble, seen_at=now))
            await self.ledger.forget_queues()
        self.marks[name] = Mark(trouble=trouble, until=now + MARK)

    async def _unmark(self, name: str) -> None:
        """It works again: tell the faces, and let go who waits for it."""
        self.ill.discard(name)
        self.marks.pop(name, None)
        works = ExecutorHealth(name=name, usable=True, detail="", seen_at=self.clock.now())
        with suppress(LedgerError):
            await self.ledger.report_health(works)
            await self.ledger.forget_queues()
            await self.ledger.wake_for_executor(everyone=False)

    def _is_due(self, duty: str, every: timedelta) -> bool:
        now = self.clock.now()
        last = self.done_at.get(duty)
        if last is not None and abs(now - last) < every:  # the clock may have been set back
            return False
        self.done_at[duty] = now
        return True


def _admitted(allowed: Permit, spec: ExecutorSpec) -> int | None:
    return allowed.admits(needs_cloud=spec.row.needs_cloud, relayed=spec.relayed)

"""The engine: claim → route → bind → run → settle. Decisions are pure functions; this only carries them out."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import anyio
from anyio.abc import TaskGroup

from omni_mcp.attempt import Attempt
from omni_mcp.beginning import Beginning
from omni_mcp.claiming import WINDOW, Claiming, cloud_attempts
from omni_mcp.decide.permit import Monitoring
from omni_mcp.decide.recovery import after_death
from omni_mcp.decide.stopping import stops
from omni_mcp.decide.times import in_words
from omni_mcp.dispatch.base import Doorbell
from omni_mcp.errors import LedgerError, TransitionRefused
from omni_mcp.executors.pool import Pool
from omni_mcp.ledger.base import KEPT, LEASE, Ledger
from omni_mcp.logs import within
from omni_mcp.marks import Marks
from omni_mcp.means import Means
from omni_mcp.presets import ExecutorSpec
from omni_mcp.scheduled import has_work
from omni_mcp.settings import Settings
from omni_mcp.settle import settle, until_written
from omni_mcp.task import Clock, Mode, Recovery, Task, TaskState
from omni_mcp.this_machine import uptime
from omni_mcp.workplaces import Workplaces

logger = logging.getLogger(__name__)

End = Literal["idle", "upgrade"]
"""Why an engine ended by itself."""

POLL = 1.0
"""Seconds between two looks when nobody rings: a lost nudge costs no more than this."""
LOOK = 0.1
"""Seconds until we look at what runs and what waits although there is always something to begin."""
RENEW = LEASE / 4
SWEEP = timedelta(seconds=5)
"""How often we look for tasks whose engine is gone."""
PURGE = timedelta(hours=1)
"""How often we look for tasks that are over for longer than they are kept."""
GOES_ON = frozenset({Recovery.ATTACH, Recovery.RESUME})
"""What an engine that was asked to go gives back at once: the next one goes on with it; the rest it finishes."""


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
    has_looked_again: bool = False
    """Whether what waits for an executor was freed under the settings and programs of now."""
    done_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """When each periodic duty was last done."""
    silent_since: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Of each task that was told of as silent, its last sign of life."""
    looks_at: float = 0.0
    """When on the loop's clock we look at what runs and what waits, whatever there is to begin."""
    dismissed: bool = False
    """Whether an engine of a newer release waits for us to go."""
    uptime: Callable[[], float] = uptime
    """Seconds that go on while the machine sleeps."""
    kept_at: float = field(default_factory=uptime)
    """When we last asked for what was then renewed."""
    let_go_in: Mode | None = None
    """The mode in which all that waited for a cloud was let go."""
    marks: Marks = field(init=False)
    beginning: Beginning = field(init=False)

    def __post_init__(self) -> None:
        self.marks = Marks(ledger=self.ledger, clock=self.clock)
        self.beginning = Beginning(
            ledger=self.ledger,
            clock=self.clock,
            owner=self.owner,
            modes=self.modes,
            marks=self.marks,
            workplaces=Workplaces(self.settings.home.work),
            channels=self.channels,
            means=lambda: self.means,
        )

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
        await self._look_again()
        adopted = await self._adopt()
        await self._make_way()
        looked = anyio.current_time() >= self.looks_at
        moved = await self._look_around() if looked else 0
        begun = await self._claim(attempts)
        if not (looked or begun):
            moved = await self._look_around()
            begun = moved > 0 and await self._claim(attempts)
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
        self.marks.made.clear()
        self.has_looked_again = False
        self.let_go_in = None
        await until_written(self.ledger.forget_queues)
        logger.info("settings taken up", extra={"action": "settings_taken_up"})

    async def _look_again(self) -> None:
        """Free what waits for an executor, once under the settings and programs of now."""
        if not self.has_looked_again:
            await self.ledger.wake_for_executor(everyone=True)
            self.has_looked_again = True

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

    async def _look_around(self) -> int:
        """Stop what runs and should not, free or fail what waits and is due; returns how many of these."""
        self.looks_at = anyio.current_time() + LOOK
        await self._look_after()
        return await self._expire() + await self._wake()

    async def _expire(self) -> int:
        """Fail what is overdue; a run of it that lives elsewhere is told to stop first."""
        attached = [name for name, spec in self.pool.specs.items() if spec.recovery is Recovery.ATTACH]
        return await self.ledger.expire(living=attached)

    async def _wake(self) -> int:
        """Free what is due; what waits for a cloud when one serves again, or one of it to find that out."""
        allowed = self.modes.permit()
        due = await self.ledger.wake_due(cloud=allowed.mode is not Mode.BRAINSTEM)
        if allowed.held is None:
            return due + await self._let_go(allowed.mode)
        self.let_go_in = None
        if not allowed.trial or cloud_attempts(self.running.values(), allowed) or await self._any_idle():
            return due
        return due + await self.ledger.wake_held(limit=1)

    async def _let_go(self, mode: Mode) -> int:
        """Free all that waits for a cloud, once in each mode in which one serves."""
        if self.let_go_in is mode:
            return 0
        woken = await self.ledger.wake_held(limit=WINDOW)
        self.let_go_in = mode if woken < WINDOW else None
        return woken

    async def _any_idle(self) -> bool:
        return TaskState.IDLE in await self.ledger.counts()

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

    async def _claim(self, attempts: TaskGroup) -> bool:
        """Begin the idle tasks that can be; returns whether there were any, or may be more behind those that cannot."""
        if self.dismissed:
            return False
        await self.marks.refresh()
        look = Claiming(
            ledger=self.ledger,
            means=self.means,
            clock=self.clock,
            owner=self.owner,
            modes=self.modes,
            marks=self.marks.made,
            running=self.running,
        )
        claims, more = await look.claims()
        begun, failed = await self.beginning.begin(claims)
        for attempt in begun:
            self.running[attempt.task.id], self.begun_with[attempt.task.id] = attempt, self.means
            attempts.start_soon(self._drive, attempt, name=f"attempt {attempt.task.id}")
        for error in failed:
            raise error
        return bool(claims) or more

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

    def _is_due(self, duty: str, every: timedelta) -> bool:
        now = self.clock.now()
        last = self.done_at.get(duty)
        if last is not None and abs(now - last) < every:  # the clock may have been set back
            return False
        self.done_at[duty] = now
        return True

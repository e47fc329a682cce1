"""One look at the idle tasks: which of them begin now and on what, and what the others wait for."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from omni_mcp.attempt import Attempt
from omni_mcp.budget import BudgetReached
from omni_mcp.decide.budgets import limits_of
from omni_mcp.decide.modes.state import Needless
from omni_mcp.decide.permit import Modes, Permit
from omni_mcp.decide.recovery import bound_to, continues
from omni_mcp.decide.retry import Finish
from omni_mcp.decide.routing import Route
from omni_mcp.decide.stopping import stopped, stops
from omni_mcp.errors import LedgerError, TransitionRefused
from omni_mcp.ledger.base import Ledger
from omni_mcp.marks import Mark
from omni_mcp.means import Means
from omni_mcp.presets import ExecutorSpec, model_of, routed
from omni_mcp.purse import Purse
from omni_mcp.settle import settle
from omni_mcp.task import LADDER, SYSTEM_REPAIR, Clock, Mode, Recovery, Task, TaskState, WaitingFor

logger = logging.getLogger(__name__)

WINDOW = 200
"""Idle tasks looked at in one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task that may begin now."""

    task: Task
    found: Route
    spec: ExecutorSpec
    """Of the executor that is to run it."""
    model: str | None
    """What it asks for; None: the executor chooses."""
    purse: Purse


@dataclass(kw_only=True, eq=False)
class Claiming:
    """One look, under one mode; who is claimed in it counts as running from then on."""

    ledger: Ledger
    means: Means
    clock: Clock
    owner: str
    modes: Modes
    marks: Mapping[str, Mark]
    running: Mapping[str, Attempt]
    allowed: Permit = field(init=False)
    taken: Counter[str] = field(init=False)
    """How many tasks each executor has."""
    cloud: int = field(init=False)
    """How many of them count against what the mode allows."""
    repairs: bool = field(init=False)
    """Whether a repair runs: two at a time would undo each other."""
    queues: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Who waits for a turn, by executor."""

    def __post_init__(self) -> None:
        attempts = self.running.values()
        self.allowed = self.modes.permit()
        self.taken = Counter(attempt.spec.name for attempt in attempts)
        self.cloud = cloud_attempts(attempts, self.allowed)
        self.repairs = any(attempt.task.spec.type == SYSTEM_REPAIR for attempt in attempts)

    async def claims(self) -> tuple[Sequence[Claim], bool]:
        """Return the idle tasks that an executor with a free slot may take, as far as the mode admits it.

        The others queue where it is full, and are passed over as long as it is, so that they hide nobody behind them:
        the second says whether there may be more.
        """
        full = [name for name in self.means.pool.specs if self._is_full(name)]
        tasks = await self.ledger.claimable(limit=WINDOW, full=full)
        free = [task for task in tasks if task.id not in self.running]  # else it was taken from us: ours ends first
        found = [await self._looked_at(task) for task in free]
        for name, ids in self.queues.items():
            await self.ledger.queue(ids, executor=name)
        return [claim for claim in found if claim is not None], len(tasks) == WINDOW

    async def _looked_at(self, task: Task) -> Claim | None:
        """Look at one task; one that makes us stumble waits for a person and costs no other task its turn."""
        try:
            claim = await self._claim(task)
        except (LedgerError, OSError):
            raise
        except Exception as error:
            logger.exception("claim stumbled", extra={"action": "claim_stumbled", "task_id": task.id})
            return await self._hold(task, WaitingFor.CONSENT, stumbled(error))
        if claim is not None:
            self.taken[claim.spec.name] += 1
            self.cloud += _admitted(self.allowed, claim.spec) is not None
            self.repairs |= task.spec.type == SYSTEM_REPAIR
        return claim

    async def _claim(self, task: Task) -> Claim | None:
        if stops(task, self.clock.now(), patience=timedelta.max) is not None:
            return await self._recall(task)
        is_repair = task.spec.type == SYSTEM_REPAIR
        if is_repair and self.allowed.mode is Mode.NORMAL:
            return await self._call_off(task)
        if is_repair and self.repairs:
            return None
        found = self._route(task)
        name = found.executor
        if name is None:
            return await self._hold(task, WaitingFor.EXECUTOR, found.reason, due_at=self._unmarked_at(task))
        if self.allowed.held is not None and self._is_at_limit(name):
            return await self._hold(task, WaitingFor.CLOUD, self.allowed.held)
        if not is_repair and self._is_full(name):  # long tasks must not keep a repair waiting
            self.queues.setdefault(name, []).append(task.id)
            return None
        claim = self._claimed(task, found, name)
        if (empty := await self._out_of_money(claim)) is not None:
            text = f"{empty.message}. {empty.next_step}"
            return await self._hold(task, WaitingFor.BUDGET, text, due_at=empty.until)
        return claim

    def _claimed(self, task: Task, found: Route, name: str) -> Claim:
        spec, settings = self.means.pool.specs[name], self.means.settings
        return Claim(
            task=task,
            found=found,
            spec=spec,
            model=model_of(spec, settings, asked=task.spec.model, task_type=found.type),
            purse=Purse(limits=limits_of(settings.servers, name), clock=self.clock),
        )

    async def _recall(self, task: Task) -> Claim | None:
        """End the run that lives elsewhere of a cancelled or overdue task, whatever the mode and the limits."""
        may_live = bound_to(task, {name: spec.recovery for name, spec in self.means.pool.specs.items()}) is not None
        if task.cancel_requested_at is None and not may_live:
            return None  # its deadline has come just now: the next step fails it
        found = self._route(task)
        if found.executor is not None:
            return self._claimed(task, found, found.executor)
        left = f"its run {task.run_id} on {task.served_by} may go on, which cannot be told to stop: {found.reason}"
        if task.cancel_requested_at is not None:
            await self.ledger.request_cancel(task.id, reason=left)
        elif (begun := await self.ledger.begin(task.id, owner=self.owner)) is not None:
            failed = Finish(state=TaskState.FAILED, outcome=stopped(begun, "deadline", left=left))
            await settle(self.ledger, begun, failed, recovery=Recovery.ATTACH)
        return None

    async def _out_of_money(self, claim: Claim) -> BudgetReached | None:
        """Say which budget leaves no room for even one call of it; to attach to a run that lives on costs nothing."""
        task, spec = claim.task, claim.spec
        attaches = spec.recovery is Recovery.ATTACH and continues(task, executor=spec.name, recovery=spec.recovery)
        if attaches or not spec.spends:
            return None
        return await claim.purse.empty(self.ledger, task, model=claim.model)

    async def _call_off(self, task: Task) -> None:
        """End a repair of what is well again; one that never began does not count as the repair of its outage."""
        await self.ledger.request_cancel(task.id, reason="the mode is normal again, so nothing is left to repair")
        if not task.attempt:
            self.modes.saw(Needless(task_id=task.id))

    async def _hold(self, task: Task, waiting_for: WaitingFor, text: str, *, due_at: datetime | None = None) -> None:
        """It cannot begin now: it waits, and goes on by itself."""
        try:
            await self.ledger.hold(task.id, waiting_for=waiting_for, text=text, due_at=due_at)
        except TransitionRefused:
            return

    def _route(self, task: Task) -> Route:
        return route_of(task, self.means, {name: mark.trouble for name, mark in self.marks.items()})

    def _unmarked_at(self, task: Task) -> datetime | None:
        """Return when an executor that may take it is tried again; None: first something has to be mended."""
        name = route_of(task, self.means, {}).executor
        return None if name is None else self.marks[name].until

    def _is_full(self, name: str) -> bool:
        """Whether tasks for it wait their turn; where the mode holds them instead, they are looked at, to be held."""
        if self._is_at_limit(name):
            return self.allowed.held is None
        return self.taken[name] >= self.means.pool.specs[name].parallel

    def _is_at_limit(self, name: str) -> bool:
        """Whether the mode admits no more of what this executor does."""
        admitted = _admitted(self.allowed, self.means.pool.specs[name])
        return admitted is not None and self.cloud >= admitted


def stumbled(error: Exception) -> str:
    """Return what a task tells that the engine stumbled over."""
    return f"the engine stumbled over it: {type(error).__name__}: {error}"


def route_of(task: Task, means: Means, troubles: Mapping[str, str]) -> Route:
    """Route a task under the settings of now; without commands a repair is the ladder's alone."""
    row = means.settings.servers.fault_handler.repair
    if task.spec.type == SYSTEM_REPAIR and row is not None and not row.commands:
        troubles = {**dict.fromkeys(means.pool.specs.keys() - {LADDER}, "has no commands to run"), **troubles}
    return routed(task, means.pool.specs, means.settings.servers.routing, troubles)


def cloud_attempts(attempts: Iterable[Attempt], allowed: Permit) -> int:
    """Return how many running attempts count against what the mode allows."""
    return sum(
        _admitted(allowed, attempt.spec) is not None and attempt.task.since >= allowed.since for attempt in attempts
    )


def _admitted(allowed: Permit, spec: ExecutorSpec) -> int | None:
    return allowed.admits(needs_cloud=spec.row.needs_cloud, relayed=spec.relayed)

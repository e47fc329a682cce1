"""One attempt at a task, from the claim to its end: bind → run → settle."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from omni_mcp import telemetry
from omni_mcp.asking import Asking
from omni_mcp.budget import BudgetReached
from omni_mcp.contract import Answered, RunRef, RunRequest
from omni_mcp.decide.handing_on import checkpoint, description
from omni_mcp.decide.options import handed_on, timeout_of
from omni_mcp.decide.recovery import after_death, continues, is_heard, may_live
from omni_mcp.decide.retry import Finish, HandOn, Next, Park, Release, Reroute, after
from omni_mcp.decide.stopping import Stop, stopped, stops
from omni_mcp.errors import ExecutorError, ExecutorUnusable, LedgerError, TransitionRefused
from omni_mcp.executors.executor import Executor
from omni_mcp.heartbeat import Heartbeat
from omni_mcp.ledger.base import Ledger
from omni_mcp.means import Endpoints
from omni_mcp.presets import ExecutorSpec
from omni_mcp.purse import OWN_LOGIN, UNSAID, Purse, RunBook
from omni_mcp.remembering import Remembering
from omni_mcp.settle import settle, until_written
from omni_mcp.task import (
    PARTIAL,
    Choice,
    Clock,
    Completed,
    Failed,
    FailureClass,
    Outcome,
    Recovery,
    Task,
    TaskState,
    Usage,
)
from omni_mcp.workplaces import Workplaces

logger = logging.getLogger(__name__)

CAUSES = {"shutdown": "the engine was stopped", "input": "nobody answered for long, so the run was ended"}
"""Stops after which a task goes on where it was."""
STOP_LIMIT = 20.0
"""Seconds that an executor has to stop a run before we say that it did not confirm."""
BUDGET_GRACE = 15.0
"""Seconds that a run has to end by itself, with what it has produced, once a call of it was refused for a budget."""


@dataclass(kw_only=True)
class Attempt:
    """One attempt, running."""

    task: Task
    choice: Choice
    litellm_model: str | None
    """What it asks the relay for; while LiteLLM is broken others serve, with models of their own."""
    spec: ExecutorSpec
    executor: Executor
    ledger: Ledger
    owner: str
    clock: Clock
    max_attempts: int
    cloud_retry: timedelta
    """How long it waits at least when its provider failed."""
    workplaces: Workplaces
    """Where tasks work that name no `cwd`."""
    relay: Endpoints | None
    purse: Purse
    on_trouble: Callable[[str, str], Awaitable[None]]
    """Awaited with the executor's name and what is wrong with it."""
    on_end: Callable[[ExecutorSpec, Outcome], Awaitable[None]]
    """Told how the run ended."""
    remembering: Remembering
    commands: tuple[str, ...] | None = None
    """All that it may run, where that is not up to the executor's row."""
    channels: Callable[[], Sequence[str]] = tuple
    """Who is told when its executor asks something."""
    judge: Callable[[Outcome, Callable[[str], None]], Awaitable[Outcome]] | None = None
    """Says what an end really came to, where the executor's word is not enough; takes what tells progress."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    progress: Heartbeat = field(init=False)
    resume: bool = False
    """Whether it goes on in the session of the attempt before."""
    stopping: Stop | None = None
    """Why `scope` was cancelled."""
    asking: Asking = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Heartbeat(write=self._write_progress)
        self.asking = Asking(
            task=self.task, spec=self.spec, ledger=self.ledger, owner=self.owner, channels=self.channels
        )

    @property
    def timeout(self) -> float:
        """Seconds that it may take."""
        return timeout_of(self.task.spec.options, self.spec.row.timeout)

    def stop(self, why: Stop) -> None:
        """End the run early; `drive` settles it. One that just got its answer goes on."""
        if why == "input" and not self.asking.open:
            return
        self.asking.over = True
        self.stopping = self.stopping or why
        self.scope.cancel()

    async def drive(self) -> None:
        """Run the attempt to its end and write that down. A refused write means that it is no longer ours.

        Shielded: only `stop` ends it early, so that its end is always written.
        """
        try:
            with anyio.CancelScope(shield=True):
                with telemetry.attempt(self.task, executor=self.spec.name, model=self.choice.model) as span:
                    await self._bind()
                    outcome = await self._run()
                    span.ended(outcome)
                await self._settle(outcome)
        except TransitionRefused as error:
            logger.warning("%s", error, extra={"action": "attempt_refused", "task_id": self.task.id})
        except LedgerError:
            logger.exception("its end cannot be written", extra={"action": "attempt_stuck", "task_id": self.task.id})

    async def _bind(self) -> None:
        self.resume = continues(self.task, executor=self.spec.name, recovery=self.spec.recovery)
        run_id = self.task.run_id if self.resume and self.task.run_id else str(uuid4())
        endpoint = self._endpoint_name()
        bind = partial(
            self.ledger.bind,
            self.task.id,
            attempt=self.task.attempt,
            owner=self.owner,
            choice=self.choice,
            endpoint=endpoint,
            run_id=run_id,
            stays=self.spec.recovery in (Recovery.ATTACH, Recovery.RESUME),
        )
        cancelled_at = await until_written(bind)
        self.task = replace(
            self.task,
            state=TaskState.EXECUTING,
            since=self.clock.now(),
            requested=self.choice.requested,
            served_by=self.choice.executor,
            model=self.choice.model,
            reason=self.choice.reason,
            endpoint=endpoint,
            run_id=run_id,
            cancel_requested_at=cancelled_at,
        )

    def _endpoint_name(self) -> str:
        if not self.spec.relayed:
            return OWN_LOGIN if self.spec.spends else "none"
        return self.relay.name if self.relay else "none"

    async def _run(self) -> Outcome:
        """Run it; whatever happens becomes an outcome."""
        why = stops(self.task, self.clock.now(), patience=timedelta.max)
        if why is not None:  # of a run that lives elsewhere; another one is not begun
            return await self._stopped(why)
        outcome: Outcome = Failed(kind=FailureClass.INTERRUPTED, message="the engine stopped it")
        self.purse.on_refusal = self._hurry
        async with self.progress.beating():
            with self.scope:
                asked = await self._asked()
                outcome = asked if self.judge is None else await self.judge(asked, self.progress)
        self.asking.over = True
        if self.relay is not None:
            outcome = _dated(outcome, self.relay.revoke(self.task.id, attempt=self.task.attempt))
        if isinstance(outcome, Completed):
            return outcome
        if self.stopping is not None:
            return await self._stopped(self.stopping)
        return outcome if self.purse.refused is None else await self._out_of_money(self.purse.refused, outcome)

    def _hurry(self) -> None:
        """Give a run that is out of money a last moment to end by itself."""
        self.scope.deadline = min(self.scope.deadline, anyio.current_time() + BUDGET_GRACE)

    async def _out_of_money(self, refused: BudgetReached, outcome: Failed) -> Outcome:
        """It waits, with what it has produced, whatever the executor made of the refusal."""
        cut = await self._stopped("budget") if self.scope.cancelled_caught else None
        return Failed(
            kind=FailureClass.BUDGET,
            message=refused.message,
            fix=refused.next_step,
            retry_at=refused.until,
            partial=outcome.partial or self.progress.line,
            lives=may_live(outcome) if cut is None else cut.lives,
        )

    async def _asked(self) -> Outcome:
        """Ask the executor; what it makes us stumble over becomes an outcome too."""
        try:
            return await self._metered(await self._request())
        except BudgetReached as refused:
            self.purse.reached(refused)
            return Failed(kind=FailureClass.BUDGET, message=refused.message, lives=self.resume)
        except ExecutorError as error:
            unsent = isinstance(error, ExecutorUnusable) and not self.resume
            return Failed(kind=error.kind, message=error.message, fix=error.next_step, lives=not unsent)
        except Exception as error:
            logger.exception("attempt stumbled", extra={"action": "attempt_stumbled", "task_id": self.task.id})
            said = f"{self.spec.name}: {type(error).__name__}: {error}"
            return Failed(kind=FailureClass.UNKNOWN, message=said)

    async def _metered(self, request: RunRequest) -> Outcome:
        """Run it; where no relay sees its model calls the whole run goes on the books. Raises BudgetReached."""
        if self.spec.relayed or not self.spec.spends:
            return await self.executor.run(request, self.progress, self.asking)
        book = RunBook(ledger=self.ledger, purse=self.purse, usage=self._usage())
        await book.open()
        outcome = await self.executor.run(request, self.progress, self.asking)
        if self.spec.recovery is not Recovery.ATTACH or is_heard(outcome, recovery=self.spec.recovery):
            await book.close(outcome)  # else who attaches to it finds its row, and closes it with the whole
        return outcome

    def _usage(self) -> Usage:
        lives_on = self.spec.recovery is Recovery.ATTACH
        return Usage(
            task_id=self.task.id,
            attempt=self.task.attempt,
            model=self.choice.model or UNSAID,
            endpoint=OWN_LOGIN,
            run_id=self.task.run_id if lives_on else None,
        )

    async def _request(self) -> RunRequest:
        task = self.task
        endpoint = None
        if self.spec.relayed and self.relay is not None:
            endpoint = self.relay.endpoint(
                task.id,
                attempt=task.attempt,
                model=self.litellm_model,
                task_type=self.choice.type,
                allowance=self.purse,
            )
        memory = "" if self.resume else await self.remembering.recall(task, self.spec)  # its session has it already
        return RunRequest(
            task_id=task.id,
            attempt=task.attempt,
            run_id=task.run_id or "",
            description=description(task, memory=memory if self.spec.adapter else ""),
            memory=memory,
            cwd=str(await self._folder()),
            model=self.choice.model,
            endpoint=endpoint,
            resume=self.resume,
            snapshot=self._snapshot() or None,
            options=handed_on(task.spec.options),
            commands=self.commands,
            answers=await self._answers() if self.resume else (),
            timeout=self.timeout,
        )

    async def _answers(self) -> tuple[Answered, ...]:
        """Return what was answered since the run before ended."""
        asked = await until_written(partial(self.ledger.questions, self.task.id))
        return tuple(
            Answered(text=each.asked.text, action=each.answer.action, content=dict(each.answer.content or {}))
            for each in asked
            if each.answer is not None and not each.taken
        )

    async def _folder(self) -> Path:
        """Return the task's `cwd`; one that names none works in a folder of its own."""
        if self.task.spec.cwd is not None:
            return Path(self.task.spec.cwd)
        return await self.workplaces.of(self.task.id)

    async def _write_progress(self, line: str) -> None:
        if self.stopping == "lost":  # the ledger would refuse it, or is away: the run has to end in time
            return
        snapshot = {**self._snapshot(), "progress": line}
        try:
            held = await self.ledger.checkpoint(
                self.task.id, attempt=self.task.attempt, owner=self.owner, progress=line, snapshot=snapshot
            )
        except LedgerError as error:
            logger.warning("progress not written: %s", error, extra={"action": "progress", "task_id": self.task.id})
        else:
            if not held:
                self.stop("lost")

    def _snapshot(self) -> dict[str, Any]:
        """Return the checkpoint that it began with, but for what an attempt before it had produced."""
        return {name: value for name, value in (self.task.snapshot or {}).items() if name != PARTIAL}

    async def _keep(self, snapshot: Mapping[str, Any]) -> None:
        """Write what the next attempt, or who asks meanwhile, needs of this one, before it lets go of the task."""
        written = partial(self.ledger.checkpoint, self.task.id, attempt=self.task.attempt, owner=self.owner)
        await until_written(partial(written, progress=None, snapshot=snapshot))

    async def _stopped(self, why: Stop) -> Failed:
        """Make sure that the other side has stopped, and say so; what lives on elsewhere is let go of at a shutdown."""
        if self.spec.recovery is Recovery.ATTACH and why not in ("cancel", "deadline", "budget"):
            return Failed(kind=FailureClass.INTERRUPTED, message="we let go of it; it runs on")
        ref = RunRef(task_id=self.task.id, attempt=self.task.attempt, run_id=self.task.run_id or "")
        left: list[str] = ["the executor did not confirm"]
        with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_LIMIT):
            try:
                said = await self.executor.cancel(ref)
                left = [] if said.stopped else said.remaining or left
            except ExecutorError as error:
                left = [error.message]
        task = replace(self.task, progress=self.progress.line)
        return replace(stopped(task, why, left=", ".join(left)), lives=bool(left))

    async def _settle(self, outcome: Outcome) -> None:
        await self.on_end(self.spec, outcome)
        done = isinstance(outcome, Completed)
        if not done and outcome.kind is FailureClass.BUDGET and outcome.partial:
            await self._keep({**self._snapshot(), PARTIAL: outcome.partial})
        if self.stopping == "lost" and not done:
            return
        if self.stopping in CAUSES and not done:
            following = after_death(self.task, recovery=self.spec.recovery, cause=CAUSES[self.stopping])
        else:
            following = await self._rerouted(self._next(outcome))
        recovery = self.spec.recovery
        over = is_heard(outcome, recovery=recovery)
        memory = self.remembering.leaves(self.task, outcome)
        write = partial(settle, self.ledger, self.task, following, recovery=recovery, over=over, memory=memory)
        await until_written(write)

    def _next(self, outcome: Outcome) -> Next:
        return after(
            outcome,
            faults=self.task.faults,
            max_attempts=self.max_attempts,
            recovery=self.spec.recovery,
            now=self.clock.now(),
            cloud_retry=self.cloud_retry,
            pinned=self.task.spec.model is not None,
        )

    async def _rerouted(self, following: Next) -> Finish | Park | Release:
        """An executor that cannot work is marked, and its task is free for another one."""
        if isinstance(following, HandOn):
            await self._keep(checkpoint(self.task, {self.spec.name: following.found}))
            return Release(text=f"{self.spec.name} has handed it on")
        if not isinstance(following, Reroute):
            return following
        await self.on_trouble(self.spec.name, following.trouble)
        return Release(text=f"{self.spec.name}: {following.trouble}")


def _dated(outcome: Outcome, limited_until: datetime | None) -> Outcome:
    """Return the outcome with the end of a limit that the executor did not tell."""
    unknown = isinstance(outcome, Failed) and outcome.kind is FailureClass.RATE_LIMIT and outcome.retry_at is None
    return replace(outcome, retry_at=limited_until) if unknown else outcome

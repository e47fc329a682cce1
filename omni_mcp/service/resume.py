"""Let what waits go on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from omni_mcp.decide.budgets import check_amount
from omni_mcp.decide.permit import Permit, permit
from omni_mcp.decide.resuming import Resumption, resumption
from omni_mcp.errors import BadRequest, TransitionRefused
from omni_mcp.presets import ExecutorSpec, mode_setup, resolve, routed
from omni_mcp.service.part import Part
from omni_mcp.standing import state_of
from omni_mcp.task import Task, TaskState
from omni_mcp.views.resume import ResumedView, ResumeView

RESUMED_SHOWN = 50
"""Tasks that one answer of `resume` shows, where none were named."""
WAITING_PAGE = 500
"""Waiting tasks that are read at a time."""


class ResumeVerbs(Part):
    """What lets waiting tasks go on."""

    async def resume(
        self, task_ids: Sequence[str] | None, *, add_budget_usd: float | None = None, dry_run: bool = False
    ) -> ResumeView:
        """Let waiting tasks go on: those named, which is the consent for one attempt each, else all that need none.

        `add_budget_usd` raises the budget of each. Raises TaskNotFound, TaskAmbiguous, BadRequest, before anything is
        let go.
        """
        named = bool(task_ids)
        _check_raise(add_budget_usd, named=named)
        found = {task.id: task for task in [await self._find(i) for i in task_ids or ()]} if named else None
        waiting = list(found.values()) if found is not None else await self._waiting()
        decided = zip(waiting, await self._resumptions(waiting, named=named, add=add_budget_usd), strict=True)
        resume_one = partial(self._resume_one, named=named, add=add_budget_usd, dry_run=dry_run)
        done = [await resume_one(task, each) for task, each in decided]
        counts = Counter(each.action for each in done)
        resumed = next((each.task_id for each in done if each.action == "resumed"), None)
        return ResumeView(
            dry_run=dry_run,
            counts=dict(counts),
            tasks=done if named else done[:RESUMED_SHOWN],
            engine=None if resumed is None else await self._wake(resumed),
            next_step=_after_resume(counts),
        )

    async def _waiting(self) -> Sequence[Task]:
        """Return what waits, by priority, then the oldest."""
        tasks: list[Task] = []
        cursor = None
        while True:
            page = await self.ledger.page(
                principal=self._whose, states=[TaskState.WAITING], limit=WAITING_PAGE, cursor=cursor
            )
            tasks.extend(page.tasks)
            if (cursor := page.cursor) is None:
                oldest_first = tasks[::-1]
                return sorted(oldest_first, key=lambda task: -task.spec.priority)

    async def _resume_one(
        self, task: Task, found: Resumption, *, named: bool, add: float | None, dry_run: bool
    ) -> ResumedView:
        action, text = ("would resume" if dry_run else "resumed"), found.text
        if not found.goes:
            action = "left alone"
        elif not dry_run:
            try:
                await self.ledger.resume(task.id, consent=named, add_budget_usd=add)
            except TransitionRefused as error:
                action, text = "left alone", error.message
        return ResumedView(task_id=task.id, waiting_for=task.waiting_for, action=action, text=text)

    async def _resumptions(self, tasks: Sequence[Task], *, named: bool, add: float | None) -> Sequence[Resumption]:
        """Decide on each task by the mode and the settings of now; what is held against executors is not believed."""
        settings, now = self.settings(), self.clock.now()
        specs = resolve(settings)
        allowed = permit(state_of(await self.ledger.mode(), now), mode_setup(settings), now)

        def decided(task: Task) -> Resumption:
            found = routed(task, specs, settings.servers.routing, {})
            held = _held(allowed, specs.get(found.executor or ""))
            return resumption(task, found, named=named, held=held, add_budget_usd=add)

        return [decided(task) for task in tasks]


def _held(allowed: Permit, spec: ExecutorSpec | None) -> str | None:
    """Return why the mode lets nothing run there now."""
    if spec is None or allowed.admits(needs_cloud=spec.row.needs_cloud, relayed=spec.relayed) != 0:
        return None
    return allowed.held


def _check_raise(add_budget_usd: float | None, *, named: bool) -> None:
    """Refuse to raise budgets of tasks that nobody named, or by what is no amount."""
    check_amount("add_budget_usd", add_budget_usd)
    if add_budget_usd is not None and not named:
        raise BadRequest("add_budget_usd needs task_ids", next_step="call resume_pending with both")


def _after_resume(counts: Mapping[str, int]) -> str:
    if counts.get("would resume"):
        return "the same resume_pending without dry_run does it"
    return "task_status with wait_seconds=50" if counts.get("resumed") else "list_tasks with state waiting"

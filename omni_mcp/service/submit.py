"""Submit a task, or one that did not complete again."""

from dataclasses import replace
from datetime import datetime

from anyio.to_thread import run_sync

from omni_mcp.decide.options import MACHINE
from omni_mcp.decide.times import point
from omni_mcp.errors import BadRequest
from omni_mcp.lineage import Lineage
from omni_mcp.presets import resolve
from omni_mcp.service.checks import check_allowed, check_kept, checked, choice_of, preview
from omni_mcp.service.part import Part
from omni_mcp.settings import Settings
from omni_mcp.task import TaskSpec, TaskState, new_id
from omni_mcp.views.task import TaskView, task_view


class SubmitVerbs(Part):
    """What makes a task."""

    async def submit(self, spec: TaskSpec, *, client: str | None = None) -> TaskView:
        """Write a task down, durable before the answer, and have it run. Raises BadRequest, LedgerError.

        `client` is how an MCP client calls itself.
        """
        settings = self.settings()
        spec = checked(spec, settings)
        spec = replace(
            spec,
            principal=self.principal,
            deadline=self._deadline(spec.deadline_said),
            ancestors=await self._ancestors(settings, client),
        )
        placed = self._placed(spec)
        specs = resolve(settings)
        found = preview(spec, settings, specs)
        check_allowed(spec, found, settings)
        check_kept(spec, found, specs)
        submitted = await self.ledger.submit(spec, task_id=new_id(), choice=choice_of(spec, settings, found, specs))
        engine = await self._ring(submitted.task.id, submitted.engine, machine=placed)
        task = submitted.task
        told = await self._told(task)
        view = task_view(task, deduplicated=submitted.deduplicated or None, engine=engine, **told)
        return (
            view.model_copy(update={"requested": found.requested, "reason": found.reason}) if not view.reason else view
        )

    async def retry(self, task_id: str, *, deadline: str | None = None) -> TaskView:
        """Try a task again that did not complete, as a new task. Raises BadRequest."""
        task = await self._find(task_id)
        if not task.terminal or task.state is TaskState.COMPLETED:
            raise BadRequest(
                f"task {task.id} is {task.state}; only one that failed or was cancelled is tried again",
                next_step=f"omni-mcp status {task.id}; a waiting one goes on with omni-mcp resume {task.id}",
            )
        return await self.submit(replace(task.spec, retry_of=task.id, deadline_said=deadline, trace=None))

    def _deadline(self, said: str | None) -> datetime | None:
        if said is None:
            return None
        try:
            return point(said, self.clock.now())
        except (ValueError, OverflowError) as error:
            raise BadRequest(f"deadline {error}", next_step='call submit_task again with deadline "2h"') from error

    async def _ancestors(self, settings: Settings, client: str | None) -> tuple[str, ...]:
        """Return the tasks that this call comes from inside of: the loop guard. Raises TooDeep."""
        lineage = Lineage(
            ledger=self.ledger,
            principal=self.principal,
            executors=settings.servers.executors,
            limit=settings.servers.limits.max_depth,
        )
        return await lineage.ancestors(await run_sync(self.origin), client)

    def _placed(self, spec: TaskSpec) -> str | None:
        """Return the label of the machine that a task is for, if it is for one. Raises BadRequest: nobody is there."""
        if (named := spec.options.get(MACHINE)) is not None or spec.cwd is None:
            return named
        if self.machine is None:
            raise BadRequest(
                f"no engine works on this machine, so {spec.cwd} is nobody's folder here",
                next_step='call again with the machine whose folder it is, options {"machine": "NAME"}, or without cwd',
            )
        return self.machine

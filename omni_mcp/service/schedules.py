"""Read schedules, pause them, run one by hand."""

from functools import partial

from anyio.to_thread import run_sync

from omni_mcp import scheduled
from omni_mcp.errors import ScheduleUnknown
from omni_mcp.servers_file.schedules import ScheduleRow
from omni_mcp.service.part import Part
from omni_mcp.task import new_id
from omni_mcp.views.schedules import DueView, SchedulesView, ScheduleView
from omni_mcp.views.task import TaskView, task_view


class ScheduleVerbs(Part):
    """The schedules."""

    async def schedules(self) -> SchedulesView:
        """Say which schedules there are, how they stand, and when they are due next."""
        servers = self.settings().servers
        shown = await scheduled.views(self.ledger, servers.schedules, now=self.clock.now())
        needs = servers.scheduled and not self.engines.alive
        return SchedulesView(schedules=shown, engine=scheduled.NO_ENGINE if needs else None)

    async def run_schedule(self, name: str) -> TaskView:
        """Run the task of a schedule now, due or not. Raises ScheduleUnknown, ScheduleRunning."""
        row, plan = await self._scheduled(name)
        spec = scheduled.spec_of(name, row, None, self.clock.now())
        submitted = await self.ledger.run_schedule(name, plan=plan, spec=spec, task_id=new_id())
        engine = await self._ring(submitted.task.id, submitted.engine)
        return task_view(submitted.task, engine=engine, **await self._told(submitted.task))

    async def pause_schedule(self, name: str, *, paused: bool) -> ScheduleView:
        """Pause a schedule, or let it go on from now. Raises ScheduleUnknown."""
        row, plan = await self._scheduled(name)
        engine = await self.ledger.pause_schedule(name, plan=plan, paused=paused)
        if row.enabled and not paused:
            await self.engines.ensure(engine)
        [view] = await scheduled.views(self.ledger, {name: row}, now=self.clock.now())
        return view

    async def due_times(self, name: str, *, count: int) -> DueView:
        """Say when a schedule is due next. Raises ScheduleUnknown."""
        row, _plan = await self._scheduled(name)
        return await run_sync(partial(scheduled.due_view, name, row, now=self.clock.now(), count=count))

    async def _scheduled(self, name: str) -> tuple[ScheduleRow, str]:
        rows = self.settings().servers.schedules
        if name not in rows:
            raise ScheduleUnknown(name, sorted(rows))
        return rows[name], await run_sync(scheduled.plan_here, rows[name])

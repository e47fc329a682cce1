"""How far the schedules are decided, and the tasks that they become."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from omni_mcp.ledger import schedule_statements, schedules
from omni_mcp.ledger.base import EngineMark, ScheduleMark, Submitted
from omni_mcp.ledger.rows import a_task, an_engine, stamp, to_json
from omni_mcp.ledger.verbs.part import Part, submitted
from omni_mcp.task import Task, TaskSpec


class Scheduling(Part):
    """How far the schedules are decided."""

    async def run_schedule(self, name: str, *, plan: str, spec: TaskSpec, task_id: str) -> Submitted:
        task = self._new(spec, task_id)
        values = {"name": name, "plan": plan, "id": task_id, "now": task["now"]}
        return submitted(*await self._write(lambda db: schedules.run_by_hand(db, values, task)))

    async def pause_schedule(self, name: str, *, plan: str, paused: bool) -> EngineMark | None:
        values = self._values(name=name, plan=plan)
        engine = await self._write(lambda db: schedules.pause(db, values, paused=paused))
        return None if engine is None else an_engine(engine)

    async def plan_schedule(self, name: str, *, plan: str) -> None:
        values = self._values(name=name, plan=plan)
        await self._write(lambda db: db.execute(schedule_statements.PLAN, values).rowcount)

    async def unplan_schedules(self, names: Collection[str]) -> None:
        values = self._values(names=to_json(list(names)))
        await self._write(lambda db: db.execute(schedule_statements.UNPLAN, values).rowcount)

    async def advance_schedule(
        self,
        mark: ScheduleMark,
        *,
        seen_until: datetime,
        queued: Sequence[datetime],
        said: str | None = None,
        run: tuple[datetime, TaskSpec, str] | None = None,
    ) -> Task | None:
        due_at, task_id = (None, None) if run is None else (stamp(run[0]), run[2])
        task = None if run is None else self._new(run[1], run[2])
        values = self._values(
            name=mark.name,
            plan=mark.plan,
            was_seen=stamp(mark.seen_until),
            was_queued=to_json([*map(stamp, mark.queued)]),
            seen_until=stamp(seen_until),
            queued=to_json([*map(stamp, queued)]),
            said=said,
            id=task_id,
            due_at=due_at,
        )
        row = await self._write(lambda db: schedules.advance(db, values, task))
        return None if row is None else a_task(row)

    async def schedules(self) -> Mapping[str, ScheduleMark]:
        rows = await self._read(schedule_statements.SCHEDULES, {})
        return {row["name"]: schedules.a_schedule(row) for row in rows}

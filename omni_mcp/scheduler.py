"""Fires the schedules of servers.yaml: a due time becomes a task, once, over restarts and however many engines look.

What a look decides is pure (`decide/schedules.py`); it is carried out by one guarded write for each run, which moves
the schedule's row and writes the task together. The clock is read at each look, so one that jumps is just another time.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import anyio
from anyio.to_thread import run_sync

from omni_mcp.cron import zone_named
from omni_mcp.decide.schedules import Found, looked
from omni_mcp.errors import OmniError
from omni_mcp.ledger.base import Ledger, ScheduleMark
from omni_mcp.scheduled import plan_of, spec_of
from omni_mcp.servers_file.schedules import ScheduleRow
from omni_mcp.settings import Settings
from omni_mcp.task import Clock, new_id

logger = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks."""


@dataclass(kw_only=True)
class Scheduler:
    """Looks at the schedules while its engine lives."""

    ledger: Ledger
    settings: Callable[[], Settings]
    clock: Clock
    on_run: Callable[[], None] = lambda: None
    """Told of a new task."""
    _planned: bool = True
    """Whether the ledger may know schedules that are switched off now."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.step()
            except OmniError as error:
                logger.warning("schedules: %s", error, extra={"action": "schedule_put_off"})
            except Exception:
                logger.exception("schedules", extra={"action": "schedule_broke"})
            await anyio.sleep(POLL)

    async def step(self) -> int:
        """Have everything run that is due; returns how many tasks were written."""
        settings = self.settings()
        if settings.unreadable:  # it may be half saved
            return 0
        rows = settings.servers.scheduled
        if not (rows or self._planned):
            return 0
        marks = await self.ledger.schedules()
        await self._switch_off([name for name, mark in marks.items() if mark.plan and name not in rows])
        zones = await run_sync(_zones, rows)
        self._planned = bool(rows)
        return sum([await self._look(name, row, zones[name], marks.get(name)) for name, row in rows.items()])

    async def _switch_off(self, names: list[str]) -> None:
        if names:
            await self.ledger.unplan_schedules(names)

    async def _look(self, name: str, row: ScheduleRow, zone: ZoneInfo, mark: ScheduleMark | None) -> bool:
        plan = plan_of(row, zone)
        if mark is None or mark.plan != plan:
            await self.ledger.plan_schedule(name, plan=plan)
            return False
        if mark.paused_at is not None:
            return False
        found = looked(row, zone, since=mark.seen_until, now=self.clock.now())
        if found.seen_until == mark.seen_until and (mark.running or not mark.queued):
            return False
        return await self._carry_out(row, mark, found)

    async def _carry_out(self, row: ScheduleRow, mark: ScheduleMark, found: Found) -> bool:
        """Write the first run that is owed, if the last one is over, and keep the others as the row says."""
        owed = [*mark.queued, *found.run]
        due = None if mark.running or not owed else owed.pop(0)
        kept = owed[: row.most] if row.overlap == "queue" else []
        said = _said(found, [time for time in owed if time not in kept], mark)
        run = None if due is None else (due, spec_of(mark.name, row, due, self.clock.now()), new_id())
        task = await self.ledger.advance_schedule(mark, seen_until=found.seen_until, queued=kept, said=said, run=run)
        if said is not None:
            logger.warning("schedule %s: %s", mark.name, said, extra={"action": "schedule_said"})
        if task is None:
            return False
        logger.info("schedule %s, due %s: task %s", mark.name, due, task.id, extra={"action": "schedule_runs"})
        self.on_run()
        return True


def _said(found: Found, left_out: list[datetime], mark: ScheduleMark) -> str | None:
    """Say what was missed, and what is left out because there is one run at a time."""
    texts = [found.said] if found.said else []
    if left_out:
        last = f"task {mark.task_id}" if mark.running else "the run before"
        texts.append(f"{len(left_out)} due times were left out: {last} is not over")
    return "; ".join(texts) or None


def _zones(rows: Mapping[str, ScheduleRow]) -> Mapping[str, ZoneInfo]:
    return {name: zone_named(row.timezone) for name, row in rows.items()}

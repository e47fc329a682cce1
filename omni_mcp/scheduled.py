"""What engine and faces share of schedules: the task of a due time, what tells two plans apart, and how they stand.

And whether an engine has to live, for them or for anything else.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from anyio.to_thread import run_sync

from omni_mcp.cron import next_ones, zone_named
from omni_mcp.decide.options import PERMISSIONS
from omni_mcp.ledger.base import Ledger, ScheduleMark
from omni_mcp.servers_file.schedules import ScheduleRow
from omni_mcp.task import TaskSpec, of_schedule
from omni_mcp.views.schedules import DueView, ScheduleView

NO_ENGINE = (
    "no engine runs, so nothing is run until one does; to keep one: omni-mcp service install, or until it is "
    "stopped: omni-mcp engine restart"
)


async def has_work(ledger: Ledger, names: Collection[str]) -> bool:
    """Whether an engine has to live: a task is open, a notice is owed, or one of these schedules is not paused."""
    if await ledger.counts() or await ledger.any_owed():
        return True
    if not names:
        return False
    marks = await ledger.schedules()
    return any(name not in marks or marks[name].paused_at is None for name in names)


def plan_of(row: ScheduleRow, zone: ZoneInfo) -> str:
    """Return what a schedule is decided by: with another cron line or zone it begins anew."""
    return f"{row.cron} {zone}"


def spec_of(name: str, row: ScheduleRow, due: datetime | None, now: datetime) -> TaskSpec:
    """Return the task of a due time, None: of a run by hand; the same due time has the same key."""
    task = row.task
    ends = None if task.deadline is None else now + timedelta(seconds=task.deadline)
    return TaskSpec(
        description=task.description,
        type=task.type,
        executor=task.executor,
        model=task.model,
        cwd=None if task.cwd is None else str(task.cwd),
        priority=task.priority,
        idempotency_key=None if due is None else f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        deadline=ends,
        deadline_said=None if task.deadline is None else f"{task.deadline:g}s",
        budget_usd=task.budget_usd,
        options={} if task.permissions is None else {PERMISSIONS: task.permissions},
        principal=of_schedule(name),
    )


def plan_here(row: ScheduleRow) -> str:
    """Return what a schedule is decided by on this machine."""
    return plan_of(row, zone_named(row.timezone))


def due_view(name: str, row: ScheduleRow, *, now: datetime, count: int) -> DueView:
    """Return the next times that a schedule is due, in its own zone."""
    zone = zone_named(row.timezone)
    due = [time.astimezone(zone) for time in next_ones(row.cron, zone, now, count)]
    return DueView(name=name, timezone=str(zone), due=due)


async def views(ledger: Ledger, rows: Mapping[str, ScheduleRow], *, now: datetime) -> list[ScheduleView]:
    """Return how these schedules stand."""
    marks = await ledger.schedules()
    return await run_sync(lambda: [_view(name, row, marks.get(name), now) for name, row in rows.items()])


def _view(name: str, row: ScheduleRow, mark: ScheduleMark | None, now: datetime) -> ScheduleView:
    zone = zone_named(row.timezone)
    paused = mark is not None and mark.paused_at is not None
    goes = row.enabled and not paused
    shown = ScheduleView(
        name=name,
        cron=row.cron,
        timezone=str(zone),
        missed=row.missed,
        overlap=row.overlap,
        state="on" if goes else "paused" if row.enabled else "off",
        next_due=next_ones(row.cron, zone, now, 1)[0].astimezone(zone) if goes else None,
    )
    return shown if mark is None else shown.model_copy(update=_seen(mark))


def _seen(mark: ScheduleMark) -> Mapping[str, object]:
    return {
        "task_id": mark.task_id,
        "task_state": mark.task_state,
        "last_due": mark.due_at,
        "queued": list(mark.queued) or None,
        "said": mark.said,
        "said_at": mark.said_at,
    }

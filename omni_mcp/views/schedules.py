"""Schedules, and when they are due."""

from datetime import datetime
from typing import Literal

from omni_mcp.task import TaskState
from omni_mcp.views.view import View


class ScheduleView(View):
    """A schedule of servers.yaml, and how it stands."""

    name: str
    cron: str
    timezone: str
    missed: str
    overlap: str
    state: Literal["on", "paused", "off"]
    """`off`: its row is not enabled."""
    next_due: datetime | None = None
    """None: it is paused or off."""
    task_id: str | None = None
    """The newest run."""
    task_state: TaskState | None = None
    last_due: datetime | None = None
    """When that was due; None: it was run by hand."""
    queued: list[datetime] | None = None
    """Due times whose run waits for the one before."""
    said: str | None = None
    """What was missed or left out last."""
    said_at: datetime | None = None


class SchedulesView(View):
    """All schedules of a home."""

    schedules: list[ScheduleView]
    engine: str | None = None
    """What keeps them from running."""


class DueView(View):
    """When a schedule is due next, in its own time zone."""

    name: str
    timezone: str
    due: list[datetime]

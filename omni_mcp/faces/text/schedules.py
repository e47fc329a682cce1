"""What the command line prints of schedules, and of the service that keeps their engine alive."""

from datetime import datetime

from rich.console import Console
from rich.text import Text

from omni_mcp.faces.text.words import SEVERITIES, as_it_is
from omni_mcp.lang import say
from omni_mcp.task import SHORT_ID
from omni_mcp.views.engine import KeptView
from omni_mcp.views.schedules import DueView, SchedulesView, ScheduleView


def print_schedules(out: Console, shown: SchedulesView) -> None:
    """Print each schedule in two lines or three."""
    if not shown.schedules:
        out.print("no schedules: servers.yaml has none that can be used")
    for row in shown.schedules:
        print_schedule(out, row)
    if shown.engine:
        out.print(shown.engine, style=SEVERITIES["warning"], markup=False, highlight=False)


def print_schedule(out: Console, row: ScheduleView) -> None:
    """Print how a schedule stands."""
    due = say(f"next {_at(row.next_due)}") if row.next_due else say(row.state)
    out.print(Text(f"{row.name}  {row.cron}  {row.timezone}  {due}"))
    if row.task_id:
        when = say(f"due {_at(row.last_due.astimezone())}" if row.last_due else "run by hand")
        state = say(row.task_state or "purged")
        out.print(Text(f"  {when}: {state}  {row.task_id[:SHORT_ID]}"))
    if row.queued:
        out.print(Text("  " + say(f"{len(row.queued)} due times wait for their turn")))
    if row.said and row.said_at:
        out.print(as_it_is(f"  {row.said_at.astimezone():%Y-%m-%d %H:%M}  {say(row.said)}"))


def print_due(out: Console, shown: DueView) -> None:
    """Print when a schedule is due next."""
    for time in shown.due:
        out.print(Text(_at(time)))


def print_kept(out: Console, kept: KeptView) -> None:
    """Print whether the system keeps this program alive."""
    installed = "is installed" if kept.installed else "is not installed"
    alive = "is alive" if kept.alive else "is not alive"
    out.print(Text(f"{kept.name}: {say(installed)}, {say(alive)}  {kept.file}"))
    out.print(f"engine {kept.engine_pid} runs" if kept.engine_pid else "no engine runs", highlight=False)


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M %Z}"

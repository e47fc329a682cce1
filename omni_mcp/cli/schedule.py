"""Commands about the schedules of servers.yaml."""

from typing import Annotated

import typer

from omni_mcp.cli import complete
from omni_mcp.cli.base import AsJson, app, ask, command, show, tell_problems
from omni_mcp.faces.text.schedules import print_due, print_schedule, print_schedules
from omni_mcp.faces.text.task import print_task

schedule_app = typer.Typer(
    help="Tasks again and again, by the cron lines of servers.yaml; they need a living engine.", no_args_is_help=True
)
app.add_typer(schedule_app, name="schedule")

ASchedule = Annotated[
    str,
    typer.Argument(help="Its name in servers.yaml.", show_default=False, autocompletion=complete.schedules),
]


@command("list", group=schedule_app)
def schedule_list(as_json: AsJson = False) -> None:
    """Show each schedule: when it is due next, its last run, and what was missed or left out."""
    tell_problems()
    show(ask(lambda service: service.schedules()), print_schedules, as_json=as_json)


@command("next", group=schedule_app)
def schedule_next(
    name: ASchedule,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="How many.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say when a schedule is due next, in its own time zone; nothing is run.

    Example: `omni-mcp schedule next nightly -n 10`
    """
    show(ask(lambda service: service.due_times(name, count=count)), print_due, as_json=as_json)


@command("run", group=schedule_app)
def schedule_run(name: ASchedule, as_json: AsJson = False) -> None:
    """Run the task of a schedule now, due or not, also while it is paused; refused while its last run is not over."""
    show(ask(lambda service: service.run_schedule(name)), print_task, as_json=as_json)


@command("pause", group=schedule_app)
def schedule_pause(name: ASchedule, as_json: AsJson = False) -> None:
    """Let a schedule run nothing until `resume`; what runs goes on, and what is due meanwhile is not made up."""
    show(ask(lambda service: service.pause_schedule(name, paused=True)), print_schedule, as_json=as_json)


@command("resume", group=schedule_app)
def schedule_resume(name: ASchedule, as_json: AsJson = False) -> None:
    """Let a paused schedule go on, from now."""
    show(ask(lambda service: service.pause_schedule(name, paused=False)), print_schedule, as_json=as_json)

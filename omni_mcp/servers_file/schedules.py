"""`schedules`: tasks again and again."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from omni_mcp.cron import check, zone_named
from omni_mcp.servers_file.executors import Permissions
from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.task import TaskRow


def _cron(line: str) -> str:
    check(line)
    return " ".join(line.split())


def _zone(name: str) -> str:
    zone_named(name)
    return name


class ScheduleTask(TaskRow):
    """The task that a due time becomes."""

    deadline: Annotated[float, Field(ge=1, le=2_592_000)] | None = None
    """Seconds that it may take with all that it waits for; then it fails, and the next run can begin."""
    permissions: Permissions | None = None
    """The most that the run may do; without it what the row of its executor allows."""


class ScheduleRow(Row):
    """A task again and again, by a cron line. It needs a living engine: `omni-mcp service install` keeps one."""

    cron: Annotated[str, AfterValidator(_cron)]
    """Five fields, as Debian's cron has them: minute, hour, day of the month, month, weekday."""
    timezone: Annotated[str, AfterValidator(_zone)] | None = None
    """The zone of these times, such as `Europe/Berlin`; without it that of this machine."""
    missed: Literal["skip", "once", "all"] = "once"
    """What follows when due times went by while no engine lived: nothing, one run, or one for each (up to `most`)."""
    overlap: Literal["skip", "queue"] = "skip"
    """What follows when the last run is not over: this one is left out, or it waits for its turn (up to `most`)."""
    most: Annotated[int, Field(ge=1, le=100)] = 10
    """The most runs that are made up, or that wait for their turn; the newest due times are kept when making up."""
    enabled: bool = True
    """False: it is never due."""
    task: ScheduleTask
    """The task that a due time becomes."""

    @model_validator(mode="after")
    def _runs_one_after_the_other(self) -> Self:
        if self.missed == "all" and self.overlap == "skip":
            raise ValueError("has missed: all, which needs overlap: queue: a schedule has one run at a time")
        return self

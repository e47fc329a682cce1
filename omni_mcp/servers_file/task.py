"""A task that is written down in servers.yaml: what schedules and webhooks have in common."""

from typing import Annotated

from pydantic import Field

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import Folder, Usd


class TaskRow(Row):
    """A task that is written down before somebody asks for it."""

    description: Annotated[str, Field(min_length=1, max_length=20_000)]
    """What is to be done."""
    type: str | None = None
    """The task type; without it routing reads the description."""
    executor: str | None = None
    """Who takes it; without it routing chooses."""
    model: str | None = None
    """The model; without it that of the executor."""
    cwd: Folder | None = None
    """The folder to work in; without it an own empty one."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher runs first."""
    budget_usd: Usd | None = None
    """USD that it may cost; then it waits."""

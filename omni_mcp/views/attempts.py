"""How a task came to where it stands."""

from collections.abc import Sequence
from datetime import datetime

from omni_mcp.task import Attempt, Task
from omni_mcp.views.task import TaskView
from omni_mcp.views.view import View


class AttemptView(View):
    """One try at a task."""

    attempt: int
    executor: str | None = None
    model: str | None = None
    endpoint: str | None = None
    began_at: datetime
    bound_at: datetime | None = None
    """When the executor was told."""
    ended_at: datetime | None = None
    end: str | None = None
    """The state that it ended in, or `released`: it was given back to be run again."""
    route: str | None = None
    """Which layer of the model served its newest call."""
    cost_usd: float | None = None
    cost_unknown_calls: int | None = None


class AttemptsView(View):
    """How a task came to where it stands."""

    task_id: str
    created_at: datetime
    over_at: datetime | None = None
    attempts: list[AttemptView]
    """The newest ones, oldest first."""


class StoryView(TaskView):
    """Where a task stands, and how it came there."""

    attempts: list[AttemptView]
    """The newest ones, oldest first."""


def attempts_view(task: Task, attempts: Sequence[Attempt]) -> AttemptsView:
    """Show the attempts of a task."""
    shown = [
        AttemptView(
            attempt=each.number,
            executor=each.executor,
            model=each.model,
            endpoint=each.endpoint,
            began_at=each.began_at,
            bound_at=each.bound_at,
            ended_at=each.ended_at,
            end=each.end,
            route=each.route,
            cost_usd=each.cost_usd,
            cost_unknown_calls=each.cost_unknown_calls or None,
        )
        for each in attempts
    ]
    over_at = task.since if task.terminal else None
    return AttemptsView(task_id=task.id, created_at=task.created_at, over_at=over_at, attempts=shown)

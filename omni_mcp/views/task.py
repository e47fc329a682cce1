"""Where a task stands, and rows of many."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from omni_mcp.task import LOCAL, Event, Task, TaskState, WaitingFor
from omni_mcp.views.next_step import next_step
from omni_mcp.views.question import Questions, QuestionView
from omni_mcp.views.view import View

SHORT = 120
"""Characters of a description in a list."""


class EventView(View):
    """One line of a task's history."""

    seq: int
    at: datetime
    attempt: int
    kind: str
    text: str


class TaskView(View):
    """Where a task stands."""

    task_id: str
    description: str
    state: TaskState
    since: datetime
    waiting_for: WaitingFor | None = None
    due_at: datetime | None = None
    deadline: datetime | None = None
    text: str | None = None
    type: str | None = None
    executor: str | None = None
    requested: str | None = None
    served_by: str | None = None
    model: str | None = None
    endpoint: str | None = None
    reason: str | None = None
    attempt: int = 0
    progress: str | None = None
    last_activity: datetime
    silent: int | None = None
    """Seconds since the executor's last sign of life, while it is executing."""
    source: str | None = None
    """Who submitted it, unless that was the person here: `hook:NAME`, `schedule:NAME`."""
    retry_of: str | None = None
    cancel_requested_at: datetime | None = None
    cost_usd: float | None = None
    cost_unknown_calls: int | None = None
    """Model calls whose cost is not known (yet): it is not in `cost_usd`."""
    budget_usd: float | None = None
    deduplicated: bool | None = None
    engine: str | None = None
    summary: str | None = None
    """Head and tail of the result."""
    questions: Questions | None = None
    events: list[EventView] | None = None
    next_seq: int | None = None
    """There is more history: ask again with this as since_seq."""
    next_step: str


class ListView(View):
    """A page of short rows."""

    tasks: list[TaskView]
    cursor: str | None = None
    next_step: str | None = None


def task_view(
    task: Task,
    *,
    text: str | None = None,
    events: Sequence[Event] | None = None,
    whole: bool = True,
    **more: Any,
) -> TaskView:
    """Show a task; `whole` gives the description uncut.

    `text` says better than the row why it stands where it stands, `more` are fields that the row does not have.
    """
    said = text or task.text
    asked = task.spec.description
    return TaskView(
        task_id=task.id,
        description=asked if whole or len(asked) <= SHORT else asked[: SHORT - 1] + "…",
        state=task.state,
        since=task.since,
        waiting_for=task.waiting_for,
        due_at=task.due_at,
        deadline=task.spec.deadline,
        text=said if whole or said is None else said[:SHORT],
        type=task.spec.type,
        executor=task.spec.executor,
        requested=task.requested,
        served_by=task.served_by,
        model=task.model,
        endpoint=task.endpoint,
        reason=task.reason,
        attempt=task.attempt,
        progress=task.progress,
        last_activity=max(task.updated_at, task.progress_at or task.updated_at),
        cancel_requested_at=task.cancel_requested_at,
        cost_usd=task.cost_usd,
        cost_unknown_calls=task.cost_unknown_calls or None,
        budget_usd=task.spec.budget_usd,
        events=None if events is None else [event_view(event) for event in events],
        source=None if task.spec.principal == LOCAL else task.spec.principal,
        retry_of=task.spec.retry_of,
        next_step=_to_answer(task, more.get("questions")) or next_step(task),
        **more,
    )


def event_view(event: Event) -> EventView:
    """Show one line of history."""
    return EventView(seq=event.seq, at=event.at, attempt=event.attempt, kind=event.kind, text=event.text)


def _to_answer(task: Task, questions: Sequence[QuestionView] | None) -> str | None:
    """Name who answers what is asked; None: nothing is shown to be asked."""
    if not questions:
        return None
    if all(question.for_people for question in questions):
        return f"tell the user to run in a terminal: omni-mcp answer {task.id}; then task_status with wait_seconds=50"
    return "answer_task with its question_id"

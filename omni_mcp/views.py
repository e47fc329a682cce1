"""What people and programs are shown: the same fields in tools, CLI `--json` and web page.

Fields that hold nothing are left out of an answer (`shown`), so that a model reads only what is so.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from omni_mcp.errors import OmniError
from omni_mcp.question import Question
from omni_mcp.task import LOCAL, SYSTEM_REPAIR, Attempt, Event, Memory, Mode, Task, TaskState, WaitingFor

NEXT_STEP: Mapping[TaskState, str] = {
    TaskState.IDLE: "task_status with wait_seconds=50",
    TaskState.DISPATCHING: "task_status with wait_seconds=50",
    TaskState.EXECUTING: "task_status with wait_seconds=50",
    TaskState.COMPLETED: "task_result",
    TaskState.FAILED: "task_result; to try again, submit_task",
    TaskState.CANCELLED: "nothing; to try again, submit_task",
}

REPAIRED = "task_result says what was found; system_mode, how LiteLLM is now"
"""After a repair, which nobody can ask for again."""

NEXT_STEP_WAITING: Mapping[WaitingFor, str] = {
    WaitingFor.BUDGET: "do what the text says; task_result has what it produced, if anything; cancel_task ends it",
    WaitingFor.CONSENT: "resume_pending with this task_id runs it again, cancel_task ends it",
    WaitingFor.INPUT: "answer_task with its question_id; what is for_people a person answers: omni-mcp answer",
    WaitingFor.DEPENDENCY: "task_status with wait_seconds=50, when those have completed; cancel_task ends it",
    WaitingFor.EXECUTOR: "mend what the text says; it goes on by itself, at once with resume_pending",
}
"""What is to be done about a wait."""

BY_ITSELF = "it goes on by itself: do other things, then task_status with wait_seconds=50"
"""The other waits."""


class View(BaseModel):
    """Base: plain data that can be shown."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def shown(self) -> dict[str, Any]:
        """Return it as JSON-able data without the empty fields."""
        return self.model_dump(mode="json", exclude_none=True)


class EventView(View):
    """One line of a task's history."""

    seq: int
    at: datetime
    attempt: int
    kind: str
    text: str


class QuestionView(View):
    """What an executor wants to know."""

    question_id: str
    kind: str
    """`permission` or `input`."""
    text: str
    """Words of the executor."""
    form: dict[str, Any] | None = None
    """JSON schema of the answer's content; none: accept or decline is all."""
    for_people: bool | None = None
    """Only a person may answer."""
    asked_at: datetime


Questions = Annotated[list[QuestionView], WithJsonSchema({"type": "array", "items": {"type": "object"}})]
"""What they hold shows itself when there is one: five tools would carry its schema, every client would pay for it."""


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


class ResultView(View):
    """A page of a task's result."""

    task_id: str
    state: TaskState
    text: str
    offset: int
    total_chars: int
    next_offset: int | None = None
    left_out: dict[str, int] | None = None
    """Characters of structured and notes, where they are too large to stand here."""
    structured: Any = None
    notes: dict[str, Any] | None = None
    error: str | None = None
    next_step: str | None = None


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

    attempts: list[AttemptView] = []
    """The newest ones, oldest first."""


class ListView(View):
    """A page of short rows."""

    tasks: list[TaskView]
    cursor: str | None = None
    next_step: str | None = None


class ResumedView(View):
    """What resume_pending did, or would do, with one task."""

    task_id: str
    waiting_for: WaitingFor | None = None
    action: str
    """`resumed`, `would resume` or `left alone`."""
    text: str
    """What will happen, or why nothing does."""


class ResumeView(View):
    """What resume_pending did, or would do."""

    dry_run: bool
    counts: dict[str, int]
    """How many tasks each action was taken with."""
    tasks: list[ResumedView]
    """Those that were named, else the first of them, as they will run: by priority, then the oldest."""
    engine: str | None = None
    next_step: str


class CostView(View):
    """What some model calls came to."""

    name: str | None = None
    """The day, executor, model or task; absent: it is not known any more."""
    title: str | None = None
    calls: int
    free_calls: int
    """Priced at nothing."""
    paid_calls: int
    unknown_calls: int
    """Whose cost is not known (yet): it is not in `usd`."""
    input_tokens: int
    output_tokens: int
    usd: float


class BudgetView(View):
    """A daily budget, and what of it is gone."""

    budget: str
    """Its key in servers.yaml."""
    usd: float
    spent_usd: float
    unknown_calls: int
    reached: bool


class CellView(CostView):
    """What the calls of one executor with one model came to on one day, its `name`."""

    executor: str | None = None
    model: str


class CostsView(View):
    """What everything cost."""

    since: datetime
    total: CostView
    by: dict[str, list[CostView]]
    """`day`, `executor`, `model`, `route` (which layer served), `task`: the newest day first, else what cost most."""
    cells: list[CellView] | None = None
    """For each day, executor and model together, where that was asked for."""
    budgets: list[BudgetView] | None = None
    """The daily ones."""
    resets_at: datetime
    """When the day ends, and the daily budgets begin anew."""


class PurgeView(View):
    """What purge removed, or would remove."""

    dry_run: bool
    tasks: int
    before: datetime
    kept: str
    """What stays, in words."""


class CheckView(View):
    """How sound a ledger is."""

    path: str
    version: int
    tasks: int
    problems: list[str]


class CopyView(View):
    """A ledger that was copied: by backup out of the home, by restore into it."""

    path: str
    tasks: int
    text: str


class ExecutorView(View):
    """An executor, as configured and as last seen."""

    name: str
    usable: bool
    handles: list[str]
    parallel: int
    recovery: str
    detail: str | None = None
    tools: list[str] | None = None


class OverrideView(View):
    """A mode that a person has set."""

    mode: Mode
    until: datetime


class ModeView(View):
    """How well the whole is."""

    mode: Mode
    since: datetime
    cause: str
    text: str
    next_probe_at: datetime | None = None
    evidence: dict[str, str] | None = None
    override: OverrideView | None = None
    repair: str
    """Whether LiteLLM is repaired when it breaks, and why not; or the task that does it."""
    held: dict[str, int] | None = None
    """How many tasks wait, by what they wait for."""
    held_ids: dict[str, list[str]] | None = None
    """The first of these, as they will run."""
    history: list[str] | None = None
    engine: str
    settings: str
    open_tasks: dict[str, int]
    executors: dict[str, str]
    told_by: dict[str, str] | None = None
    problems: list[str] | None = None


class ModeChangeView(View):
    """One change of mode."""

    at: datetime
    was: Mode
    mode: Mode
    cause: str


class OutagesView(View):
    """When the mode changed, and why."""

    now: datetime
    mode: Mode
    since: datetime
    changes: list[ModeChangeView]
    """The newest first."""
    older: bool = False
    """There are more."""


class ToldView(View):
    """What became of a test notice in one channel."""

    channel: str
    told: bool
    text: str


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


class MemoryView(View):
    """What a completed task left for the tasks after it."""

    task_id: str
    at: datetime
    executor: str
    project: str | None = None
    """The folder whose tasks are told of it; None: those without one."""
    principal: str
    task: str
    outcome: str
    not_taken: str | None = None
    """Of one that the memory server does not have: why, and whether it is tried again."""


class MemoriesView(View):
    """Memories, and what keeps them from being used."""

    memories: list[MemoryView]
    note: str | None = None


class ForgottenView(View):
    """Whose memory is no more."""

    task_id: str


class KeptView(View):
    """The service of the system that keeps this program alive."""

    name: str
    file: str
    installed: bool
    alive: bool
    engine_pid: int | None = None


class NotifyView(View):
    """Who is told of changes of mode, and what became of a test notice."""

    tested: list[ToldView] | None = None
    told_by: dict[str, str]
    given_up: dict[str, str] | None = None
    """Of each channel what it never took."""
    sent_again: int | None = None
    """Notices that are owed once more."""


class EngineView(View):
    """The background engine of a home."""

    running: bool
    pid: int | None = None
    home: str
    log: str
    settings: str
    """The settings file that it reads, or would read."""
    note: str | None = None


class RewriteView(View):
    """Something of a file in other words that is not as it was there."""

    where: str
    what: str
    why: str


class InitView(View):
    """A servers.yaml that was written, or would be."""

    file: str
    written: bool
    backup: str | None = None
    found: dict[str, Any]
    text: str
    """The file; keys that stand in it in plain are not shown."""
    rewrites: list[RewriteView] | None = None
    problems: list[str] | None = None
    next_steps: list[str]


class FindingView(View):
    """One fact about an installation, and what mends it."""

    code: str
    severity: str
    """`ok`, `note`, `warning` or `error`."""
    about: str | None = None
    text: str
    fix: str | None = None
    """A command for a shell, as it stands."""
    needs: str | None = None
    """What the command asks a person for."""
    safe: bool | None = None
    """Whether `--fix` runs it."""


class FixView(View):
    """A fix that was run."""

    code: str
    fix: str
    done: bool
    text: str | None = None


class DoctorView(View):
    """What is wrong with an installation, and what was mended."""

    home: str
    settings: str
    worst: str
    findings: list[FindingView]
    mended: list[FixView] | None = None


class RouteView(View):
    """Where a text would go, and why."""

    requested: str
    executor: str | None
    type: str | None
    model: str | None
    reason: str
    steps: list[str]
    """The reason at length: each rule that was tried, each executor that was passed over."""


class ErrorView(View):
    """What went wrong, and the next call."""

    code: str
    message: str
    retryable: bool
    retry_after: float | None = None
    """Seconds."""
    next_step: str | None = None


def error_view(error: OmniError) -> ErrorView:
    """Show an error."""
    return ErrorView(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after=error.retry_after,
        next_step=error.next_step,
    )


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


SHORT = 120
"""Characters of a description in a list."""


def question_view(question: Question, *, limit: int | None = None) -> QuestionView:
    """Show a question; what is cut off at the `limit` of characters is counted."""
    text = question.asked.text
    left = 0 if limit is None else len(text) - limit
    return QuestionView(
        question_id=question.id,
        kind=question.asked.kind,
        text=f"{text[:limit]}… ({left} more characters)" if left > 0 else text,
        form=dict(question.asked.schema) if question.asked.schema.get("properties") else None,
        for_people=question.for_people or None,
        asked_at=question.asked_at,
    )


def memory_view(memory: Memory, *, not_taken: str | None = None) -> MemoryView:
    """Show what a task left."""
    return MemoryView(
        not_taken=not_taken,
        task_id=memory.task_id,
        at=memory.at,
        executor=memory.executor,
        project=memory.project,
        principal=memory.principal,
        task=memory.asked,
        outcome=memory.outcome,
    )


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


def next_step(task: Task) -> str:
    """Name the call that makes sense now."""
    if task.waiting_for is not None:
        return NEXT_STEP_WAITING.get(task.waiting_for, BY_ITSELF)
    if task.spec.type == SYSTEM_REPAIR and task.terminal:
        return REPAIRED
    return NEXT_STEP[task.state]

"""What resume_pending does with a task, and what follows from that. Pure."""

from dataclasses import dataclass

from omni_mcp.decide.budgets import usd_text
from omni_mcp.decide.routing import Route
from omni_mcp.task import Task, TaskState, WaitingFor


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Whether a task is let go, and in words what will happen, or why not."""

    goes: bool
    text: str


def resumption(task: Task, found: Route, *, named: bool, held: str | None, add_budget_usd: float | None) -> Resumption:
    """Decide on one task; `named` is the consent to it, `held` why the mode holds what runs where it would run."""
    if (refusal := _why_not(task, named=named, held=held) or _too_little(task, add_budget_usd)) is not None:
        return Resumption(goes=False, text=refusal)
    if found.executor is None:
        return Resumption(goes=True, text=f"looked at again; unless that is mended it waits on: {found.reason}")
    raised = [] if add_budget_usd is None else [_raised(task, add_budget_usd)]
    return Resumption(goes=True, text="; ".join([*raised, *_what_follows(task, found.executor, held)]))


def _why_not(task: Task, *, named: bool, held: str | None) -> str | None:
    if task.state is not TaskState.WAITING:
        return f"it is {task.state}, not waiting"
    if task.waiting_for is WaitingFor.DEPENDENCY:
        return "it runs after other tasks: let those go on, or submit it anew without after"
    if task.waiting_for is WaitingFor.INPUT:
        return "it waits for an answer to its question: answer_task, or omni-mcp answer"
    if task.waiting_for is WaitingFor.CONSENT:
        return None if named else "its outcome is unknown: name it in task_ids to run it again"
    return held


def _too_little(task: Task, add: float | None) -> str | None:
    """Say why the money is not enough to go on, or cannot be added."""
    budget, spent = task.spec.budget_usd, task.cost_usd or 0.0
    if budget is None:
        return None if add is None else "it has no budget of its own that could be raised"
    if task.waiting_for is not WaitingFor.BUDGET or task.due_at is not None:
        return None
    if add is None:
        return f"its budget of {usd_text(budget)} is reached: name it with add_budget_usd to raise that"
    if budget + add > spent:
        return None
    return f"{usd_text(budget + add)} would be spent already: {usd_text(spent)} are; add more"


def _raised(task: Task, add: float) -> str:
    budget = (task.spec.budget_usd or 0.0) + add
    return f"its budget becomes {usd_text(budget)}, of which {usd_text(task.cost_usd or 0.0)} is spent"


def _what_follows(task: Task, executor: str, held: str | None) -> list[str]:
    follows = [f"attempt {task.attempt + 1} on {executor}"]
    if task.waiting_for is WaitingFor.CONSENT:
        follows.append("your consent is for this attempt alone")
    if held is not None:
        follows.append(f"once the mode lets it: {held}")
    if task.due_at is not None:
        follows.append(f"instead of at {task.due_at:%Y-%m-%d %H:%M:%S} UTC")
    if task.waiting_for is WaitingFor.RESET:
        follows.append("the limit may still hold: then it waits again, and no fault is counted")
    if task.waiting_for is WaitingFor.BUDGET and task.due_at is not None:
        follows.append("the daily budget may still be reached: then it waits again")
    return follows

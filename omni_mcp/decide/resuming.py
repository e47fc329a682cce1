"""What resume_pending does with a task, and what follows from that. Pure."""

from dataclasses import dataclass

from omni_mcp.decide.routing import Route
from omni_mcp.task import Task, TaskState, WaitingFor


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Whether a task is let go, and in words what will happen, or why not."""

    goes: bool
    text: str


def resumption(task: Task, found: Route, *, named: bool, held: str | None) -> Resumption:
    """Decide on one task; `named` is the consent to it, `held` why the mode holds what runs where it would run."""
    if (refusal := _why_not(task, named=named, held=held)) is not None:
        return Resumption(goes=False, text=refusal)
    if found.executor is None:
        return Resumption(goes=True, text=f"looked at again; unless that is mended it waits on: {found.reason}")
    return Resumption(goes=True, text="; ".join(_what_follows(task, found.executor, held)))


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
    return follows

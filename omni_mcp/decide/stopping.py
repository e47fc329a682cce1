"""When a running attempt is stopped, and what its stop means. Pure."""

from datetime import datetime
from typing import Literal

from omni_mcp.task import Failed, FailureClass, Task

Stop = Literal["budget", "cancel", "deadline", "lost", "shutdown"]
"""Its budget is spent; a person wants it; its deadline came; another owner has it; the engine goes."""


def stops(task: Task, now: datetime) -> Stop | None:
    """Say whether a running task has to be stopped."""
    if task.cancel_requested_at is not None:
        return "cancel"
    return "deadline" if task.spec.deadline is not None and task.spec.deadline <= now else None


def stopped(task: Task, why: Stop, *, left: str) -> Failed:
    """Say what the stop of an attempt means; `left` is what of it may still run, in words."""
    more = [f"left: {left}"] if left else []
    if why == "cancel":
        return Failed(kind=FailureClass.CANCELLED, message="; ".join(["stopped on request", *more]))
    if why == "deadline" and task.spec.deadline is not None:
        when = task.spec.deadline.isoformat(timespec="seconds")
        told = f"its deadline {when} came during attempt {task.attempt} on {task.served_by}, which was stopped"
        last = [f"it last said: {task.progress}"] if task.progress else []
        return Failed(kind=FailureClass.DEADLINE, message="; ".join([told, *last, *more]))
    return Failed(kind=FailureClass.INTERRUPTED, message="; ".join(["the engine stopped it", *more]))

"""When a running attempt is stopped, and what its stop means. Pure."""

from datetime import datetime, timedelta
from typing import Literal

from omni_mcp.task import Failed, FailureClass, Task, WaitingFor

Stop = Literal["budget", "cancel", "deadline", "lost", "shutdown", "input"]
"""Its budget is spent; a person wants it; its deadline came; another owner has it; the engine goes; nobody answers."""


def stops(task: Task, now: datetime, *, patience: timedelta) -> Stop | None:
    """Say whether a running task has to be stopped; `patience` is how long its run is kept while nobody answers it."""
    if task.cancel_requested_at is not None:
        return "cancel"
    if task.spec.deadline is not None and task.spec.deadline <= now:
        return "deadline"
    return "input" if task.waiting_for is WaitingFor.INPUT and abs(now - task.since) >= patience else None


def stopped(task: Task, why: Stop, *, left: str) -> Failed:
    """Say what the stop of an attempt means; `left` is what of it may still run, in words."""
    more = [f"left: {left}"] if left else []
    if why == "cancel":
        return Failed(kind=FailureClass.CANCELLED, message="; ".join(["stopped on request", *more]))
    if why == "deadline" and task.spec.deadline is not None:
        when = task.spec.deadline.isoformat(timespec="seconds")
        told = f"its deadline {when} came during attempt {task.attempt} on {task.served_by}, which was stopped"
        if task.spec.deadline <= task.since:
            told = f"its deadline {when} came before attempt {task.attempt}, which was only to stop its run"
        last = [f"it last said: {task.progress}"] if task.progress else []
        return Failed(kind=FailureClass.DEADLINE, message="; ".join([told, *last, *more]))
    return Failed(kind=FailureClass.INTERRUPTED, message="; ".join(["the engine stopped it", *more]))

"""A task that an executor has handed on: who that was and what it found stay with the task. Pure."""

from collections.abc import Mapping
from typing import Any

from omni_mcp.task import Task

FOUND = "handed_on"
"""Where the checkpoint of a task keeps it: executor -> what it found."""


def handed_on_by(task: Task) -> Mapping[str, str]:
    """Return who has handed it on, with what they found; none of them gets it again."""
    return dict((task.snapshot or {}).get(FOUND, {}))


def checkpoint(task: Task, more: Mapping[str, str]) -> dict[str, Any]:
    """Return the checkpoint of a task with what `more` executors found; it outlives every attempt."""
    return {**(task.snapshot or {}), FOUND: {**handed_on_by(task), **more}}


def description(task: Task, *, memory: str = "") -> str:
    """Return what the next executor is told: what was asked for, what those before it found, what is remembered."""
    parts = [f"What {name} found before you:\n{found}" for name, found in handed_on_by(task).items()]
    return "\n\n".join([task.spec.description, *parts, *filter(None, [memory])])
